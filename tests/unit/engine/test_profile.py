"""The batch size that is learned by running, on a manual clock."""

from collections.abc import Callable

import pytest

from service.engine.profile import PROFILE_SECONDS, SIZES, learn_batch_size
from tests.fakes import ManualClock


class FakeRuns:
    """Runs that take as long as a formula says."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.clock = ManualClock()
        self.sizes: list[int] = []
        self._seconds = seconds

    def __call__(self, size: int) -> None:
        self.sizes.append(size)
        self.clock.now += self._seconds(size)

    def learned(self) -> int:
        """The batch size that these runs teach."""
        return learn_batch_size(self, self.clock)


@pytest.mark.parametrize(
    ("seconds", "learned"),
    [
        pytest.param(lambda size: 0.001, 32, id="rows cost nothing"),
        pytest.param(lambda size: 0.001 * size, 1, id="rows gain nothing"),
        pytest.param(lambda size: 0.001 * max(4, size), 4, id="four rows cost as much as one"),
        pytest.param(lambda size: 0.001 * (1 + size), 16, id="the last twentieth of the gain is not waited for"),
        pytest.param(lambda size: 0.0, 32, id="too fast for the clock"),
    ],
)
def test_the_smallest_batch_near_the_best_throughput_is_learned(seconds: Callable[[int], float], learned: int) -> None:
    assert FakeRuns(seconds).learned() == learned


def test_a_size_that_was_disturbed_once_is_judged_by_its_fastest_run() -> None:
    runs = FakeRuns(lambda size: 0.001)
    disturbed = FakeRuns(lambda size: 0.05 if size == 32 and disturbed.sizes.count(32) == 1 else 0.001)
    assert disturbed.learned() == runs.learned() == 32


@pytest.mark.parametrize("seconds", [0.004, 0.03, 0.2, 5.0])
def test_no_run_is_begun_that_would_end_after_the_time_for_it(seconds: float) -> None:
    runs = FakeRuns(lambda size: seconds * size)
    begun = runs.clock.now
    assert runs.learned() == 1
    assert runs.clock.now - begun <= max(PROFILE_SECONDS, seconds)


def test_what_there_was_no_time_to_try_is_not_chosen() -> None:
    runs = FakeRuns(lambda size: 0.07)
    assert runs.learned() == 4
    assert set(runs.sizes) < set(SIZES)
