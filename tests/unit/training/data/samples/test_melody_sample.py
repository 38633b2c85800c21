"""The sample for generation: whole bars, phrases that return, beginnings that were never trained."""

from collections import Counter

import pytest

from training.data.examples import PlainText, Splits
from training.data.samples.melodies import LONGEST, SHORTEST, prompt, validate_tune

TONICS = {"C": "C", "Dm": "D", "D": "D", "Em": "E", "F": "F", "G": "G", "Am": "A", "A": "A"}


def beginning_of(tune: PlainText) -> tuple[str, str, str]:
    """Metre, key and starting note."""
    metre, unit, key, music = tune.text.split("\n", 3)
    assert unit == "L:1/8"
    return metre.removeprefix("M:"), key.removeprefix("K:"), music[0]


def bars_of(tune: PlainText) -> list[str]:
    music = tune.text.split("\n", 3)[3]
    return music.removesuffix("|]").replace("\n", "").split("|")


def everything(sample: Splits[PlainText]) -> tuple[PlainText, ...]:
    return sample.training + sample.validation + sample.test


def test_every_tune_has_whole_bars(melody_sample: Splits[PlainText]) -> None:
    assert [tune.text for tune in everything(melody_sample) if validate_tune(tune.text)] == []


def test_every_tune_has_the_promised_length(melody_sample: Splits[PlainText]) -> None:
    lengths = [len(tune.text) for tune in everything(melody_sample)]
    assert min(lengths) >= SHORTEST
    assert max(lengths) <= LONGEST


def test_no_beginning_of_a_test_tune_was_trained_or_validated(melody_sample: Splits[PlainText]) -> None:
    known = {beginning_of(tune) for tune in melody_sample.training + melody_sample.validation}
    assert not known & {beginning_of(tune) for tune in melody_sample.test}


def test_every_key_metre_and_starting_note_of_the_test_was_trained(melody_sample: Splits[PlainText]) -> None:
    trained = [beginning_of(tune) for tune in melody_sample.training]
    for tune in melody_sample.test:
        for part in range(3):
            assert beginning_of(tune)[part] in {beginning[part] for beginning in trained}


def test_phrases_return_and_the_tune_ends_on_the_tonic(melody_sample: Splits[PlainText]) -> None:
    for tune in everything(melody_sample):
        first, _, again, closed, _, _, last_again, last_closed = bars_of(tune)
        assert first == again == last_again
        assert closed == last_closed
        assert last_closed.rstrip("0123456789")[-1].upper() == TONICS[beginning_of(tune)[1]]


def test_keys_and_metres_are_all_common(melody_sample: Splits[PlainText]) -> None:
    keys = Counter(beginning_of(tune)[1] for tune in melody_sample.training)
    metres = Counter(beginning_of(tune)[0] for tune in melody_sample.training)
    assert len(keys) == len(TONICS)
    assert min(keys.values()) > 400
    assert len(metres) == 3
    assert min(metres.values()) > 1000


def test_a_prompt_is_how_tunes_begin(melody_sample: Splits[PlainText]) -> None:
    tune = melody_sample.test[0]
    metre, key, note = beginning_of(tune)
    assert tune.text.startswith(prompt(key=key, metre=metre, starting_note=note))


HEADER = "M:3/4\nL:1/8\nK:G\n"


@pytest.mark.parametrize(
    "tune",
    [
        pytest.param("X:1\nT:A tune\n" + HEADER + "G2A2B2|c6|]", id="number and title"),
        pytest.param(HEADER + "G3/2A/B2^c2|_B,4 z2|\nG'6|]", id="fractions, accidentals, octaves, rests"),
        pytest.param(HEADER + "|:G6:|A6||B6|]", id="repeats and double bars"),
        pytest.param(HEADER + "G//A//B/c5|]", id="several slashes"),
    ],
)
def test_a_right_tune_has_no_problems(tune: str) -> None:
    assert validate_tune(tune) == []


@pytest.mark.parametrize(
    ("tune", "problem"),
    [
        pytest.param("M:3/4\nK:G\nG6|]", "field L is missing", id="no unit"),
        pytest.param("", "field M is missing", id="nothing"),
        pytest.param("M:3/x\nL:1/8\nK:G\nG6|]", "field M is no fraction: 3/x", id="odd metre"),
        pytest.param("M:3/4\nL:1/8\nK:H\nG6|]", "field K is no key: H", id="unknown key"),
        pytest.param(HEADER + "G6|A2|B6|]", "bar 2: holds 1/4 of 3/4", id="short bar"),
        pytest.param(HEADER + "G6|A8|B6|]", "bar 2: holds 1 of 3/4", id="long bar"),
        pytest.param(HEADER + "G6||A2|]", "bar 2: holds 1/4 of 3/4", id="short last bar"),
        pytest.param(HEADER + "G6|A6", "the final bar line |] is missing", id="no end"),
        pytest.param(HEADER + "G6|]A6|]", "something follows the final bar line", id="more after the end"),
        pytest.param(HEADER + "G6|?A6|]", "bar 2: unknown sign '?'", id="unknown sign"),
    ],
)
def test_a_wrong_tune_is_told_what_is_wrong(tune: str, problem: str) -> None:
    assert problem in validate_tune(tune)
