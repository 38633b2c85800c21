"""Tunes that the published model writes hold together about as well as tunes that people wrote."""

import os
import re

import pytest
from typer.testing import CliRunner

from tests.published import PUBLISHED
from training.commands.app import app

SHARES = re.compile(r"([\d.]+) % of 200 tunes are read by music21, ([\d.]+) % of their [\d,]+ bars are full")
POINTS = 2.0


@pytest.mark.skipif("SEQSERVE_DATA" not in os.environ, reason="SEQSERVE_DATA names no folder of corpora")
@pytest.mark.filterwarnings("ignore::music21.exceptions21.Music21DeprecationWarning")
def test_two_hundred_tunes_are_read_and_full_within_two_points_of_as_many_held_out_ones() -> None:
    done = CliRunner().invoke(app, ["tunes", str(PUBLISHED / "melody" / "1")])
    assert done.exit_code == 0, done.output
    written, held_out = (tuple(map(float, pair)) for pair in SHARES.findall(done.output))
    assert held_out[0] > 95
    assert held_out[1] > 80
    assert written[0] >= held_out[0] - POINTS
    assert written[1] >= held_out[1] - POINTS
