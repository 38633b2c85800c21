"""The numbers of reports: known by hand, and adding up to the score."""

from collections.abc import Callable

import numpy as np
import pytest

from training.data.examples import ReferencedText
from training.reporting.findings import Findings
from training.reporting.measures import (
    bleu_by_length,
    keep_commonest,
    losses_by_place,
    measure_labels,
    worst_mistakes,
)
from training.scoring.answers import LabelAnswers, LikelihoodAnswers, TranslationAnswers
from training.scoring.calibration import calibrate, event_calibration_error
from training.scoring.confusion import confuse

FindingsOf = Callable[..., Findings]


def answers(expected: str, predicted: str, confidence: list[float], labels: str = "ab") -> LabelAnswers:
    """One-letter labels; the probability that is left goes to the other labels."""
    rows = [
        [sure if label == given else (1 - sure) / (len(labels) - 1) for label in labels]
        for given, sure in zip(predicted, confidence, strict=True)
    ]
    return LabelAnswers("text", tuple(labels), tuple(expected), tuple(expected), tuple(predicted), np.array(rows))


def test_a_confusion_matrix_has_what_is_right_in_rows_and_what_was_given_in_columns() -> None:
    found = confuse(answers("aaab", "abab", [0.9] * 4))
    assert found.labels == ("a", "b")
    assert found.counts.tolist() == [[2, 1], [0, 1]]


def test_a_label_that_the_model_does_not_know_is_a_row_of_its_own() -> None:
    found = confuse(answers("aaz", "aba", [0.9] * 3))
    assert found.labels == ("a", "b", "z")
    assert found.counts.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_rare_labels_are_added_up_and_none_is_lost() -> None:
    whole = confuse(answers("aabbbcd", "aabbccd", [0.9] * 7, labels="abcd"))
    kept = keep_commonest(whole, 3, rest="rest")
    assert kept.labels == ("a", "b", "rest")
    assert kept.counts.tolist() == [[2, 0, 0], [0, 2, 1], [0, 0, 2]]
    assert keep_commonest(whole, 4, rest="rest") == whole


def test_precision_recall_and_f1_are_those_of_the_textbook() -> None:
    a, b, c = measure_labels(answers("aaab", "abab", [0.9] * 4, labels="abc"))
    assert [a.precision, a.recall, a.f1] == pytest.approx([1, 2 / 3, 0.8])
    assert [b.precision, b.recall, b.f1] == pytest.approx([1 / 2, 1, 2 / 3])
    assert [c.precision, c.recall, c.f1] == [0, 0, 0]
    assert [one.support for one in (a, b, c)] == [3, 1, 0]


def test_expected_calibration_error_is_the_weighted_distance_from_the_diagonal() -> None:
    found = calibrate(answers("aaaa", "aaab", [0.95, 0.95, 0.65, 0.65]))
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0, 2]
    assert found.accuracy[[6, 9]].tolist() == [0.5, 1.0]
    assert found.expected_error == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)


def test_too_much_rain_at_both_ends_does_not_cancel() -> None:
    probability, rain = np.array([0.35, 0.35, 0.65, 0.65]), np.array([False, False, True, False])
    assert event_calibration_error(probability, rain) == pytest.approx(0.5 * 0.35 + 0.5 * 0.15)
    assert event_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0.0


def test_full_confidence_has_a_bin() -> None:
    found = calibrate(answers("ab", "ab", [1.0, 1.0]))
    assert found.counts[-1] == 2
    assert found.expected_error == 0.0


def test_the_surest_mistakes_come_first() -> None:
    assert list(worst_mistakes(answers("aaab", "bbab", [0.6, 0.9, 0.99, 0.99]), 5)) == [1, 0]


def test_loss_by_place_averages_over_texts_of_mixed_lengths() -> None:
    found = losses_by_place(LikelihoodAnswers(("x", "y"), (np.array([-1.0, -2.0, -3.0]), np.array([-3.0]))))
    assert [(one.places, one.loss, one.token_count) for one in found] == [("0", 2.0, 2), ("1", 2.0, 1), ("2", 3.0, 1)]


def test_long_texts_share_places() -> None:
    found = losses_by_place(LikelihoodAnswers(("x",), (-np.arange(10.0),)), range_count=4)
    assert [(one.places, one.loss) for one in found] == [("0 to 2", 1), ("3 to 5", 4), ("6 to 8", 7), ("9", 9)]


def test_bleu_by_length_counts_every_source_once() -> None:
    texts = [" ".join("abcdefgh"[: 4 + index % 4]) for index in range(12)]
    groups = tuple(ReferencedText(text, (text,)) for text in texts)
    hypotheses = tuple(text if len(text) < 12 else "x" for text in texts)
    found = bleu_by_length(TranslationAnswers(groups, hypotheses, tuple(len(text.split()) for text in texts)))
    assert [(one.lengths, one.source_count) for one in found] == [("4", 3), ("5", 3), ("6", 3), ("7", 3)]
    assert [one.bleu > 99 for one in found] == [True, True, True, False]


def test_sources_of_one_length_are_one_range() -> None:
    groups = (ReferencedText("a", ("a b c d",)), ReferencedText("b", ("a b c d",)))
    (found,) = bleu_by_length(TranslationAnswers(groups, ("a b c d", "a b c d"), (2, 2)))
    assert (found.lengths, found.source_count) == ("2", 2)


@pytest.mark.parametrize("task", ["classification", "labelling", "readings"])
def test_the_confusion_matrix_adds_up_to_the_accuracy(task: str, findings_of: FindingsOf) -> None:
    evaluation = findings_of(task).evaluation
    assert isinstance(evaluation.answers, LabelAnswers)
    counts = confuse(evaluation.answers).counts
    (accuracy,) = (score for score in (evaluation.score, *evaluation.further) if score.name == "accuracy")
    assert 100 * np.trace(counts) / counts.sum() == pytest.approx(accuracy.value)
    assert len(evaluation.answers.subjects) == counts.sum()


def test_the_losses_by_place_add_up_to_the_bits_per_character(findings_of: FindingsOf) -> None:
    evaluation = findings_of("generation").evaluation
    assert isinstance(evaluation.answers, LikelihoodAnswers)
    places = losses_by_place(evaluation.answers)
    mean = sum(one.loss * one.token_count for one in places) / sum(one.token_count for one in places)
    assert evaluation.score.name == "bits per character"
    assert mean / np.log(2) == pytest.approx(evaluation.score.value)


def test_every_test_source_is_in_a_range_of_lengths(findings_of: FindingsOf) -> None:
    evaluation = findings_of("translation").evaluation
    assert isinstance(evaluation.answers, TranslationAnswers)
    ranges = bleu_by_length(evaluation.answers)
    assert sum(one.source_count for one in ranges) == len(evaluation.answers.groups)
