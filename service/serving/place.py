"""One request's place in a model's queue, and what becomes of it.   Knows clocks; knows no text and no metrics."""

import time
from dataclasses import dataclass

from service.errors import InferenceFailedError
from service.serving.api import Timings
from service.serving.catalog import ReadyModel
from service.serving.engines.messages import Classified, Decoded, Tokens
from service.serving.engines.ticket import Ticket


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
