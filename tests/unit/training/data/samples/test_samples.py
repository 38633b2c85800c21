"""What all generated samples promise: the same everywhere, large enough, nothing twice."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from training.data.examples import AnyExample, AnySplits, LabelledSeries, PlainText
from training.data.load import SAMPLES, load_corpus
from training.data.samples.held_out import Draft, Pairing, Part, collect, part_of_example, part_of_pairing

DIGESTS = {
    "sample-clues": "b80061674c5283e0ab6ab96b0c8adf3bef51811cb0a76f11a877b604ed5ff5e7",
    "sample-melodies": "b161092d436ed82549b64c48c42e96913a869e4fe92fdbc8739f3b57549bff29",
    "sample-mentions": "b65d277e5f78a2909ddab51651da0ef1764f26c28e3024ef18993b1091f6a41f",
    "sample-reviews": "67b2d780c9e6e68408b03a1f1823b1efbd3708cb5164fa0b69c7fe633651b69d",
    "sample-sentences": "469a30c55c6a9706928da9bdfe777c48010298e2d66343877f96e979a24087f6",
    "sample-weather": "e5e949c7469333b053e8920395c398b777e86222c7beb4c6bf0b2ca16b1ea546",
}
"""A change of a grammar changes these; then every score measured on the sample is measured anew."""

_PRINT_DIGESTS = """
import hashlib
from training.data.load import SAMPLES
print(*[hashlib.sha256(repr(load()).encode()).hexdigest() for load in SAMPLES.values()])
"""


def digest(splits: AnySplits) -> str:
    return hashlib.sha256(repr(splits).encode()).hexdigest()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_what_it_was_when_its_scores_were_measured(name: str) -> None:
    assert digest(load_corpus(name, None)) == DIGESTS[name]


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_samples_do_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run(
        [sys.executable, "-c", _PRINT_DIGESTS], env=environment, capture_output=True, text=True, check=True
    )
    assert dict(zip(SAMPLES, run.stdout.split(), strict=True)) == DIGESTS


def answer_count(examples: Sequence[AnyExample]) -> int:
    """Examples, or steps of series: what a score is a mean over."""
    return sum(len(example.labels) if isinstance(example, LabelledSeries) else 1 for example in examples)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_thousands_of_distinct_examples(name: str) -> None:
    splits = load_corpus(name, None)
    inputs = [repr(example) for part in (splits.training, splits.validation, splits.test) for example in part]
    assert len(set(inputs)) == len(inputs)
    assert answer_count(splits.training) >= 2400
    assert 300 <= answer_count(splits.validation) <= 1200
    assert 500 <= answer_count(splits.test) <= 2400


def test_pairings_go_to_each_split_by_their_share() -> None:
    parts = [part_of_pairing((str(first), str(second))) for first in range(100) for second in range(100)]
    assert 0.11 < parts.count("test") / len(parts) < 0.13
    assert 0.05 < parts.count("validation") / len(parts) < 0.07


def test_an_example_that_would_show_validation_a_test_pairing_is_nowhere() -> None:
    exceptions: dict[Pairing, Part] = {("a",): "test", ("b",): "validation", ("c",): "training"}
    assert part_of_example([("a",), ("b",)], exceptions) is None
    assert part_of_example([("a",), ("c",)], exceptions) == "test"


def test_drafts_that_end_too_early_are_an_error() -> None:
    drafts = [Draft(PlainText("x"), frozenset({("x",)}))]
    with pytest.raises(ValueError, match="room for"):
        collect(drafts, strata=1, sizes={"training": 2, "validation": 1, "test": 1}, exceptions={})
