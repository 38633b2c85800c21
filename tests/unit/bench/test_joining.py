"""What joining costs: the p99 of a bare step, and how the streams' growth is compared with it."""

import math

import pytest

from tests.bench.serving.figures import Sample
from tests.bench.serving.parts.generation import UNSHARED_SETTINGS, paced
from tests.bench.serving.parts.joining import (
    MOST_EXCESS,
    SHARING,
    UNSHARED,
    Join,
    join_targets,
    joins_section,
    joins_table,
    p99_of_steps,
)
from tests.bench.serving.rounds import Measured

PACED = Join(before=15.0, after=18.0, step_before=0.25, step_after=0.75)
PLAIN = Join(before=1.0, after=3.0, step_before=0.25, step_after=0.75)


@pytest.mark.parametrize(
    ("join", "excess"),
    [
        pytest.param(PLAIN, 1.0, id="as many times as much as the step"),
        pytest.param(Join(2.0, 9.0, 0.5, 1.5), 1.5, id="half as much again"),
        pytest.param(PACED, 0.4, id="what both have in them makes it small"),
    ],
)
def test_the_excess_compares_how_both_are_multiplied(join: Join, excess: float) -> None:
    assert join.excess == pytest.approx(excess)


def test_the_rise_compares_what_is_added_to_both() -> None:
    assert (PLAIN.rise_ms, PLAIN.step_rise_ms) == (2.0, 0.5)
    assert PLAIN.rise_excess == 4.0


def test_a_step_that_did_not_rise_is_nothing_to_compare_with() -> None:
    assert math.isinf(Join(1.0, 2.0, 0.5, 0.5).rise_excess)


def test_the_p99_of_a_step_leaves_the_first_tenth_out() -> None:
    moments, now = [0.0], 0.0
    for number in range(1000):
        now += 5.0 if number < 100 else 2.0 if number >= 992 else 1.0  # of the 900 that count, 8 are slow
        moments.append(now)
    assert p99_of_steps(moments) == 1000.0
    assert p99_of_steps([*moments, now + 2.0, now + 4.0]) == 2000.0


def test_what_joining_costs_comes_with_its_spread() -> None:
    table = joins_table({SHARING: [PACED], UNSHARED: [PLAIN, Join(3.0, 4.0, 0.75, 1.0)]})
    streams, step = table.splitlines()[-2:]
    assert "| 2.00 (1.00 to 3.00) | 3.50 (3.00 to 4.00) | 1.50 (1.00 to 2.00) | 1.00 (1.00 to 1.00) |" in streams
    assert "| 0.50 (0.25 to 0.75) | 0.88 (0.75 to 1.00) | 0.38 (0.25 to 0.50) |" in step


def test_the_target_is_judged_where_each_token_is_a_message() -> None:
    growth, rise, other = join_targets({SHARING: [PACED], UNSHARED: [PLAIN]})
    assert (growth.is_judged, rise.is_judged, other.is_judged) == (True, True, False)
    assert growth.values == pytest.approx([1.0])
    assert rise.values == pytest.approx([4.0])
    assert growth.bound == rise.bound == MOST_EXCESS
    assert [one.verdict for one in (growth, rise, other)] == ["met", "missed", "met"]


def test_the_page_tells_the_rise_in_ms() -> None:
    text = joins_section({SHARING: [PACED], UNSHARED: [PLAIN]})
    assert "the streams' p99 rises by 2.00, the bare step's by 0.50" in text


def test_like_is_compared_with_like() -> None:
    plain, unshared = "seqserve, defaults", f"seqserve, defaults, {UNSHARED}"
    measured = Measured({title: [Sample(1, 1)] for title in (plain, unshared, "Triton")})
    assert list(paced(measured, unshared=True).samples) == [unshared, "Triton"]
    assert list(paced(measured, unshared=False).samples) == [plain, "Triton"]
    assert unshared in UNSHARED_SETTINGS
