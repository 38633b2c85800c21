"""Whether a model is as sure of its labels as it is often right.   Knows answers; no model."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.scoring.answers import LabelAnswers

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Whether answers that are given with some confidence are as often right.

    Attributes:
        edges: [bins + 1] of confidence, the probability of the label that was given.
        counts: [bins] answers.
        confidence: [bins], mean; NaN in an empty bin.
        accuracy: [bins], share that was right; NaN in an empty bin.
        expected_error: mean distance between the two, weighted by counts.
    """

    edges: DoubleArray
    counts: IntArray
    confidence: DoubleArray
    accuracy: DoubleArray
    expected_error: float


def calibrate(answers: LabelAnswers, bin_count: int = 10) -> Calibration:
    """Compare confidence with accuracy in equally wide bins of confidence.

    Source: Guo et al. 2017, arXiv:1706.04599 (expected calibration error, reliability diagram).
    """
    confidence = answers.probabilities.max(axis=-1)  # [answers]
    right = np.array(answers.expected) == np.array(answers.predicted)
    edges = np.linspace(0.0, 1.0, bin_count + 1)
    bins = np.clip(np.digitize(confidence, edges) - 1, 0, bin_count - 1)
    counts = np.bincount(bins, minlength=bin_count)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, weights=confidence, minlength=bin_count) / counts
        accuracy = np.bincount(bins, weights=right, minlength=bin_count) / counts
    gaps = np.nan_to_num(np.abs(mean_confidence - accuracy))
    return Calibration(edges, counts, mean_confidence, accuracy, float(gaps @ counts / counts.sum()))


def event_calibration_error(probability: DoubleArray, happened: npt.NDArray[np.bool_], bin_count: int = 10) -> float:
    """Mean distance between how probable an event was said to be and how often it then happened.

    Args:
        probability: [cases] of the event.
        happened: [cases].
        bin_count: equally wide bins of probability, weighted by their cases.
    """
    bins = np.minimum((probability * bin_count).astype(np.int64), bin_count - 1)
    gaps = np.bincount(bins, weights=probability - happened, minlength=bin_count)
    return float(np.abs(gaps).sum() / len(probability))
