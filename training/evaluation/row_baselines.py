"""What scikit-learn tells of a row of readings by itself, or of a few: the yardstick of those with a memory."""

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

_Rows = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_SHOWN = 4
"""Scores of each model, the one to judge by first."""
WINDOW = 7
"""Rows of the boosting that sees some: of readings by the day, the last seven days on record."""


def row_baselines(
    training: Sequence[LabelledSteps], test: Sequence[LabelledSteps], labels: Labels, *, gaps: tuple[_Mask, _Mask]
) -> list[Score]:
    """Score a logistic regression and a boosting on one row at a time, then a boosting on that and the rows before it.

    Boosting is told which readings are missing, as it has a way of its own with them, and keeps a tenth of the training
    rows, drawn with a fixed seed, to know when to stop.

    Args:
        training: scaled readings with a label for each row.
        test: the same.
        labels: of the bundle, sorted.
        gaps: where a reading was missing, of training and of test, each [rows, features].

    Raises:
        DataError: the training rows have other labels.
    """
    boosting = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=600, early_stopping=True, random_state=0)
    regression = LogisticRegression(max_iter=1000)
    rows, with_gaps = ([_rows(training), _rows(test)] for _ in range(2))
    for one, mask in zip(with_gaps, gaps, strict=True):
        one[mask] = np.nan
    windows = [_windows(one, series) for one, series in zip(with_gaps, (training, test), strict=True)]
    found = {
        "a logistic regression on the row alone": _predicted(regression, rows, training, labels),
        "gradient boosting on the row alone": _predicted(boosting, _read(with_gaps), training, labels),
        f"gradient boosting on {WINDOW} rows": _predicted(boosting, _read(windows), training, labels),
    }
    expected = list(_labels(test))
    return [
        of(name, score)
        for name, probabilities in found.items()
        for score in reading_scores(probabilities, expected, labels)[:_SHOWN]
    ]


def _predicted(
    model: ClassifierMixin, rows: Sequence[_Rows], training: Sequence[LabelledSteps], labels: Labels
) -> npt.NDArray[np.float64]:
    """Fit on the first rows; the probabilities [rows, labels] of the second."""
    model.fit(rows[0], list(_labels(training)))
    if list(model.classes_) != list(labels):
        raise DataError(f"the training examples have labels {list(model.classes_)}, the bundle {list(labels)}")
    predicted: npt.NDArray[np.float64] = model.predict_proba(rows[1])
    return predicted


def _rows(sequences: Sequence[LabelledSteps]) -> _Rows:
    """All rows of all sequences: [rows, features]."""
    return np.concatenate([np.asarray(sequence.steps, np.float64) for sequence in sequences])


def _read(rows: Sequence[_Rows]) -> list[_Rows]:
    """Without columns that no training row has a reading in, which boosting cannot take; of none left, one of zeros."""
    known = ~np.isnan(rows[0]).all(axis=0)
    return [one[:, known] if known.any() else np.zeros((len(one), 1)) for one in rows]


def _windows(rows: _Rows, sequences: Sequence[LabelledSteps]) -> _Rows:
    """Each row with those before it in its sequence: [rows, `WINDOW` x features]; NaN before a sequence begins."""
    found, start = [], 0
    for sequence in sequences:
        own = rows[start : start + len(sequence.steps)]
        start += len(own)
        before = np.vstack([np.full((WINDOW - 1, own.shape[1]), np.nan), own])
        found.append(np.hstack([before[back : back + len(own)] for back in range(WINDOW)]))
    return np.concatenate(found)


def _labels(sequences: Sequence[LabelledSteps]) -> Iterator[str]:
    return (label for sequence in sequences for label in sequence.labels)
