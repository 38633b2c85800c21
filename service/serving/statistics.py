"""What a version has done since it was loaded: requests and runs, counted and timed.   Knows no metrics and no wire."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Spent:
    """How often something was done, and the seconds that it took together."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Note one more."""
        self.count += 1
        self.seconds += seconds


@dataclass
class RequestTally:
    """Requests of one version.

    Args:
        success: those that were answered, from arrival to answer.
        fail: those that were not, for whatever reason.
        reading: of those answered, from arrival until an engine was sent the work.
        queue: from there until a batch took it in.
        compute: from there until its last result.
        writing: from there to the answer.
        inference_count: sequences in the requests that were answered.
        last_inference_time: when the last was answered, in seconds since 1970; 0: never.
    """

    success: Spent = field(default_factory=Spent)
    fail: Spent = field(default_factory=Spent)
    reading: Spent = field(default_factory=Spent)
    queue: Spent = field(default_factory=Spent)
    compute: Spent = field(default_factory=Spent)
    writing: Spent = field(default_factory=Spent)
    inference_count: int = 0
    last_inference_time: float = 0.0

    def answered(self, sequence_count: int, reading: float, queue: float, compute: float, total: float) -> None:
        """Note a request that was answered, and the seconds of its parts."""
        self.success.add(total)
        self.reading.add(reading)
        self.queue.add(queue)
        self.compute.add(compute)
        self.writing.add(max(0.0, total - reading - queue - compute))
        self.inference_count += sequence_count
        self.last_inference_time = time.time()


@dataclass(frozen=True)
class ModelStatistics:
    """What one version has done. `runs` are of all its graphs, by the rows in a run."""

    name: str
    version: int
    requests: RequestTally
    runs: Mapping[int, Spent]
