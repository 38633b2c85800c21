"""Places in the models' queues: who has one, and what becomes of it, for the metrics.   Knows clocks; knows no text."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import DeadlineExceededError, InferenceFailedError, QueueFullError, ServiceError
from service.metrics import REJECTION_REASONS, Metrics
from service.serving.api import Timings
from service.serving.catalog import ReadyModel
from service.serving.engines.messages import Classified, Decoded, Tokens, Work
from service.serving.engines.pool import EnginePool
from service.serving.engines.ticket import Ticket

CLOCK_SLACK_SECONDS = 0.01
"""A cancellation so shortly before the deadline is the deadline's: gRPC ends calls by a clock of its own."""


@dataclass
class Place:
    """A request that waits or runs.

    Args:
        ready: the model.
        sequence_count: how many sequences it brings.
        arrival: when it came.
        deadline: when it ends.
        ticket: its work, once an engine has it.
        submitted: when an engine was sent that.
        begun: whether an engine is known to have begun.
    """

    ready: ReadyModel
    sequence_count: int
    arrival: float
    deadline: float
    ticket: Ticket | None = None
    submitted: float | None = None
    begun: bool = False
    _answered: bool = False

    def hold(self, ticket: Ticket) -> Ticket:
        """Note the work that an engine has been sent."""
        self.ticket, self.submitted = ticket, time.monotonic()
        return ticket

    def answered(self, answer: Classified | Decoded) -> Timings:
        """Note the answer; where the request's time went."""
        now = time.monotonic()
        self.begun = self._answered = True
        timings = Timings(answer.queue_seconds, answer.compute_seconds, now - self.arrival)
        # the engine may have begun before this process went on; it counts its queue from arrival
        reading = min((now if self.submitted is None else self.submitted) - self.arrival, timings.queue_seconds)
        self.ready.requests.answered(
            self.sequence_count,
            reading,
            timings.queue_seconds - reading,
            timings.compute_seconds,
            timings.total_seconds,
        )
        return timings

    def stopped(self, last: Tokens) -> Decoded:
        """The end of a work whose last sample met a stop string, before the engine has told of it."""
        queued = last.queue_seconds
        return Decoded(last.work_id, [], queued, time.monotonic() - self.arrival - queued)

    def failed(self, error: BaseException) -> None:
        """Note that the request ended by an error, or was left."""
        self.begun |= isinstance(error, InferenceFailedError)
        if not self._answered:
            self.ready.requests.fail.add(time.monotonic() - self.arrival)


class Places:
    """Gives requests their places, and tells the metrics what becomes of them.

    Args:
        pool: the engines that do the work.
        metrics: receives queue times, first tokens, tokens and refusals.
        queue_capacity: most sequences per model version that wait or run; more are refused at once.
    """

    def __init__(self, pool: EnginePool, metrics: Metrics, *, queue_capacity: int) -> None:
        self._pool = pool
        self._metrics = metrics
        self._queue_capacity = queue_capacity

    @contextmanager
    def take(self, ready: ReadyModel, sequence_count: int, arrival: float, deadline: float) -> Iterator[Place]:
        """Take places in the model's queue; give them back, with the work that was submitted, whatever happens.

        Raises:
            QueueFullError: the queue has no room for so many sequences.
        """
        name = ready.info.name
        if ready.outstanding + sequence_count > self._queue_capacity:
            raise QueueFullError(
                f"model {ready.reference} has {ready.outstanding} sequences waiting or running and takes at most "
                f"{self._queue_capacity}; this request brings {sequence_count} more",
                model=name,
                capacity=self._queue_capacity,
            )
        series = self._metrics.of_model(name)
        series.queue_capacity.set(self._queue_capacity)
        place = Place(ready, sequence_count, arrival, deadline)
        ready.outstanding += sequence_count
        series.texts_in_flight.inc(sequence_count)
        try:
            yield place
        except BaseException as error:
            place.failed(error)
            raise
        finally:
            if place.ticket is not None:
                self._pool.release(place.ticket)
                if not place.begun:  # it failed, expired or was left while it waited
                    series.queue_seconds.observe(time.monotonic() - arrival)
            ready.outstanding -= sequence_count
            series.texts_in_flight.dec(sequence_count)

    def submit(self, place: Place, make_work: Callable[[int], Work]) -> Ticket:
        """Send an engine the work of a place."""
        return place.hold(self._pool.submit(make_work, place.deadline))

    def timings(self, place: Place, answer: Classified | Decoded) -> Timings:
        """Note the answer; where the request's time went."""
        self._metrics.of_model(place.ready.info.name).queue_seconds.observe(answer.queue_seconds)
        return place.answered(answer)

    def note_first_token(self, name: str, seconds: float) -> None:
        """Note how long after its arrival a request of a model had its first token."""
        self._metrics.of_model(name).time_to_first_token_seconds.observe(seconds)

    def count_tokens(self, name: str, count: int) -> None:
        """Count tokens that a model has written."""
        self._metrics.of_model(name).generated_tokens.inc(count)

    @contextmanager
    def counting_refusals(self, reference: str, deadline: float) -> Iterator[None]:
        """Count what is refused, or ends because the deadline passes or an engine dies, by reason."""
        try:
            yield
        except ServiceError as error:
            if error.reason in REJECTION_REASONS:
                self._count_refusal(reference, error.reason)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if time.monotonic() >= deadline - CLOCK_SLACK_SECONDS:
                self._count_refusal(reference, DeadlineExceededError.reason)
            raise

    def _count_refusal(self, reference: str, reason: str) -> None:
        self._metrics.requests_rejected.labels(self._metrics.model_label(reference), reason).inc()
