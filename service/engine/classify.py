"""Logits of a classifier or a labeller into probabilities, row by row."""

import numpy as np
import numpy.typing as npt

from service.engine.steps import FloatArray, IntArray


def probabilities(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Softmax over the last axis in double precision: [..., labels] to [..., labels] that sum to 1."""
    scores = logits.astype(np.float64)
    weights: npt.NDArray[np.float64] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: npt.NDArray[np.float64] = weights.sum(axis=-1, keepdims=True)
    return weights / total


def logits_by_row(logits: FloatArray, lengths: IntArray) -> list[FloatArray]:
    """Each row's [steps, labels], without what stands on padding.

    Args:
        logits: [rows, labels] of a classifier, which gives every row one step, or [rows, time, labels] of a labeller.
        lengths: [rows].
    """
    if logits.ndim == 2:
        return list(logits[:, np.newaxis])  # each [1, labels]
    return [row[:length] for row, length in zip(logits, lengths, strict=True)]
