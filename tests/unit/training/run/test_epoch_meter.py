"""Where the time of a pass goes, by a clock that moves only when told."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from training.data.encoding.batches import Batch, Padded
from training.optimization.updates import Update
from training.run.epoch_meter import EpochMeter

MAKING, LEARNING, VALIDATING = 2.0, 30.0, 7.0
CPU = torch.device("cpu")


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def slow_batches(clock: Clock, count: int) -> Iterator[Batch]:
    """Batches of which each takes a while to make, when it is asked for and not before."""
    for index in range(count):
        clock.seconds += MAKING
        yield Batch(np.array([index]), (Padded(np.ones((1, 7), dtype=np.int64), np.array([7])),))


def learn(meter: EpochMeter, clock: Clock) -> None:
    for batches in meter:
        clock.seconds += LEARNING
        meter.take_in(Update(torch.ones((), dtype=torch.float64), 1, torch.ones(()), signal=False), batches)


@pytest.mark.parametrize(("accumulate", "updates"), [(1, 4), (3, 2)])
def test_what_is_waited_for_is_the_making_of_batches_alone(accumulate: int, updates: int) -> None:
    clock = Clock()
    meter = EpochMeter(slow_batches(clock, 4), accumulate, CPU, clock)
    learn(meter, clock)
    clock.seconds += VALIDATING
    meter.add_validation(VALIDATING)
    epoch = meter.epoch(1, 0.5)
    assert epoch.data_seconds == 4 * MAKING
    assert epoch.seconds == 4 * MAKING + updates * LEARNING + VALIDATING
    assert epoch.waiting_share == 4 * MAKING / (4 * MAKING + updates * LEARNING)
    assert epoch.tokens_per_second == 28 / (4 * MAKING + updates * LEARNING)


def test_waiting_before_a_checkpoint_is_counted_once_the_run_goes_on() -> None:
    clock = Clock()
    before = EpochMeter(slow_batches(clock, 2), 1, CPU, clock)
    learn(before, clock)
    position = before.position([])
    clock.seconds += 1e6  # until somebody starts it again
    after = EpochMeter(slow_batches(clock, 3), 1, CPU, clock)
    after.skip_to(position)
    learn(after, clock)
    epoch = after.epoch(1, 0.5)
    assert epoch.data_seconds == 3 * MAKING
    assert epoch.seconds == 3 * (MAKING + LEARNING)


def test_nothing_is_made_before_it_is_asked_for() -> None:
    """So an update may be waited for at most as long as its own batches take to make."""
    clock = Clock()
    meter = iter(EpochMeter(slow_batches(clock, 100), 1, CPU, clock))
    next(meter)
    assert clock.seconds == 1000.0 + MAKING
