"""Whole data sets through the engine: every sequence gets its own answer back, whatever ran with it."""

import numpy as np

from service.engine.offline import label_all
from service.engine.steps import FloatArray, IntArray, StepArray


def sums(steps: StepArray, lengths: IntArray) -> FloatArray:
    """Logits of a step: its values' sum, and the sequence's length."""
    values = steps.astype(np.float32) if steps.ndim == 2 else steps.sum(axis=-1, dtype=np.float32)
    return np.stack([values, np.broadcast_to(lengths[:, None], values.shape).astype(np.float32)], axis=-1)


def test_every_step_of_every_sequence_is_labelled_in_the_order_given() -> None:
    found = label_all(sums, [[7, 8, 9], [5], [6, 6]], pad_id=0, max_rows=2)
    assert [one.tolist() for one in found] == [[[7, 3], [8, 3], [9, 3]], [[5, 1]], [[6, 2], [6, 2]]]


def test_rows_of_features_are_labelled_too() -> None:
    found = label_all(sums, [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]], pad_id=None)
    assert [one.tolist() for one in found] == [[[3, 2], [7, 2]], [[11, 1]]]
