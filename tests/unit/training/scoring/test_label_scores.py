"""Scores of labels: what each measures, and that spans are those the service answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from service.engine.spans import bio_spans
from training.scoring.label_scores import label_log_loss, reading_scores, word_scores


def test_spans_count_only_when_whole() -> None:
    expected = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"]]
    predicted = [["B-PER", "O", "O", "B-LOC"], ["O", "O"]]
    span_f1, accuracy = word_scores(predicted, expected, "bio")
    assert (span_f1.name, span_f1.value) == ("span F1", 50.0)
    assert accuracy.value == pytest.approx(100 * 5 / 6)


def test_plain_labels_have_no_spans() -> None:
    (score,) = word_scores([["N", "V"], ["N"]], [["N", "N"], ["N"]], "plain")
    assert str(score) == "accuracy 66.67 (percent of 3 words)"


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), max_size=12))
def test_seqeval_reads_the_spans_that_the_service_answers(labels: list[str]) -> None:
    ours = [(span.type, span.first, span.last) for span in bio_spans(labels)]
    assert ours == [tuple(entity) for entity in get_entities(labels)]


def test_ranking_comes_first_where_there_are_two_labels() -> None:
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
    scores = {
        score.name: score.value for score in reading_scores(shares, ["dry", "dry", "rain", "rain"], ["dry", "rain"])
    }
    assert list(scores) == ["ROC-AUC", "average precision", "Brier score", "calibration error", "log loss", "accuracy"]
    assert scores["ROC-AUC"] == 0.75
    assert scores["Brier score"] == pytest.approx((0.01 + 0.36 + 0.49 + 0.04) / 4)
    assert scores["log loss"] == pytest.approx(-sum(map(math.log, (0.9, 0.4, 0.3, 0.8))) / 4)
    assert scores["accuracy"] == 50.0


def test_nothing_is_ranked_where_all_answers_are_the_same_or_labels_are_many() -> None:
    two = reading_scores(np.array([[0.9, 0.1]]), ["dry"], ["dry", "rain"])
    three = reading_scores(np.array([[0.2, 0.1, 0.7]]), ["c"], ["a", "b", "c"])
    assert [score.name for score in two] == [score.name for score in three] == ["log loss", "accuracy"]
    assert three[1].value == 100.0


def test_too_much_certainty_costs_log_loss_and_not_ranking() -> None:
    expected, labels = ["dry", "rain", "dry", "rain"], ["dry", "rain"]
    meek = np.array([[0.7, 0.3], [0.4, 0.6], [0.45, 0.55], [0.5, 0.5]])
    sure = np.array([[0.99, 0.01], [0.02, 0.98], [0.03, 0.97], [0.04, 0.96]])
    assert reading_scores(meek, expected, labels)[0] == reading_scores(sure, expected, labels)[0]
    assert label_log_loss(meek, expected, labels).value < label_log_loss(sure, expected, labels).value
