"""The arithmetic of the serving benchmark."""

import math

import pytest

from tests.bench.serving.figures import Sample, median, percentile, ratios, with_spread


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.5, 5.0, id="half of ten values do not exceed the fifth"),
        pytest.param(0.99, 10.0, id="of ten values the last is the 99th percentile"),
        pytest.param(0.0, 1.0, id="the least"),
    ],
)
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(10, 0, -1)], share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


def test_work_per_cpu_second_leaves_waiting_out() -> None:
    assert Sample(items_per_second=100, tokens_per_second=800, server_cpu=0.5).items_per_cpu_second == 200
    assert Sample(items_per_second=100, tokens_per_second=800, server_cpu=0.5).tokens_per_cpu_second == 1600


def test_ratios_are_of_the_same_round() -> None:
    ours = [Sample(10, 0), Sample(40, 0)]
    others = [Sample(5, 0), Sample(10, 0)]
    assert ratios(ours, others, "items_per_second") == [2.0, 4.0]


def test_a_figure_that_a_round_lacks_has_no_median() -> None:
    assert math.isnan(median([1.0, math.nan, 2.0]))


def test_a_median_comes_with_its_spread() -> None:
    assert with_spread([3000.0, 1000.0, 2000.0]) == "2,000 (1,000 to 3,000)"


def test_one_round_has_no_spread() -> None:
    assert with_spread([1.234], 2) == "1.23"
