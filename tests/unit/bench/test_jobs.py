"""Which of several models is measured."""

from pathlib import Path

import pytest

from tests.bench.serving.contenders.jobs import find_bundle
from tests.bundles import publish_tiny
from training.errors import DataError


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        pytest.param(["names", "sst2-pretrained"], "sst2-pretrained", id="sentences before names"),
        pytest.param(["names", "sample-sentiment"], "names", id="published before a sample"),
        pytest.param(["sample-sentiment"], "sample-sentiment", id="a sample for want of better"),
    ],
)
def test_sentences_are_preferred_and_samples_come_last(tmp_path: Path, names: list[str], taken: str) -> None:
    for name in names:
        publish_tiny(tmp_path, "classification", name=name)
    assert find_bundle("classification", tmp_path).manifest.name == taken


def test_the_newest_version_is_taken(tmp_path: Path) -> None:
    for version in (2, 10):
        publish_tiny(tmp_path, "classification", version=version)
    assert find_bundle("classification", tmp_path).manifest.version == 10


def test_a_task_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a bundle for translation, there is none"):
        find_bundle("translation", tmp_path)
