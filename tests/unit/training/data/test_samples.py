"""What all three generated samples promise: the same everywhere, large enough, nothing twice."""

import hashlib
import os
import subprocess
import sys

import pytest

from training.data.examples import AnySplits, PlainText
from training.data.load import SAMPLES, load_corpus
from training.data.samples.held_out import Draft, Pairing, Part, collect, part_of_example, part_of_pairing

DIGESTS = {
    "sample-reviews": "67b2d780c9e6e68408b03a1f1823b1efbd3708cb5164fa0b69c7fe633651b69d",
    "sample-melodies": "b161092d436ed82549b64c48c42e96913a869e4fe92fdbc8739f3b57549bff29",
    "sample-sentences": "469a30c55c6a9706928da9bdfe777c48010298e2d66343877f96e979a24087f6",
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


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_thousands_of_distinct_examples(name: str) -> None:
    splits = load_corpus(name, None)
    inputs = [repr(example) for part in (splits.training, splits.validation, splits.test) for example in part]
    assert len(set(inputs)) == len(inputs)
    assert len(splits.training) >= 5000
    assert 500 <= len(splits.validation) <= 1000
    assert 500 <= len(splits.test) <= 1000


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
