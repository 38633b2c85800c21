"""The step loop: rows join, step together, and leave at any step.   Knows no queue, no deadline, no text.

Row i of every array below belongs to `_requests[i]`; rows 0 to count - 1 are in use. A row that leaves is overwritten
by the last one, so that a step always runs on the front of each array, without gathering.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from service.engine.memory import SourceMemory
from service.engine.sampling import GREEDY, Sampling, SamplingRows, choose_tokens
from service.engine.steps import FloatArray, IntArray, RowModel, Started


class Ending(Enum):
    """Why a row left."""

    STOP = "stop"
    LENGTH = "length"
    NOT_FINITE = "not_finite"


@dataclass(frozen=True)
class DecodeRequest:
    """A sequence to decode.

    Args:
        key: the caller's name for it, unique among the rows in use.
        token_ids: [time] prompt or source, without special tokens.
        max_output_token_count: most tokens to produce, 1 and up; the end-of-sequence token is not counted.
        sampling: how tokens are chosen.
        keep_attention: whether the ending brings the attention weights.
    """

    key: int
    token_ids: IntArray
    max_output_token_count: int
    sampling: Sampling = GREEDY
    keep_attention: bool = False


@dataclass(frozen=True)
class Produced:
    """One row's news after a step: a token, an ending, or both.

    Args:
        key: as in the request.
        token_id: the token produced, or None where the row ended without one.
        ending: why the row left, or None while it goes on.
        attention: [tokens, source time] float32 with the ending, where the request asked for it.
    """

    key: int
    token_id: int | None
    ending: Ending | None = None
    attention: FloatArray | None = None


@dataclass
class _Row:
    request: DecodeRequest
    token_count: int = 0
    attention: list[FloatArray] = field(default_factory=list)


class DecodeLoop:
    """Decodes up to `capacity` sequences side by side."""

    def __init__(self, model: RowModel, *, capacity: int) -> None:
        self._model = model
        self._banned = np.array(model.banned_ids, dtype=np.int64)
        self._rows: list[_Row] = []
        self._capacity = capacity
        self._inputs = np.zeros(capacity, dtype=np.int64)
        self._state = np.zeros((capacity, model.state_size), dtype=np.float32)
        self._memory = SourceMemory(capacity)
        self._temperature = np.zeros(capacity, dtype=np.float64)
        self._top_k = np.zeros(capacity, dtype=np.int64)
        self._top_p = np.ones(capacity, dtype=np.float64)
        self._seed = np.zeros(capacity, dtype=np.uint64)
        self._drawn = np.zeros(capacity, dtype=np.uint64)

    @property
    def count(self) -> int:
        """Rows in use."""
        return len(self._rows)

    @property
    def free(self) -> int:
        """Rows that may still join."""
        return self._capacity - len(self._rows)

    def join(self, requests: Sequence[DecodeRequest]) -> list[Produced]:
        """Let sequences join: read their prompts or sources in one batch.

        Returns:
            The first tokens, where the model gives them right away (a language model does).

        Raises:
            ValueError: there are more requests than free rows.
        """
        if len(requests) > self.free:
            raise ValueError(f"{len(requests)} sequences cannot join: {self.free} rows are free")
        started = self._model.start([request.token_ids for request in requests])
        first = len(self._rows)
        for offset, request in enumerate(requests):
            self._take_in(request, started, offset)
        if started.logits is None:
            return []
        return self._choose(started.logits, first)

    def step(self) -> list[Produced]:
        """Produce one token for every row in use."""
        count = len(self._rows)
        if not count:
            return []
        keys, values, lengths = self._memory.first(count)
        logits, state, attention = self._model.step(self._inputs[:count], self._state[:count], keys, values, lengths)
        self._state[:count] = state
        if attention is not None:
            self._record(attention)
        return self._choose(logits, 0)

    def leave(self, key: int) -> None:
        """Drop a sequence, if it is still here."""
        for index, row in enumerate(self._rows):
            if row.request.key == key:
                self._free(index)
                return

    def _take_in(self, request: DecodeRequest, started: Started, offset: int) -> None:
        row = len(self._rows)
        self._rows.append(_Row(request))
        self._inputs[row] = started.first_inputs[offset]
        self._state[row] = started.state[offset]
        if started.keys is not None and started.values is not None:
            self._memory.put(row, started.keys[offset], started.values[offset], int(started.lengths[offset]))
        sampling = request.sampling
        self._temperature[row], self._top_k[row], self._top_p[row] = (
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
        )
        self._seed[row], self._drawn[row] = sampling.seed, 0

    def _record(self, attention: FloatArray) -> None:
        lengths = self._memory.first(len(self._rows))[2]
        for index, row in enumerate(self._rows):
            if row.request.keep_attention:
                row.attention.append(attention[index, : lengths[index]].copy())

    def _choose(self, logits: FloatArray, first: int) -> list[Produced]:
        """Choose a token for the rows from `first` on, to which `logits` belong, and let the ended ones leave."""
        rows = slice(first, len(self._rows))
        finite: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(logits), axis=-1)
        logits[:, self._banned] = -np.inf
        settings = SamplingRows(
            self._temperature[rows], self._top_k[rows], self._top_p[rows], self._seed[rows], self._drawn[rows]
        )
        tokens = choose_tokens(np.where(finite[:, None], logits, 0.0), settings)
        self._drawn[rows] += np.uint64(1)
        self._inputs[rows] = tokens
        produced = [self._advance(first + i, int(token), bool(finite[i])) for i, token in enumerate(tokens)]
        for i in reversed(range(len(produced))):
            if produced[i].ending is not None:
                self._free(first + i)
        return produced

    def _advance(self, index: int, token: int, finite: bool) -> Produced:
        row = self._rows[index]
        key = row.request.key
        if not finite:
            return Produced(key, None, Ending.NOT_FINITE)
        if token == self._model.eos_id:
            return Produced(key, None, Ending.STOP, _stacked(row.attention[: row.token_count]))
        row.token_count += 1
        if row.token_count == row.request.max_output_token_count:
            return Produced(key, token, Ending.LENGTH, _stacked(row.attention[: row.token_count]))
        return Produced(key, token)

    def _free(self, index: int) -> None:
        last = len(self._rows) - 1
        if index != last:
            self._rows[index] = self._rows[last]
            self._memory.move(last, index)
            for array in (
                self._inputs, self._state, self._temperature, self._top_k, self._top_p, self._seed, self._drawn
            ):  # fmt: skip
                array[index] = array[last]
        self._rows.pop()


def _stacked(rows: list[FloatArray]) -> FloatArray | None:
    return np.stack(rows) if rows else None
