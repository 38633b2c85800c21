"""The real corpora, where the user keeps them: how many examples, of what, and that no part knows another."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.trained import ROOT
from training.data.examples import LabelledSeries, LabelledText, PlainText, TaggedTokens, labels_of
from training.data.load import load_corpus
from training.data.splitting import keys_of, normalise_sentence
from training.data.statistics import find_overlaps
from training.preparation.provenance import data_sha256

pytestmark = pytest.mark.data

COUNTS = {
    "folk-abc": (1_484, 181, 168),
    "imdb": (22_383, 2_494, 25_000),
    "imdb-and-phrases": (22_383 + 63_968, 2_494 + 872, 25_000),
    "imdb-text": (22_293, 1_280, 1_214),
    "manythings-ita-eng-more": (345_196 + 10_000, 3_522, 3_322),
    "irish-abc": (636, 88, 78),
    "multi30k-en-de": (29_000, 1_014, 1_000),
    "multi30k-en-de-2017": (29_000, 1_014, 1_000),
    "multi30k-en-de-tok": (29_000, 1_014, 1_000),
    "multi30k-en-de-tok-2017": (29_000, 1_014, 1_000),
    "names": (14_508, 1_759, 1_745),
    "nottingham-abc": (848, 93, 90),
    "ptb": (42_068, 3_370, 3_761),
    "sst2-glue": (63_968, 872, 1_821),
    "sst2-text": (6_916, 872, 1_821),
    "tinyshakespeare": (2, 1, 1),
    "ud-english-ewt": (12_544, 2_001, 2_077),
    "weather-aus": (49, 49, 49),
    "wnut17": (3_394, 1_009, 1_287),
}
"""Training, validation, test. Those that the project splits by hash are its own, and stay as they are."""

LABELS = {
    "imdb": 2,
    "imdb-and-phrases": 2,
    "names": 18,
    "sst2-glue": 2,
    "ud-english-ewt": 17,
    "weather-aus": 2,
    "wnut17": 13,
}
WITHOUT_SHARED_TEXTS = ("folk-abc", "imdb", "imdb-text", "irish-abc", "names", "nottingham-abc")


@pytest.fixture(scope="module")
def data_folder() -> Path:
    folder = os.environ.get("SEQSERVE_DATA")
    if not folder:
        pytest.skip("SEQSERVE_DATA names no folder of real corpora")
    return Path(folder)


def test_the_split_of_tatoeba_is_the_one_that_the_documentation_publishes(data_folder: Path) -> None:
    splits = load_corpus("manythings-ita-eng", data_folder)
    page = (ROOT / "docs/data.md").read_text()
    assert data_sha256(splits) in page
    assert f"{len(splits.training):,} pairs for training, {len(splits.validation):,} for validation" in page


def test_tunes_of_the_test_are_as_near_to_those_of_training_as_the_documentation_says(data_folder: Path) -> None:
    found = find_overlaps(load_corpus("folk-abc", data_folder))
    near = [one.count for one in found if (one.part, one.other) == ("test", "training") and "notes" in one.shared]
    assert "Of the 168 test tunes of `folk-abc`, {} has all of its notes, and {} have".format(*near) in " ".join(
        (ROOT / "docs/data.md").read_text().split()
    )


def test_phrases_that_stand_in_other_parts_are_as_many_as_the_documentation_says(data_folder: Path) -> None:
    splits = load_corpus("sst2-glue", data_folder)
    phrases, validation, test = (
        [normalise_sentence(example.text) for example in part if isinstance(example, LabelledText)]
        for part in (splits.training, splits.validation, splits.test)
    )
    of_validation, of_test = runs_of_words(validation), runs_of_words(test)
    found = [phrase for phrase in phrases if phrase in of_test]
    lengths = [len(phrase.split()) for phrase in found]
    told = (
        f"{len(found)} of the {len(phrases):,} phrases that remain are still a run of words of a test sentence, and "
        f"{sum(phrase in of_validation for phrase in phrases)} of a validation sentence, "
        f"{sum(phrase in of_validation or phrase in of_test for phrase in phrases)} of either. Of the {len(found)}, "
        f"{sum(length <= 2 for length in lengths)} are of one or two words, "
        f"{sum(length >= 4 for length in lengths)} of at least four,"
    )
    page = " ".join((ROOT / "docs/data.md").read_text().split())
    assert told in page
    assert f"and {len([phrase for phrase in found if phrase in test])} are a whole test sentence" in page


def runs_of_words(sentences: Sequence[str]) -> set[str]:
    """Every run of words that stands in a sentence."""
    return {
        " ".join(words[start:end])
        for words in map(str.split, sentences)
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    }


@pytest.mark.parametrize("name", COUNTS)
def test_a_real_corpus_is_whole(data_folder: Path, name: str) -> None:
    splits = load_corpus(name, data_folder)
    parts = (splits.training, splits.validation, splits.test)
    assert tuple(map(len, parts)) == COUNTS[name]
    seen = [{label for example in part for label in labels_of(example)} for part in parts]
    assert len(seen[0]) == LABELS.get(name, 0)
    assert seen[1] | seen[2] <= seen[0]
    if name in WITHOUT_SHARED_TEXTS:
        keys = [{key for example in part for key in keys_of(example)} for part in parts]
        assert not keys[0] & keys[1]
        assert not keys[2] & (keys[0] | keys[1])


def test_the_real_weather_has_every_labelled_day_once(data_folder: Path) -> None:
    splits = load_corpus("weather-aus", data_folder)
    parts = (splits.training, splits.validation, splits.test)
    assert [sum(len(labels_of(series)) for series in part) for part in parts] == [116_219, 17_508, 8_466]
    labels = Counter(label for part in parts for series in part for label in labels_of(series))
    assert labels == {"No": 110_316, "Yes": 31_877}
    series = splits.training[0]
    assert isinstance(series, LabelledSeries)
    assert (series.name, len(series.columns)) == ("Albury", 23)


def test_the_real_words_are_as_many_as_their_authors_say(data_folder: Path) -> None:
    tagged = [
        example for example in load_corpus("ud-english-ewt", data_folder).training if isinstance(example, TaggedTokens)
    ]
    assert sum(len(example.tokens) for example in tagged) == 204_577
    sentences = [example for example in load_corpus("ptb", data_folder).test if isinstance(example, PlainText)]
    assert sum(len(example.text.split()) for example in sentences) == 78_669
