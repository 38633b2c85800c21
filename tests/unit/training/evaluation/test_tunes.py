"""Tunes are read by a parser that others keep, and bars are counted that are full."""

import pytest

from training.evaluation.tunes import TuneCheck, check_tunes

FIELDS = "M:4/4\nL:1/8\nK:G\n"


@pytest.mark.parametrize(
    ("music", "bars", "full"),
    [
        pytest.param("GABc d2 d2|edcB G4|", 2, 2, id="full"),
        pytest.param("edcB G4|GABc d2|edcB G4|", 3, 2, id="one too short"),
        pytest.param("D2|GABc d2 d2|edcB G4|", 2, 2, id="an upbeat does not count"),
        pytest.param('"G"[GB]ABc (3def (3def|z8|', 2, 2, id="chords, triplets, rests"),
        pytest.param("GABc d2 d2 e2|edcB G4|", 2, 1, id="one too long"),
        pytest.param("GABc d2 d2|{a}edcB {fg}G4|", 2, 2, id="grace notes take no time"),
        pytest.param("GABc d2 d2|M:3/4\nedcB G2|edcB G4|", 3, 2, id="the metre changes"),
    ],
)
def test_bars_are_as_long_as_their_metre_says(music: str, bars: int, full: int) -> None:
    assert check_tunes([FIELDS + music]) == TuneCheck(1, 1, bars, full)


@pytest.mark.parametrize("text", [FIELDS + "", "M:4/4\nL:1/8\nK:H9\n[[[", ""])
def test_what_is_no_tune_is_not_read(text: str) -> None:
    assert check_tunes([text, FIELDS + "GABc d2 d2|"]) == TuneCheck(2, 1, 1, 1)


def test_shares_are_percentages() -> None:
    check = TuneCheck(200, 150, 1000, 900)
    assert (check.read_share, check.full_share) == (75.0, 90.0)
    assert str(check) == "75.0 % of 200 tunes are read by music21, 90.0 % of their 1,000 bars are full"
