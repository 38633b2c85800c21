"""What the command says it will take."""

from pathlib import Path

import pytest

from tests.bench.serving.__main__ import PARTS
from tests.bench.serving.parts.bench import Bench
from tests.bench.serving.schedule import EFFORTS, START_SECONDS, TURN_SECONDS, Effort


def test_tries_rounds_and_starts_add_up() -> None:
    effort = Effort(tries=10, each_round=3, starts=2, most_rounds=4)
    expected = 10 * (1 + TURN_SECONDS) + 4 * 3 * (2 + TURN_SECONDS) + 2 * START_SECONDS
    assert effort.seconds(rounds=5, counted=2, tried=1) == pytest.approx(expected)


def test_every_part_has_an_effort() -> None:
    assert set(EFFORTS) == set(PARTS)


def test_what_is_judged_takes_little_more_than_an_hour_by_default() -> None:
    parts = ("floor", "translation", "modes", "classification", "generation", "startup")
    bench = Bench(models=(), data=None, work=Path("work"))
    each = {
        name: EFFORTS[name].seconds(rounds=bench.rounds, counted=bench.seconds, tried=bench.briefly.seconds)
        for name in parts
    }
    assert sum(each.values()) < 70 * 60
