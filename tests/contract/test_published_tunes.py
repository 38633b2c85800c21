"""Tunes that the published model writes hold together about as well as tunes that people wrote."""

import os
import re

import pytest
from typer.testing import CliRunner

from service.bundle.store import CARD_NAME
from tests.published import newest_published
from training.commands.app import app

SHARES = re.compile(r"([\d.]+) % of 200 tunes are read by music21, ([\d.]+) % of their [\d,]+ bars are full")
POINTS = 2.0


def in_the_card(name: str) -> float:
    """A score that the card of the published model has, in percent."""
    card = (newest_published("melody") / CARD_NAME).read_text()
    found = re.search(rf"^\| {name} \| \w+ \| ([\d.]+) \|", card, re.MULTILINE)
    assert found is not None, f"the card has no score {name!r}"
    return float(found[1])


@pytest.mark.parametrize("measure", ["tunes read", "full bars"])
def test_the_card_says_that_tunes_are_within_two_points_of_held_out_ones(measure: str) -> None:
    assert in_the_card(measure) >= in_the_card(f"{measure} of 200 held-out ones") - POINTS


@pytest.mark.skipif("SEQSERVE_DATA" not in os.environ, reason="SEQSERVE_DATA names no folder of corpora")
@pytest.mark.filterwarnings("ignore::music21.exceptions21.Music21DeprecationWarning")
def test_two_hundred_tunes_are_read_and_full_within_two_points_of_as_many_held_out_ones() -> None:
    done = CliRunner().invoke(app, ["tunes", str(newest_published("melody"))])
    assert done.exit_code == 0, done.output
    written, held_out = (tuple(map(float, pair)) for pair in SHARES.findall(done.output))
    assert held_out[0] > 95
    assert held_out[1] > 80
    assert written[0] >= held_out[0] - POINTS
    assert written[1] >= held_out[1] - POINTS
