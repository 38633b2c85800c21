"""Logits become probabilities, row by row and step by step."""

import numpy as np
import pytest

from service.engine.classify import probabilities, probabilities_by_row


def test_probabilities_sum_to_one_whatever_the_scale() -> None:
    shares = probabilities(np.array([[0.0, np.log(3.0)], [1000.0, 1000.0], [-80.0, 80.0]], dtype=np.float32))
    assert shares == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]]), abs=1e-7)


def test_a_classifier_gives_every_row_one_step() -> None:
    found = probabilities_by_row(np.zeros((2, 2), dtype=np.float32), np.array([7, 1]))
    assert found == [[[0.5, 0.5]], [[0.5, 0.5]]]


def test_a_labeller_gives_every_row_its_steps_and_none_of_the_padding() -> None:
    found = probabilities_by_row(np.zeros((2, 3, 2), dtype=np.float32), np.array([3, 1]))
    assert found == [[[0.5, 0.5]] * 3, [[0.5, 0.5]]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_has_no_answer_and_its_neighbours_have(bad: float) -> None:
    logits = np.zeros((3, 2, 2), dtype=np.float32)
    logits[1, 0, 1] = bad
    logits[2, 1, 1] = bad  # padding
    assert probabilities_by_row(logits, np.array([2, 2, 1])) == [[[0.5, 0.5]] * 2, None, [[0.5, 0.5]]]
