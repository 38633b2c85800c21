"""Reads prompts and sources before they join the step loop, so much at a time.   Knows no queue and no deadline.

Prompts are cut into slices, which go on from one another's state; sources are read whole. Between two turns whoever
drives this may make a step, so that no step waits for more tokens than a turn has.
"""

import sys
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from service.engine.batches import pick_batch, slice_length
from service.engine.requests import DecodeRequest
from service.engine.steps import Carried, FloatArray, IntArray, RowModel, Started
from service.errors import InferenceFailedError

WINDOW_SEQUENCES = 64
"""How many of those that are first in line are looked at for similar lengths."""

COMPANY = 8
"""Sources wait only while so many sequences run, for else hardly more would come, and until so many stand in line, for
a run of more costs hardly less a row."""

PATIENCE_POSITIONS = 8
"""A source may wait a turn for every so many positions beyond the first so many: a short one gains nothing by company,
a longer one more, and it takes longer anyway."""


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
    """A request, how much of its prompt is read (the token that is added to it included), and the state there.

    `left` tokens are still to read; the next run reads `length` of them, which take up `padded` positions. It stands in
    line since turn `since`.
    """

    request: DecodeRequest
    left: int
    since: int
    read: int = 0
    state: FloatArray | None = None
    length: int = 0
    padded: int = 0

    def slice(self) -> tuple[IntArray, Carried | None]:
        """The next `length` tokens, as `RowModel.start` takes them."""
        token_ids = self.request.token_ids
        if self.state is None:
            return token_ids[: self.length - 1], self.request.carried
        last = self.read + self.length - 1
        return token_ids[self.read : last], Carried(self.state, int(token_ids[self.read - 1]), 0)


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
        self._max_tokens = max_tokens
        self._padding_budget = padding_budget
        self._reads_slices = model.reads_slices
        self._longest = slice_length(max_tokens, slice_rows or max_rows) if model.reads_slices else sys.maxsize
        self._time_multiple = model.time_multiple
        self._prompts: deque[_Prompt] = deque()
        self._turn = 0

    @property
    def row_count(self) -> int:
        """Rows that the requests in line will take up in the loop."""
        return sum(prompt.request.options.row_count for prompt in self._prompts)

    def add(self, request: DecodeRequest) -> None:
        """Let a request stand in line."""
        self._line_up(_Prompt(request, len(request.token_ids) + 1, self._turn))

    def _line_up(self, prompt: _Prompt) -> None:
        prompt.length = min(prompt.left, self._longest)
        prompt.padded = -(-prompt.length // self._time_multiple) * self._time_multiple
        self._prompts.append(prompt)

    def drop(self, key: int) -> None:
        """Forget a request, if it is still here."""
        self._prompts = deque(prompt for prompt in self._prompts if prompt.request.key != key)

    def read(self, *, patient: bool = False) -> Reading:
        """Make the runs of one turn, if anybody is in line; who has more to read goes to the end of the line.

        All that `max_tokens` have room for are read before the next step, so they share a run wherever their lengths
        allow it: each run has a price of its own. Further runs follow as far as `max_tokens` go.

        Args:
            patient: many run meanwhile, so that few sources may wait some turns for more of about their length.
        """
        left, batches, failed = self._max_tokens, list[ReadBatch](), list[tuple[int, str]]()
        self._turn += 1
        while self._prompts and (left == self._max_tokens or self._prompts[0].padded <= left):
            if patient and self._waits_for_company():
                break
            prompts = self._take_similar(left)
            left -= len(prompts) * max(prompt.padded for prompt in prompts)
            reading = self._run(prompts)
            batches += reading.batches
            failed += reading.failed
        return Reading(batches, failed)

    def _waits_for_company(self) -> bool:
        """Whether those in line are few sources, none of which has waited for as long as it may."""
        if self._reads_slices or len(self._prompts) >= COMPANY:
            return False
        return all(self._turn - one.since <= (one.padded - 1) // PATIENCE_POSITIONS for one in self._prompts)

    def _take_similar(self, max_tokens: int) -> list[_Prompt]:
        """Take the first in line, and others of similar length."""
        window = [self._prompts[i] for i in range(min(len(self._prompts), WINDOW_SEQUENCES))]
        chosen = pick_batch(
            [prompt.padded for prompt in window],
            max_rows=self._max_rows,
            padding_budget=self._padding_budget,
            max_tokens=max_tokens,
        )
        for position in reversed(chosen):
            del self._prompts[position]
        return [window[position] for position in chosen]

    def _run(self, prompts: list[_Prompt]) -> Reading:
        slices = [prompt.slice() for prompt in prompts]
        try:
            started = self._model.start([ids for ids, _ in slices], [begun for _, begun in slices])
        except InferenceFailedError as error:
            if len(prompts) == 1:
                return Reading([], [(prompts[0].request.key, error.message)])
            alone = [self._run([prompt]) for prompt in prompts]  # one bad sequence must not fail the others
            return Reading([b for one in alone for b in one.batches], [f for one in alone for f in one.failed])
        through = []
        for row, prompt in enumerate(prompts):
            prompt.read, prompt.left = prompt.read + prompt.length, prompt.left - prompt.length
            if prompt.left:
                prompt.state = started.state[row]
                self._line_up(prompt)
            else:
                through.append(row)
        if not through:
            return Reading([], [])
        return Reading([ReadBatch([prompts[row].request for row in through], started.rows(through))], [])
