"""Groups waiting sequences into batches of similar length.   Knows queues, deadlines; no text, no gRPC.

Serves every model that reads whole sequences and answers each row at once: classifiers and labellers.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.engine.batches import padding_ratio, pick_batch
from service.engine.classify import logits_by_row, probabilities_by_row
from service.engine.steps import FloatArray, IntArray, Step
from service.errors import DeadlineExceededError, InferenceFailedError
from service.serving.messages import Classified, ClassifyWork, Event, Failed, Ran
from service.state.contents import STATE_DTYPE

_Answer = list[list[float]]  # [steps][labels]

WINDOW_BATCHES = 4
"""How many batches' worth of the oldest rows are looked at for similar lengths."""


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


class Batcher:
    """Waiting rows of one model. `turn` runs one batch."""

    def __init__(
        self, model_id: int, graph: BatchedGraph, *, max_batch_size: int, padding_budget: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._model_id = model_id
        self._graph = graph
        self._max_batch_size = max_batch_size
        self._padding_budget = padding_budget
        self._clock = clock
        self._works: dict[int, _Pending] = {}
        self._waiting: deque[tuple[_Pending, int]] = deque()  # (work, row index), oldest first

    @property
    def busy(self) -> bool:
        """Whether a turn has something to do."""
        return bool(self._works)

    def submit(self, work: ClassifyWork) -> None:
        """Queue the rows of a work."""
        pending = _Pending(
            work, [None] * len(work.rows), [b""] * len(work.rows), [[]] * len(work.rows) if work.keep_logits else []
        )
        self._works[work.work_id] = pending
        self._waiting.extend((pending, row) for row in range(len(work.rows)))

    def cancel(self, work_id: int) -> None:
        """Drop a work, if it is still here."""
        pending = self._works.pop(work_id, None)
        if pending is not None:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not pending)

    def abandon(self, message: str) -> list[Event]:
        """Fail everything that waits."""
        return self._fail(set(self._works), message)

    def turn(self) -> list[Event]:
        """Drop what has expired, run one batch, and tell what came of it."""
        events = self._expire()
        if self._waiting:
            events += self._run(self._take_batch())
        return events

    def _expire(self) -> list[Event]:
        now = self._clock()
        expired = [work_id for work_id, pending in self._works.items() if pending.work.deadline <= now]
        for work_id in expired:
            self.cancel(work_id)
        message = "the deadline passed while the sequence waited for a batch"
        return [Failed(work_id, DeadlineExceededError.reason, message) for work_id in expired]

    def _take_batch(self) -> list[tuple[_Pending, int]]:
        window = [self._waiting[i] for i in range(min(len(self._waiting), WINDOW_BATCHES * self._max_batch_size))]
        lengths = [len(pending.work.rows[row]) for pending, row in window]
        chosen = pick_batch(lengths, max_rows=self._max_batch_size, padding_budget=self._padding_budget)
        for position in reversed(chosen):
            del self._waiting[position]
        return [window[position] for position in chosen]

    def _run(self, batch: list[tuple[_Pending, int]]) -> list[Event]:
        begun = self._clock()
        steps, lengths = self._graph.pad([pending.work.rows[row] for pending, row in batch])
        try:
            logits, states = self._compute(batch, steps, lengths)
        except InferenceFailedError as error:
            if len(batch) > 1:  # one bad row must not fail the others
                return [event for entry in batch for event in self._run([entry])]
            return self._fail({batch[0][0].work.work_id}, error.message)
        ended = self._clock()
        ratio = padding_ratio(lengths, steps.shape[1])
        ran = Ran(self._model_id, self._graph.name, len(batch), ratio, ended - begun)
        found = probabilities_by_row(logits, lengths)
        self._keep_states(batch, found, states)
        for (pending, row), kept in zip(batch, logits_by_row(logits, lengths), strict=True):
            if pending.work.keep_logits:
                pending.logits[row] = kept.tolist()
        return [ran, *self._answer(batch, found, begun, ended)]

    def _compute(
        self, batch: list[tuple[_Pending, int]], steps: npt.NDArray[Any], lengths: IntArray
    ) -> tuple[FloatArray, FloatArray | None]:
        """Logits, and the states that the rows end with if a row begins with one or keeps one."""
        carrying, works = self._graph.carrying, [pending.work for pending, _ in batch]
        if carrying is None or not any(work.states or work.keep_states for work in works):
            return self._graph.run(steps, lengths), None
        begin = np.zeros((len(batch), carrying.state_size), dtype=np.float32)
        for place, (pending, row) in enumerate(batch):
            if pending.work.states and pending.work.states[row]:
                begin[place] = np.frombuffer(pending.work.states[row], dtype=STATE_DTYPE)
        return carrying.run(steps, lengths, begin)

    @staticmethod
    def _keep_states(batch: list[tuple[_Pending, int]], found: list[_Answer | None], states: FloatArray | None) -> None:
        """Note the states that rows are to keep; a row whose state is not finite has no answer."""
        for place, (pending, row) in enumerate(batch):
            if states is not None and pending.work.keep_states:
                pending.states[row] = states[place].astype(STATE_DTYPE).tobytes()
                if not np.isfinite(states[place]).all():
                    found[place] = None

    def _answer(
        self, batch: list[tuple[_Pending, int]], found: list[_Answer | None], begun: float, ended: float
    ) -> list[Event]:
        bad = {pending.work.work_id for (pending, _), answer in zip(batch, found, strict=True) if answer is None}
        events = self._fail(bad, f"what the {self._graph.name} gave is not finite")
        for (pending, row), answer in zip(batch, found, strict=True):
            pending.begun = begun if pending.begun is None else pending.begun
            pending.answers[row] = answer
            answers = [one for one in pending.answers if one is not None]
            if len(answers) == len(pending.answers) and self._works.pop(pending.work.work_id, None) is not None:
                queued = pending.begun - pending.work.arrival
                states = pending.states if pending.work.keep_states else []
                computed = ended - pending.begun
                events.append(Classified(pending.work.work_id, answers, queued, computed, states, pending.logits))
        return events

    def _fail(self, work_ids: set[int], message: str) -> list[Event]:
        for work_id in work_ids:
            self.cancel(work_id)
        return [Failed(work_id, InferenceFailedError.reason, message) for work_id in sorted(work_ids)]
