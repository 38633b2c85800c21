"""Groups waiting texts of a classifier into batches of similar length.   Knows queues, deadlines; no text, no gRPC."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.engine.batches import pad, padding_ratio, pick_batch
from service.engine.classify import probabilities
from service.engine.steps import Classify, FloatArray
from service.errors import DeadlineExceededError, InferenceFailedError
from service.serving.messages import Classified, ClassifyWork, Event, Failed, Ran

WINDOW_BATCHES = 4
"""How many batches' worth of the oldest rows are looked at for similar lengths."""


@dataclass
class _Pending:
    """A work, and what is known of its rows."""

    work: ClassifyWork
    answers: list[list[float] | None]
    begun: float | None = None


class Batcher:
    """Waiting rows of one classifier. `turn` runs one batch."""

    def __init__(
        self, model_id: int, classify: Classify, *, pad_id: int, max_batch_size: int, padding_budget: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._model_id = model_id
        self._classify = classify
        self._pad_id = pad_id
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
        pending = _Pending(work, [None] * len(work.rows))
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
        message = "the deadline passed while the text waited to be classified"
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
        sequences = [np.array(pending.work.rows[row], dtype=np.int64) for pending, row in batch]
        token_ids, lengths = pad(sequences, self._pad_id)
        try:
            logits = self._classify(token_ids, lengths)
        except InferenceFailedError as error:
            if len(batch) > 1:  # one bad row must not fail the others
                return [event for entry in batch for event in self._run([entry])]
            return self._fail({batch[0][0].work.work_id}, error.message)
        ended = self._clock()
        ratio = padding_ratio(lengths, token_ids.shape[1])
        ran = Ran(self._model_id, "classifier", len(batch), ratio, ended - begun)
        return [ran, *self._answer(batch, logits, begun, ended)]

    def _answer(self, batch: list[tuple[_Pending, int]], logits: FloatArray, begun: float, ended: float) -> list[Event]:
        bad = {batch[i][0].work.work_id for i in np.flatnonzero(~np.isfinite(logits).all(axis=-1))}
        events = self._fail(bad, "the classifier's logits are not finite")
        with np.errstate(invalid="ignore"):
            shares = probabilities(logits)
        for (pending, row), share in zip(batch, shares.tolist(), strict=True):
            pending.begun = begun if pending.begun is None else pending.begun
            pending.answers[row] = share
            answers = [answer for answer in pending.answers if answer is not None]
            if len(answers) == len(pending.answers) and self._works.pop(pending.work.work_id, None) is not None:
                queued = pending.begun - pending.work.arrival
                events.append(Classified(pending.work.work_id, answers, queued, ended - pending.begun))
        return events

    def _fail(self, work_ids: set[int], message: str) -> list[Event]:
        for work_id in work_ids:
            self.cancel(work_id)
        return [Failed(work_id, InferenceFailedError.reason, message) for work_id in sorted(work_ids)]
