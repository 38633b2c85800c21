"""Groups waiting sequences into batches of similar length.   Knows queues, deadlines; no text, no gRPC.

Serves every model that reads whole sequences and answers each row at once: classifiers and labellers.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from service.engine.batches import padding_ratio, pick_batch, slice_length
from service.engine.classify import logits_by_row, probabilities_by_row
from service.engine.steps import FloatArray, IntArray, Step
from service.errors import DeadlineExceededError, InferenceFailedError, ServiceError
from service.serving.engines.messages import Classified, ClassifyWork, Event, Failed, Ran
from service.state.contents import STATE_DTYPE

_Answer = list[list[float]]  # [steps][labels]

STEPWISE = 3
"""Dimensions of the logits of a labeller, which answers every step; a classifier's have one less."""

WINDOW_BATCHES, WINDOW_ROWS = 4, 64
"""How many batches' worth of the oldest rows are looked at for similar lengths, and how many rows at least."""


@dataclass(frozen=True)
class Carrying:
    """How a graph goes on from the states that rows ended with: `run` takes and gives [rows, state_size]."""

    state_size: int
    run: Callable[[npt.NDArray[Any], IntArray, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class BatchedGraph:
    """A graph that reads whole sequences.

    Args:
        name: of the graph, for metrics and errors.
        pad: stacks rows into (steps [rows, time, ...], lengths [rows]).
        run: maps those to logits, [rows, labels], or [rows, time, labels] where every step is labelled.
        carrying: the same from given states, where the graph carries one.
    """

    name: str
    pad: Callable[[Sequence[Sequence[Step]]], tuple[npt.NDArray[Any], IntArray]]
    run: Callable[[npt.NDArray[Any], IntArray], FloatArray]
    carrying: Carrying | None = None


@dataclass
class _Pending:
    """A work, and what is known of its rows."""

    work: ClassifyWork
    answers: list[_Answer | None]
    states: list[bytes]
    logits: list[_Answer]
    begun: float | None = None


@dataclass
class _Row:
    """A sequence of a work: how many of its steps are read, the state there, their answers, and logits if asked for."""

    pending: _Pending
    index: int
    state: FloatArray | None
    read: int = 0
    answer: _Answer = field(default_factory=list)
    logits: _Answer = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many steps are still to read."""
        return len(self.pending.work.rows[self.index]) - self.read

    @property
    def spoilt(self) -> bool:
        """Whether its state is asked for, by the steps that are left or by the caller, and is not finite."""
        wanted = self.left > 0 or self.pending.work.keep_states
        return wanted and self.state is not None and not bool(np.isfinite(self.state).all())

    def next_steps(self, length: int) -> Sequence[Step]:
        """The next `length` steps."""
        return self.pending.work.rows[self.index][self.read : self.read + length]


class Batcher:
    """Waiting rows of one model. `turn` runs one batch.

    Args:
        model_id: the number that events name the model by.
        graph: what runs; where it carries a state, long rows are cut into slices, between which others run.
        max_batch_size: most rows in one run.
        max_tokens: most positions, padding included, in one run; a row that is longer and cannot be cut runs alone.
        padding_budget: largest share of padded positions in a run, 0 to 1.
        clock: seconds, monotonic.
    """

    def __init__(
        self, model_id: int, graph: BatchedGraph, *, max_batch_size: int, max_tokens: int, padding_budget: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._model_id = model_id
        self._graph = graph
        self._max_batch_size = max_batch_size
        self._max_tokens = max_tokens
        self._longest = sys.maxsize if graph.carrying is None else slice_length(max_tokens, max_batch_size)
        self._padding_budget = padding_budget
        self._window = max(WINDOW_ROWS, WINDOW_BATCHES * max_batch_size)
        self._clock = clock
        self._works: dict[int, _Pending] = {}
        self._waiting: deque[_Row] = deque()  # first in line first
        self._events: list[Event] = []  # what is to be told; here, so that an error on the way costs nobody his answer

    @property
    def busy(self) -> bool:
        """Whether a turn has something to do."""
        return bool(self._works)

    @property
    def work_count(self) -> int:
        """How many works wait or run."""
        return len(self._works)

    def submit(self, work: ClassifyWork) -> None:
        """Queue the rows of a work. Whatever cannot be read of it leaves nothing behind."""
        pending = _Pending(
            work, [None] * len(work.rows), [b""] * len(work.rows), [[]] * len(work.rows) if work.keep_logits else []
        )
        begin = [_state(raw) for raw in work.states] or [None] * len(work.rows)
        rows = [_Row(pending, index, begin[index]) for index in range(len(work.rows))]
        self._works[work.work_id] = pending
        self._waiting.extend(rows)

    def cancel(self, work_id: int) -> None:
        """Drop a work, if it is still here."""
        pending = self._works.pop(work_id, None)
        if pending is not None:
            self._waiting = deque(row for row in self._waiting if row.pending is not pending)

    def abandon(self, error: ServiceError) -> list[Event]:
        """Fail everything that waits."""
        self._fail(set(self._works), error)
        return self._take_events()

    def turn(self) -> list[Event]:
        """Drop what has expired, run one batch, and tell what came of it."""
        self._expire()
        if self._waiting:
            self._run(self._take_batch())
        return self._take_events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _expire(self) -> None:
        now = self._clock()
        expired = {work_id for work_id, pending in self._works.items() if pending.work.deadline <= now}
        self._fail(expired, DeadlineExceededError("the deadline passed while the sequence waited for a batch"))

    def _take_batch(self) -> list[_Row]:
        window = list(islice(self._waiting, self._window))
        chosen = pick_batch(
            [min(row.left, self._longest) for row in window],
            max_rows=self._max_batch_size,
            padding_budget=self._padding_budget,
            max_tokens=self._max_tokens,
        )
        for position in reversed(chosen):
            del self._waiting[position]
        return [window[position] for position in chosen]

    def _run(self, batch: list[_Row]) -> None:
        begun = self._clock()
        steps, lengths = self._graph.pad([row.next_steps(self._longest) for row in batch])
        try:
            logits, states = self._compute(batch, steps, lengths)
        except InferenceFailedError as error:
            if len(batch) == 1:
                self._fail({batch[0].pending.work.work_id}, error)
            for row in batch if len(batch) > 1 else ():  # one bad row must not fail the others
                if row.pending.work.work_id in self._works:  # else another of its work was the bad one
                    self._run([row])
            return
        ended = self._clock()
        ratio = padding_ratio(lengths, steps.shape[1])
        self._events.append(Ran(self._model_id, self._graph.name, len(batch), ratio, ended - begun))
        bad = self._note(batch, lengths, logits, states, begun)
        self._fail(bad, InferenceFailedError(f"what the {self._graph.name} gave is not finite"))
        self._waiting.extend(row for row in batch if row.left and row.pending.work.work_id in self._works)
        self._answer(batch, ended)

    def _compute(
        self, batch: list[_Row], steps: npt.NDArray[Any], lengths: IntArray
    ) -> tuple[FloatArray, FloatArray | None]:
        """Logits, and the states that the rows end with if anybody asks for one."""
        carrying = self._graph.carrying
        asked = (row.state is not None or row.pending.work.keep_states or row.left > length
                 for row, length in zip(batch, lengths.tolist(), strict=True))  # fmt: skip
        if carrying is None or not any(asked):
            return self._graph.run(steps, lengths), None
        nothing = np.zeros(carrying.state_size, dtype=np.float32)
        return carrying.run(steps, lengths, np.stack([nothing if row.state is None else row.state for row in batch]))

    @staticmethod
    def _note(
        batch: list[_Row], lengths: IntArray, logits: FloatArray, states: FloatArray | None, begun: float
    ) -> set[int]:
        """Note what a run gave each row; return the works of those that got what is not finite."""
        bad, of_row = set(), logits_by_row(logits, lengths)
        for place, (row, found) in enumerate(zip(batch, probabilities_by_row(logits, lengths), strict=True)):
            pending = row.pending
            pending.begun = begun if pending.begun is None else pending.begun
            row.read += int(lengths[place])
            row.state = None if states is None else states[place]
            if found is None or row.spoilt:
                bad.add(pending.work.work_id)
                continue
            if logits.ndim != STEPWISE:  # a classifier answers from its last slice
                row.answer, row.logits = [], []
            row.answer += found
            row.logits += of_row[place].tolist() if pending.work.keep_logits else []
        return bad

    def _answer(self, batch: list[_Row], ended: float) -> None:
        """Answer works of which this batch read the last."""
        for row in batch:
            pending, work = row.pending, row.pending.work
            if row.left:
                continue
            pending.answers[row.index] = row.answer
            if work.keep_logits:
                pending.logits[row.index] = row.logits
            if work.keep_states and row.state is not None:
                pending.states[row.index] = row.state.astype(STATE_DTYPE).tobytes()
            answers = [one for one in pending.answers if one is not None]
            if len(answers) == len(pending.answers) and self._works.pop(work.work_id, None) is not None:
                begun = work.arrival if pending.begun is None else pending.begun
                states = pending.states if work.keep_states else []
                times = begun - work.arrival, ended - begun
                self._events.append(Classified(work.work_id, answers, *times, states, pending.logits))

    def _fail(self, work_ids: set[int], error: ServiceError) -> None:
        for work_id in sorted(work_ids):
            self._events.append(Failed(work_id, error.reason, error.message))
            self.cancel(work_id)


def _state(raw: bytes) -> FloatArray | None:
    """[state_size] from its bytes; None for none."""
    return np.frombuffer(raw, dtype=STATE_DTYPE).astype(np.float32) if raw else None
