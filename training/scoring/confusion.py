"""Which labels were given in place of which.   Knows answers; no model."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from training.scoring.answers import LabelAnswers


@dataclass(frozen=True)
class Confusion:
    """How often each label was given where each was right: counts [labels, labels], rows are what was right."""

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]


def confuse(answers: LabelAnswers) -> Confusion:
    """Count expected against predicted labels; those that the model does not know come last."""
    labels = all_labels(answers)
    return Confusion(labels, confusion_matrix(answers.expected, answers.predicted, labels=labels))


def all_labels(answers: LabelAnswers) -> tuple[str, ...]:
    """Those that the model knows, and after them those that it should have known."""
    return (*answers.labels, *sorted(set(answers.expected) - set(answers.labels)))
