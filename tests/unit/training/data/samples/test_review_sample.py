"""The sample for classification: balanced, recombined in the test, and not to be solved by counting words."""

import math
import re
from collections import Counter
from collections.abc import Iterable

from training.data.examples import LabelledText, Splits
from training.data.samples.reviews import ASPECTS, NEGATIVE_ADJECTIVES, POSITIVE_ADJECTIVES, VERBS

OPINIONS = {word: word for word in POSITIVE_ADJECTIVES + NEGATIVE_ADJECTIVES}
OPINIONS |= {form: base for base, past in VERBS.items() for form in (base, past)}
NEGATIONS = ("did not", "not", "never", "hardly", "anything but", "far from", "nobody")


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def pairings_of(text: str) -> set[tuple[str, str]]:
    """Opinions with the aspects and negations of their clauses, read off the text alone."""
    pairings = set()
    for clause in re.split(r", | and ", text.lower().rstrip(".!")):
        words = set(clause.split())
        for opinion in {OPINIONS[word] for word in words if word in OPINIONS}:
            pairings |= {(aspect, opinion) for aspect in ASPECTS if aspect in words}
            negation = next((one for one in NEGATIONS if f" {one} " in f" {clause} "), None)
            if negation:
                pairings.add((negation, opinion))
    return pairings


def all_pairings(examples: Iterable[LabelledText]) -> set[tuple[str, str]]:
    return set().union(*(pairings_of(example.text) for example in examples))


def test_every_test_review_holds_a_pairing_that_was_never_trained_nor_validated(
    review_sample: Splits[LabelledText],
) -> None:
    known = all_pairings(review_sample.training) | all_pairings(review_sample.validation)
    assert [example.text for example in review_sample.test if pairings_of(example.text) <= known] == []


def test_every_validation_review_holds_a_pairing_that_was_never_trained(review_sample: Splits[LabelledText]) -> None:
    known = all_pairings(review_sample.training)
    assert [example.text for example in review_sample.validation if pairings_of(example.text) <= known] == []


def test_every_word_of_the_test_was_trained_often(review_sample: Splits[LabelledText]) -> None:
    counts = Counter(word for example in review_sample.training for word in words_of(example.text))
    assert min(counts[word] for example in review_sample.test for word in words_of(example.text)) >= 80


def test_half_of_each_split_is_positive(review_sample: Splits[LabelledText]) -> None:
    for part in (review_sample.training, review_sample.validation, review_sample.test):
        labels = Counter(example.label for example in part)
        assert labels["positive"] == labels["negative"] == len(part) // 2


def test_no_text_has_two_labels(review_sample: Splits[LabelledText]) -> None:
    everything = review_sample.training + review_sample.validation + review_sample.test
    assert len({example.text for example in everything}) == len(everything)


def test_counting_words_is_not_enough(review_sample: Splits[LabelledText]) -> None:
    counts: dict[str, Counter[str]] = {"positive": Counter(), "negative": Counter()}
    for example in review_sample.training:
        counts[example.label].update(set(words_of(example.text)))

    def leaning(text: str) -> float:
        return sum(
            math.log((counts["positive"][word] + 1) / (counts["negative"][word] + 1)) for word in set(words_of(text))
        )

    right = sum((leaning(example.text) > 0) == (example.label == "positive") for example in review_sample.test)
    assert right / len(review_sample.test) < 0.7  # naive Bayes; a recurrent model has to pass 0.9
