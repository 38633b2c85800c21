"""Logits of a classifier into probabilities, row by row."""

import numpy as np
import numpy.typing as npt

from service.engine.steps import FloatArray


def probabilities(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Softmax over the last axis in double precision: [rows, labels] to [rows, labels] that sum to 1."""
    scores = logits.astype(np.float64)
    weights: npt.NDArray[np.float64] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: npt.NDArray[np.float64] = weights.sum(axis=-1, keepdims=True)
    return weights / total
