"""How targets are judged."""

import pytest

from tests.bench.serving.targets import Target, target_table


@pytest.mark.parametrize(
    ("values", "at_least", "verdict"),
    [
        pytest.param([0.7, 0.9, 0.85], True, "met", id="the median reaches the bound"),
        pytest.param([0.7, 0.9, 0.8], True, "missed", id="one good round is not enough"),
        pytest.param([0.7, 0.9, 0.8], False, "met", id="staying below"),
        pytest.param([0.9, 0.9, 0.8], False, "missed", id="not staying below"),
        pytest.param([], True, "not measured", id="a contender did not run"),
    ],
)
def test_a_target_is_judged_by_its_median(values: list[float], at_least: bool, verdict: str) -> None:
    assert Target("ours over theirs", values, 0.85, at_least).verdict == verdict


def test_the_table_tells_bound_ratio_and_verdict() -> None:
    table = target_table([Target("of the limit", [0.5, 0.6, 0.7], 0.85)])
    assert table.splitlines()[-1] == "| of the limit | at least 0.85 | 0.60 (0.50 to 0.70) | missed |"


def test_another_way_to_look_at_a_target_is_not_judged() -> None:
    table = target_table([Target("in ms", [2.0], 1.2, at_least=False, is_judged=False)])
    assert table.splitlines()[-1].endswith("| not judged; would be missed |")
