"""Which of several models is measured, and on which texts."""

from pathlib import Path

import pytest

from tests.bench.serving.contenders.jobs import MOST_ITEMS, drawn, find_bundle
from tests.bundles import publish_tiny
from training.errors import DataError


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        pytest.param(["another", "imdb", "sst2-pretrained"], "sst2-pretrained", id="sentences first"),
        pytest.param(["another", "imdb", "names"], "imdb", id="reviews for want of sentences"),
        pytest.param(["another", "sample-sentiment"], "another", id="published before a sample"),
        pytest.param(["names", "sample-sentiment"], "sample-sentiment", id="a sample before names"),
    ],
)
def test_sentiment_of_sentences_is_preferred_and_samples_come_last(
    tmp_path: Path, names: list[str], taken: str
) -> None:
    for name in names:
        publish_tiny(tmp_path, "classification", name=name)
    assert find_bundle("classification", [tmp_path]).manifest.name == taken


def test_a_task_that_is_not_published_is_looked_for_in_the_next_repository(tmp_path: Path) -> None:
    published, built = tmp_path / "published", tmp_path / "built"
    published.mkdir()
    built.mkdir()
    publish_tiny(published, "classification", name="names")
    publish_tiny(published, "translation", name="en-it")
    for task in ("classification", "translation"):
        publish_tiny(built, task, name=f"sample-{task}")
    repositories = [tmp_path / "absent", published, built]
    assert find_bundle("translation", repositories).manifest.name == "en-it"
    assert find_bundle("classification", repositories).manifest.name == "sample-classification"


def test_the_newest_version_is_taken(tmp_path: Path) -> None:
    for version in (2, 10):
        publish_tiny(tmp_path, "classification", version=version)
    assert find_bundle("classification", [tmp_path]).manifest.version == 10


def test_a_task_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a bundle for translation of sentences or tunes, there is none"):
        find_bundle("translation", [tmp_path])


def test_texts_of_all_lengths_come_side_by_side_though_the_corpus_is_sorted() -> None:
    found = drawn(["a" * length for length in range(4 * MOST_ITEMS)])
    assert found == drawn(["a" * length for length in range(4 * MOST_ITEMS)])
    assert len(set(found)) == len(found) == MOST_ITEMS
    for start in range(0, MOST_ITEMS, 32):
        lengths = [len(text) for text in found[start : start + 32]]
        assert min(lengths) < MOST_ITEMS < 3 * MOST_ITEMS < max(lengths)


def test_a_small_corpus_is_taken_whole() -> None:
    assert sorted(drawn(["b", "a", "c"])) == ["a", "b", "c"]
