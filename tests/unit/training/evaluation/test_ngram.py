"""The n-gram yardstick: a probability distribution, smoothed as its source says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.ngram import NgramModel, fit_ngram_model

SEQUENCES = [[3, 4, 3], [3, 3, 5], [4]]


def fitted(sequences: list[list[int]] = SEQUENCES, order: int = 3) -> NgramModel:
    return fit_ngram_model(sequences, order=order, vocabulary_size=8, bos_id=1, eos_id=2)


@given(context=st.lists(st.integers(0, 7), max_size=4), order=st.integers(1, 4))
def test_probabilities_sum_to_one_after_every_context(context: list[int], order: int) -> None:
    model = fitted(order=order)
    probabilities = [model.probability(token_id, context) for token_id in range(8)]
    assert min(probabilities) > 0
    assert math.isclose(sum(probabilities), 1, abs_tol=1e-12)


def test_unigrams_are_witten_bell_by_hand() -> None:
    model = fitted([[3, 3, 4]], order=1)  # tokens 3 3 4 and the end: 4 in all, 3 kinds
    assert model.probability(3, []) == pytest.approx((2 + 3 / 8) / (4 + 3))
    assert model.probability(7, []) == pytest.approx((0 + 3 / 8) / (4 + 3))


def test_bigrams_fall_back_on_unigrams() -> None:
    model = fitted([[3, 3, 4]], order=2)
    unigram = (1 + 3 / 8) / (4 + 3)  # of 4
    assert model.probability(4, [3]) == pytest.approx((1 + 2 * unigram) / (2 + 2))  # after 3 came 3 and 4
    assert model.probability(4, [7]) == pytest.approx(unigram)  # 7 was never seen


def test_only_the_last_tokens_of_a_context_count() -> None:
    assert fitted().probability(3, [5, 5, 3, 4]) == fitted().probability(3, [3, 4])


def test_perplexity_counts_the_end_and_not_the_beginning() -> None:
    model = fitted()
    mean = -sum(model.log_likelihood(sequence) for sequence in SEQUENCES) / (4 + 4 + 2)
    assert model.perplexity(SEQUENCES) == pytest.approx(math.exp(mean))


def test_without_examples_every_token_is_as_likely() -> None:
    assert fitted([]).perplexity([[3, 4]]) == pytest.approx(8)


def test_longer_contexts_fit_the_training_text_better() -> None:
    sequences = [[3, 4, 5, 6] * 5] * 3
    perplexities = [fitted(sequences, order=order).perplexity(sequences) for order in (1, 2, 3)]
    assert perplexities == sorted(perplexities, reverse=True)


def test_no_sequence_has_no_perplexity() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fitted().perplexity([])
