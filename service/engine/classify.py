"""Logits of a classifier or a labeller into probabilities, row by row."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from service.engine.steps import FloatArray, IntArray

_Element = TypeVar("_Element", bound=np.generic)


def probabilities(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Softmax over the last axis in double precision: [..., labels] to [..., labels] that sum to 1."""
    scores = logits.astype(np.float64)
    weights: npt.NDArray[np.float64] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: npt.NDArray[np.float64] = weights.sum(axis=-1, keepdims=True)
    return weights / total


def probabilities_by_row(logits: FloatArray, lengths: IntArray) -> list[list[list[float]] | None]:
    """Each row's probabilities as plain values, [steps][labels]; None for a row with a logit that is not finite.

    Args:
        logits: as `logits_by_row` takes them; what stands on padding may be anything.
        lengths: [rows].
    """
    finite = [bool(row.all()) for row in logits_by_row(np.isfinite(logits), lengths)]
    with np.errstate(invalid="ignore"):
        shares = logits_by_row(probabilities(logits), lengths)
    return [row.tolist() if good else None for row, good in zip(shares, finite, strict=True)]


def logits_by_row(logits: npt.NDArray[_Element], lengths: IntArray) -> list[npt.NDArray[_Element]]:
    """Each row's [steps, labels], without what stands on padding.

    Args:
        logits: [rows, labels] of a classifier, which gives every row one step, or [rows, time, labels] of a labeller.
        lengths: [rows].
    """
    if logits.ndim == 2:
        return list(logits[:, np.newaxis])  # each [1, labels]
    return [row[:length] for row, length in zip(logits, lengths, strict=True)]
