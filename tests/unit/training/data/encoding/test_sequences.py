"""Sequences as numbers: labels stand where the service looks for them, readings are what it computes."""

import numpy as np
import pytest

from service.bundle.features import scale_rows
from service.text.tokenizer import Tokenizer
from service.text.words import LabelPosition
from training.data.encoding.batches import FloatArray, Steps
from training.data.encoding.sequences import LabelledSteps, learn_features, logits_at_labels, read_series, read_words
from training.data.encoding.tokenization import train_tokenizer
from training.data.examples import FeatureColumn, LabelledSeries, Origin, TaggedTokens
from training.errors import DataError
from training.settings.recipe import TokenizerSettings

CHARACTERS = Tokenizer.from_bytes(train_tokenizer(["abc"], TokenizerSettings(kind="characters")))
WORDS = Tokenizer.from_bytes(train_tokenizer(["a b"], TokenizerSettings(kind="words")))
COLUMNS = (FeatureColumn("temperature", "degC"), FeatureColumn("humidity", "%"))


def series(*rows: tuple[float | None, float | None], name: str = "Rome") -> LabelledSeries:
    return LabelledSeries(rows, ("dry",) * len(rows), name, COLUMNS, origin=Origin("days.csv", 2))


@pytest.mark.parametrize(("position", "places"), [("first", (0, 3)), ("last", (1, 5))])
def test_a_label_stands_at_the_first_or_the_last_token_of_its_word(
    position: LabelPosition, places: tuple[int, ...]
) -> None:
    read = read_words(CHARACTERS, position, TaggedTokens(("ab", "c", "abc"), ("X", "_", "Y")), "example 1")
    assert len(read.steps) == 6
    assert (read.positions, read.labels) == (places, ("X", "Y"))


def test_a_word_without_a_token_is_named_with_its_place() -> None:
    blank = TaggedTokens(("a", "\u2003"), ("X", "Y"), origin=Origin("dev.conll", 7))
    with pytest.raises(DataError, match=r"dev\.conll, line 7: word 2, '\\u2003', gives no token"):
        read_words(WORDS, "last", blank, "example 1")
    with pytest.raises(DataError, match="example 3: word 1"):
        read_words(WORDS, "last", TaggedTokens(("\u2003",), ("X",)), "example 3")


def test_scaling_is_learnt_from_what_is_there_and_imputation_where_something_is_missing() -> None:
    temperature, humidity = learn_features([series((1.0, 50.0), (3.0, None)), series((5.0, 70.0))]).features
    assert temperature.mean == 3.0
    assert temperature.scale == pytest.approx(float(np.std([1.0, 3.0, 5.0])))
    assert temperature.imputation == "refuse"
    assert (humidity.mean, humidity.scale, humidity.imputation, humidity.unit) == (60.0, 10.0, 60.0, "%")


def test_a_feature_that_never_changes_is_not_divided_by_zero() -> None:
    assert learn_features([series((1.0, 5.0), (1.0, 5.0))]).features[0].scale == 1.0


def test_a_feature_without_any_reading_is_named() -> None:
    with pytest.raises(DataError, match="feature 'humidity': expected readings in the training part, found none"):
        learn_features([series((1.0, None))])


def test_a_name_that_no_bundle_can_have_is_an_error() -> None:
    odd = LabelledSeries(((1.0,),), ("x",), "Rome", (FeatureColumn(" wind", "m/s"),))
    with pytest.raises(DataError, match=r"features\.0\.name"):
        learn_features([odd])


def test_readings_are_what_the_service_would_compute() -> None:
    features = learn_features([series((1.0, 50.0), (3.0, None), (8.0, 90.0))]).features
    read = read_series(features, series((2.0, None), (4.0, 80.0)), "series 1")
    expected = scale_rows(features, [{"temperature": 2.0}, {"temperature": 4.0, "humidity": 80.0}])
    assert isinstance(read.steps, np.ndarray)
    assert read.steps.dtype == np.float32
    assert read.steps.tolist() == np.array(expected, dtype=np.float32).tolist()
    assert read.positions == (0, 1)


def test_a_reading_that_training_always_had_must_not_be_missing_later() -> None:
    features = learn_features([series((1.0, 50.0), (2.0, 60.0))]).features
    with pytest.raises(DataError, match=r"days\.csv, line 2: Rome steps\[1\]\.humidity is missing"):
        read_series(features, series((1.0, 50.0), (1.0, None)), "series 1")


def test_pieces_hold_every_step_once_with_its_label() -> None:
    whole = LabelledSteps(list(range(10)), (0, 3, 4, 9), ("a", "b", "c", "d"))
    pieces = list(whole.pieces(4))
    assert [piece.steps for piece in pieces] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [(piece.positions, piece.labels) for piece in pieces] == [
        ((0, 3), ("a", "b")),
        ((0,), ("c",)),
        ((1,), ("d",)),
    ]


@pytest.mark.parametrize("longest", [None, 1, 4, 100])
def test_logits_come_back_for_labelled_steps_in_order(longest: int | None) -> None:
    sequences = [
        LabelledSteps(list(range(10)), (0, 3, 4, 9), ("a",) * 4),
        LabelledSteps([70, 71], (), ()),
        LabelledSteps([50], (0,), ("a",)),
    ]
    seen: list[int] = []

    def run(pieces: list[Steps]) -> list[FloatArray]:
        seen.extend(map(len, pieces))
        return [np.array([[step, -step] for step in piece], dtype=np.float32) for piece in pieces]

    found = logits_at_labels(sequences, longest, run)
    assert [one[:, 0].tolist() for one in found] == [[0, 3, 4, 9], [], [50]]
    assert max(seen) == (longest if longest in {1, 4} else 10)
