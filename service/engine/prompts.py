"""Reads prompts and sources before they join the step loop, so much at a time.   Knows no queue and no deadline.

Prompts are cut into slices, which go on from one another's state; sources are read whole. Between two turns whoever
drives this may make a step, so that no step waits for more tokens than a turn has.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.engine.batches import pick_batch, slice_length
from service.engine.requests import DecodeRequest
from service.engine.steps import Carried, FloatArray, IntArray, RowModel, Started
from service.errors import InferenceFailedError

WINDOW_SEQUENCES = 64
"""How many of those that are first in line are looked at for similar lengths."""


class ReadBatch(NamedTuple):
    """Requests that have read all they have to: what `DecodeLoop.join` takes."""

    requests: list[DecodeRequest]
    started: Started


class Reading(NamedTuple):
    """What one turn came to: who may join, and the keys of those that failed, with the reason."""

    batches: list[ReadBatch]
    failed: list[tuple[int, str]]


@dataclass
class _Prompt:
    """A request, how much of its prompt is read (the token that is added to it included), and the state there."""

    request: DecodeRequest
    read: int = 0
    state: FloatArray | None = None

    @property
    def left(self) -> int:
        """Tokens that are still to read."""
        return len(self.request.token_ids) + 1 - self.read

    def slice(self, length: int) -> tuple[IntArray, Carried | None]:
        """The next `length` tokens, as `RowModel.start` takes them."""
        token_ids = self.request.token_ids
        if self.state is None:
            return token_ids[: length - 1], self.request.carried
        return token_ids[self.read : self.read + length - 1], Carried(self.state, int(token_ids[self.read - 1]), 0)


class PromptReader:
    """Prompts or sources on their way to the step loop; each turn reads some tokens of those that are first in line.

    Args:
        model: reads them.
        max_rows: most sequences in one run.
        max_tokens: most positions, padding included, in the runs of one turn; a source that is longer has a turn alone.
        padding_budget: largest share of padded positions in a run, 0 to 1.
        slice_rows: slices are so short that as many fit side by side into one turn; None: `max_rows`.
    """

    def __init__(
        self, model: RowModel, *, max_rows: int, max_tokens: int, padding_budget: float, slice_rows: int | None = None
    ) -> None:
        self._model = model
        self._max_rows = max_rows
        self._slice_rows = slice_rows or max_rows
        self._max_tokens = max_tokens
        self._padding_budget = padding_budget
        self._prompts: deque[_Prompt] = deque()

    @property
    def row_count(self) -> int:
        """Rows that the requests in line will take up in the loop."""
        return sum(prompt.request.options.row_count for prompt in self._prompts)

    def add(self, request: DecodeRequest) -> None:
        """Let a request stand in line."""
        self._prompts.append(_Prompt(request))

    def drop(self, key: int) -> None:
        """Forget a request, if it is still here."""
        self._prompts = deque(prompt for prompt in self._prompts if prompt.request.key != key)

    def read(self) -> Reading:
        """Make the runs of one turn, if anybody is in line; who has more to read goes to the end of the line.

        All that `max_tokens` have room for are read before the next step, so they share a run wherever their lengths
        allow it: each run has a price of its own. Further runs follow as far as `max_tokens` go.
        """
        left, batches, failed = self._max_tokens, list[ReadBatch](), list[tuple[int, str]]()
        while self._prompts and (left == self._max_tokens or self._padded_length(self._prompts[0]) <= left):
            prompts = self._take_similar(left)
            left -= len(prompts) * max(self._padded_length(prompt) for prompt in prompts)
            reading = self._run(prompts)
            batches += reading.batches
            failed += reading.failed
        return Reading(batches, failed)

    def _take_similar(self, max_tokens: int) -> list[_Prompt]:
        """Take the first in line, and others of similar length."""
        window = [self._prompts[i] for i in range(min(len(self._prompts), WINDOW_SEQUENCES))]
        chosen = pick_batch(
            [self._padded_length(prompt) for prompt in window],
            max_rows=self._max_rows,
            padding_budget=self._padding_budget,
            max_tokens=max_tokens,
        )
        for position in reversed(chosen):
            del self._prompts[position]
        return [window[position] for position in chosen]

    def _next_length(self, prompt: _Prompt) -> int:
        longest = slice_length(self._max_tokens, self._slice_rows) if self._model.reads_slices else prompt.left
        return min(prompt.left, longest)

    def _padded_length(self, prompt: _Prompt) -> int:
        """Positions that it takes up in a run by itself."""
        multiple = self._model.time_multiple
        return -(-self._next_length(prompt) // multiple) * multiple

    def _run(self, prompts: list[_Prompt]) -> Reading:
        lengths = [self._next_length(prompt) for prompt in prompts]
        slices = [prompt.slice(length) for prompt, length in zip(prompts, lengths, strict=True)]
        try:
            started = self._model.start([ids for ids, _ in slices], [begun for _, begun in slices])
        except InferenceFailedError as error:
            if len(prompts) == 1:
                return Reading([], [(prompts[0].request.key, error.message)])
            alone = [self._run([prompt]) for prompt in prompts]  # one bad sequence must not fail the others
            return Reading([b for one in alone for b in one.batches], [f for one in alone for f in one.failed])
        for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
            prompt.read, prompt.state = prompt.read + length, started.state[row]
        self._prompts.extend(prompt for prompt in prompts if prompt.left)
        through = [row for row, prompt in enumerate(prompts) if not prompt.left]
        if not through:
            return Reading([], [])
        requests = [prompts[row].request for row in through]
        return Reading([ReadBatch(requests, started.rows(np.array(through)))], [])
