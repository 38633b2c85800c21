"""The Kneser-Ney yardstick: a probability distribution, smoothed as its source says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.samples import melodies
from training.evaluation.kneser_ney import KneserNeyModel, fit_kneser_ney_model
from training.evaluation.ngram import fit_ngram_model

SEQUENCES = [[3, 4, 3], [3, 3, 5], [4]]
LONG = [[3 + (place * place + start) % 5 for place in range(40)] for start in range(30)]


def fitted(sequences: list[list[int]] = SEQUENCES, order: int = 3) -> KneserNeyModel:
    return fit_kneser_ney_model(sequences, order=order, vocabulary_size=8, bos_id=1, eos_id=2)


@given(
    context=st.lists(st.integers(0, 7), max_size=4),
    order=st.integers(1, 4),
    sequences=st.sampled_from([SEQUENCES, LONG]),
)
def test_probabilities_sum_to_one_after_every_context(
    context: list[int], order: int, sequences: list[list[int]]
) -> None:
    model = fitted(sequences, order=order)
    probabilities = [model.probability(token_id, context) for token_id in range(8)]
    assert min(probabilities) > 0
    assert math.isclose(sum(probabilities), 1, abs_tol=1e-12)


def test_a_token_seen_after_one_other_alone_is_unlikely_after_all_others() -> None:
    francisco = [[3, 7]] * 6 + [[4, 5], [6, 5], [3, 5]]  # 7 is twice as frequent as 5, but always after 3
    model = fitted(francisco, order=2)
    assert model.probability(7, [1]) < model.probability(5, [1])
    counted = fit_ngram_model(francisco, order=2, vocabulary_size=8, bos_id=1, eos_id=2)
    assert counted.probability(7, [1]) > counted.probability(5, [1])


def test_bigrams_are_discounted_by_hand() -> None:
    model = fitted([[3, 3, 4]], order=2)  # too few counts to estimate discounts: 0.5 from what was seen once
    unigram = (1 - 0.5 + 3 * 0.5 / 8) / 4  # of 4, seen after one of four (context, token) kinds; 3 after two
    unigram += (0.75 - 0.5) / 8 / 4  # 3 is discounted by 0.75
    assert model.probability(4, [3]) == pytest.approx((1 - 0.5 + 2 * 0.5 * unigram) / 2)


def test_it_tells_text_better_than_witten_bell_does() -> None:
    tunes = melodies.load()
    training, test = ([[ord(sign) for sign in one.text] for one in part] for part in (tunes.training, tunes.test))
    models = [
        fit(training[:200], order=5, vocabulary_size=128, bos_id=1, eos_id=2)
        for fit in (fit_kneser_ney_model, fit_ngram_model)
    ]
    assert models[0].perplexity(test[:20]) < 0.98 * models[1].perplexity(test[:20])
