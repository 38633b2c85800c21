"""Finding corpora by name, and the two ways in which recipes change their training examples."""

from collections import Counter
from pathlib import Path

import pytest

from training.data.examples import LabelledText, PlainText, Splits, TaggedTokens, TextPair
from training.data.load import load_corpus, select_examples
from training.errors import DataError
from training.settings.recipe import DataSettings

LABELLED = tuple(LabelledText(f"text {number}", "even" if number % 2 == 0 else "odd") for number in range(100))


def settings(*, max_examples: int | None = None, shuffle_labels: bool = False) -> DataSettings:
    return DataSettings(corpus="any", max_examples=max_examples, shuffle_labels=shuffle_labels)


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        pytest.param("sst3", None, "corpus 'sst3' is unknown; known are sample-clues, .*sst2-stsa", id="unknown"),
        pytest.param("sst2-stsa", None, "name the folder that holds sst2-stsa/", id="no folder named"),
        pytest.param(
            "sst2-stsa", Path("/nonexistent"), "expected the folder of corpus 'sst2-stsa'", id="no folder there"
        ),
        pytest.param("../secrets", Path(), "is unknown", id="a path is no name"),
    ],
)
def test_a_corpus_that_cannot_be_found_says_why(name: str, folder: Path | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_corpus(name, folder)


def test_max_examples_thins_training_alone_and_by_no_seed() -> None:
    splits = Splits(LABELLED, LABELLED[:50], LABELLED[:40])
    thinned = select_examples(splits, settings(max_examples=10), seed=1)
    assert len(thinned.training) == 10
    assert set(thinned.training) <= set(LABELLED)
    assert (thinned.validation, thinned.test) == (splits.validation, splits.test)
    assert select_examples(splits, settings(max_examples=10), seed=1) == thinned
    assert select_examples(splits, settings(max_examples=10), seed=2) == thinned, "comparisons are on one subset"


def test_nothing_is_changed_unless_asked() -> None:
    splits = Splits(LABELLED, LABELLED[:50], LABELLED[:40])
    assert select_examples(splits, settings(max_examples=1000), seed=1) == splits


def test_shuffled_labels_are_the_same_labels_on_other_texts() -> None:
    splits = select_examples(Splits(LABELLED, LABELLED, LABELLED), settings(shuffle_labels=True), seed=1)
    assert [example.text for example in splits.training] == [example.text for example in LABELLED]
    assert Counter(example.label for example in splits.training) == Counter(example.label for example in LABELLED)
    agreeing = sum(one.label == other.label for one, other in zip(splits.training, LABELLED, strict=True))
    assert 25 < agreeing < 75
    assert splits.test == LABELLED


def test_shuffled_pairs_keep_their_sources() -> None:
    pairs = tuple(TextPair(f"source {number}", f"target {number}") for number in range(100))
    training = select_examples(Splits(pairs, (), ()), settings(shuffle_labels=True), seed=1).training
    assert [pair.source for pair in training] == [pair.source for pair in pairs]
    assert {pair.target for pair in training} == {pair.target for pair in pairs}
    assert sum(one == other for one, other in zip(training, pairs, strict=True)) < 10


def test_shuffled_tags_come_from_another_sentence_and_leave_steps_without_one() -> None:
    tagged = tuple(TaggedTokens(("he", str(index)), (tag, "_")) for index, tag in enumerate("XY" * 50))
    training = select_examples(Splits(tagged, (), ()), settings(shuffle_labels=True), seed=1).training
    assert [example.tokens for example in training] == [example.tokens for example in tagged]
    assert {example.tags for example in training} == {("X", "_"), ("Y", "_")}
    changed = sum(example != other for example, other in zip(training, tagged, strict=True))
    assert 30 < changed < 70


def test_shuffled_plain_texts_keep_their_characters() -> None:
    texts = (PlainText("abcdefghij" * 5),)
    (text,) = select_examples(Splits(texts, (), ()), settings(shuffle_labels=True), seed=1).training
    assert text != texts[0]
    assert Counter(text.text) == Counter(texts[0].text)
