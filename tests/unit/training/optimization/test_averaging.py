"""Averages of weights, against means computed by hand."""

from typing import Any

import pytest
import torch
from torch import nn

from training.optimization.averaging import Average, exchanged, new_average
from training.settings.training import (
    AveragingSettings,
    ExponentialAveraging,
    LastAveraging,
    TriggeredAveraging,
)

KINDS = [
    pytest.param(ExponentialAveraging(kind="exponential", decay=0.9), id="exponential"),
    pytest.param(LastAveraging(kind="last", count=2), id="last"),
    pytest.param(TriggeredAveraging(kind="triggered", patience=1), id="triggered"),
]


def model() -> nn.Linear:
    return nn.Linear(2, 1, bias=False)


def move(changed: nn.Linear, value: float) -> None:
    with torch.no_grad():
        changed.weight.fill_(value)


def mean_of(average: Average) -> float | None:
    weights = average.weights()
    return None if weights is None else float(weights[0][0, 0])


def run(average: Average, changed: nn.Linear, values: list[float]) -> None:
    """Update to each value, and validate after every second update with a metric that falls."""
    for place, value in enumerate(values):
        move(changed, value)
        average.on_update()
        if place % 2:
            average.before_validation()
            average.after_validation([-float(count) for count in range(place)])


def test_without_a_setting_the_weights_are_as_they_are() -> None:
    average = new_average(model(), None)
    average.on_update()
    assert average.weights() is None
    assert average.state() == {}


def test_an_exponential_average_forgets_by_its_decay_and_faster_at_first() -> None:
    changed = model()
    average = new_average(changed, ExponentialAveraging(kind="exponential", decay=0.3))
    run(average, changed, [1.0, 2.0, 4.0])
    second = 1.0 + (1 - 3 / 12) * (2.0 - 1.0)  # (1 + 2) / (10 + 2) is below 0.3
    third = second + (1 - 0.3) * (4.0 - second)  # (1 + 3) / (10 + 3) is not
    assert mean_of(average) == pytest.approx(third)


def test_an_average_of_the_last_validations_is_their_mean() -> None:
    changed = model()
    average = new_average(changed, LastAveraging(kind="last", count=2))
    for value, expected in ((1.0, 1.0), (2.0, 1.5), (5.0, 3.5)):
        move(changed, value)
        average.on_update()
        average.before_validation()
        assert mean_of(average) == pytest.approx(expected)


def test_a_triggered_average_begins_when_validation_stops_improving() -> None:
    changed = model()
    average = new_average(changed, TriggeredAveraging(kind="triggered", patience=2))
    for gains in ([3.0], [3.0, 2.0], [3.0, 2.0, 2.9]):  # nothing is worse than the best of all but the last two
        average.on_update()
        average.after_validation(gains)
        assert average.weights() is None
    average.after_validation([3.0, 2.0, 2.9, 2.95])
    for value in (1.0, 2.0, 6.0):
        move(changed, value)
        average.on_update()
    average.after_validation([3.0, 2.0, 2.9, 2.95, 9.0])
    assert mean_of(average) == pytest.approx(3.0)


@pytest.mark.parametrize("settings", KINDS)
def test_a_restored_average_goes_on_to_the_same_bits(settings: AveragingSettings) -> None:
    values = [1.0, 2.5, 3.1, -4.7, 0.3, 8.9]
    changed = model()
    whole = new_average(changed, settings)
    run(whole, changed, values)
    stopped = new_average(changed, settings)
    run(stopped, changed, values[:4])
    state: dict[str, Any] = stopped.state()
    resumed = new_average(changed, settings)
    resumed.restore(state)
    if settings.kind == "triggered":  # its list of validations begins anew in `run`: they only fall
        assert state["triggered"]
    run(resumed, changed, values[4:])
    first, second = whole.weights(), resumed.weights()
    assert first is not None
    assert second is not None
    assert torch.equal(first[0], second[0])


def test_a_model_has_other_weights_for_a_while_and_its_own_again_whatever_happens() -> None:
    changed = model()
    move(changed, 1.0)
    with pytest.raises(RuntimeError, match="by the way"), exchanged(changed, [torch.full((1, 2), 7.0)]):  # noqa: PT012
        assert changed.weight.tolist() == [[7.0, 7.0]]
        raise RuntimeError("by the way")
    assert changed.weight.tolist() == [[1.0, 1.0]]
    with exchanged(changed, None):
        assert changed.weight.tolist() == [[1.0, 1.0]]
