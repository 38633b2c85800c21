"""What can be told of a row of readings by itself, by scikit-learn's models: the yardstick of those with a memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from training.data.encoding.sequences import LabelledSteps
from training.errors import DataError
from training.scoring.label_scores import Labels, reading_scores
from training.scoring.scores import Score, of

_SHOWN = 3
"""Scores of each model, the one to judge by first."""


def row_baselines(training: Sequence[LabelledSteps], test: Sequence[LabelledSteps], labels: Labels) -> list[Score]:
    """Score a logistic regression and a gradient boosting that see one row at a time, the regression first.

    Boosting keeps a tenth of the training rows, drawn with a fixed seed, to know when to stop.

    Args:
        training: scaled readings with a label for each row.
        test: the same.
        labels: of the bundle, sorted.

    Raises:
        DataError: the training rows have other labels.
    """
    boosting = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=600, early_stopping=True, random_state=0)
    models = {
        "a logistic regression on the row alone": LogisticRegression(max_iter=1000),
        "gradient boosting on the row alone": boosting,
    }
    return [
        of(name, score)
        for name, model in models.items()
        for score in _scores_of(model, training, test, labels)[:_SHOWN]
    ]


def _scores_of(
    model: ClassifierMixin, training: Sequence[LabelledSteps], test: Sequence[LabelledSteps], labels: Labels
) -> tuple[Score, ...]:
    model.fit(_rows(training), list(_labels(training)))
    if list(model.classes_) != list(labels):
        raise DataError(f"the training examples have labels {list(model.classes_)}, the bundle {list(labels)}")
    return reading_scores(model.predict_proba(_rows(test)), list(_labels(test)), labels)


def _rows(sequences: Sequence[LabelledSteps]) -> npt.NDArray[np.floating]:
    """All rows of all sequences: [rows, features]."""
    return np.concatenate([np.asarray(sequence.steps) for sequence in sequences])


def _labels(sequences: Sequence[LabelledSteps]) -> Iterator[str]:
    return (label for sequence in sequences for label in sequence.labels)
