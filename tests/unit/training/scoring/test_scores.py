"""The measures."""

import math

import pytest

from training.scoring.scores import accuracy, bleu, likelihood_score, perplexity


def test_accuracy_is_the_share_of_equal_labels_in_percent() -> None:
    score = accuracy(["good", "bad", "good", "good"], ["good", "bad", "bad", "good"])
    assert score.value == 75.0
    assert "4 texts" in score.method


def test_perplexity_of_a_fair_die_is_six() -> None:
    assert perplexity([3 * math.log(1 / 6), 2 * math.log(1 / 6)], 5).value == pytest.approx(6.0)


def test_bleu_of_the_reference_is_100_and_says_how_it_was_measured() -> None:
    score = bleu(["il cane nero dorme", "la mela è rossa"], [["il cane nero dorme"], ["la mela è rossa"]])
    assert score.value == pytest.approx(100.0)
    assert "tok:13a" in score.method


def test_bleu_of_tokenised_text_keeps_its_tokens() -> None:
    text = ["due persone giocano a calcio-balilla ."]
    wrong = [["due persone giocano a calcio-balilla."]]
    assert bleu(text, wrong, "none").value < bleu(text, wrong).value == pytest.approx(100.0)


def test_bleu_takes_any_of_several_references() -> None:
    references = [["un gatto nero dorme qui", "il gatto nero dorme qui"], ["la mela è molto rossa"]]
    assert bleu(["il gatto nero dorme qui", "la mela è molto rossa"], references).value == pytest.approx(100.0)


def test_a_missing_reference_is_not_a_short_one() -> None:
    """An empty text in its place would be the closest length to a short hypothesis, and spare it the penalty."""
    hypotheses = ["il gatto dorme qui", "la mela"]
    alone = bleu(hypotheses, [["il gatto dorme qui"], ["la mela è molto rossa"]])
    beside = bleu(hypotheses, [["il gatto dorme qui", "il gatto dorme qui"], ["la mela è molto rossa"]])
    assert alone.value == pytest.approx(beside.value)


def test_characters_are_measured_in_bits_and_other_tokens_by_perplexity() -> None:
    likelihoods = [-3 * math.log(2), -math.log(2)]
    bits = likelihood_score(likelihoods, 2, characters=True)
    assert bits.name == "bits per character"
    assert bits.value == pytest.approx(2.0)
    assert bits.method == "1.3863 nats per character, over 2 characters, ends included"
    other = likelihood_score(likelihoods, 2, characters=False)
    assert other.name == "perplexity"
    assert other.value == pytest.approx(4.0)
