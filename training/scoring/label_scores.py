"""How well the labels of steps are told: words by spans and accuracy, readings by probabilities.   Knows no model.

Spans are scored by seqeval, as conlleval reads them; probabilities by scikit-learn.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from seqeval.metrics import f1_score
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from training.data.labels import Scheme
from training.scoring.calibration import event_calibration_error
from training.scoring.scores import Score, accuracy

LOG_LOSS = "log loss"
"""Name of the measure of labels of readings that is lower where it is better."""
Labels = Sequence[str]
Probabilities = npt.NDArray[np.floating]


def word_scores(predicted: Sequence[Labels], expected: Sequence[Labels], scheme: Scheme) -> tuple[Score, ...]:
    """Score the labels of words, sentence by sentence; the measure to judge by comes first.

    Source: seqeval, in its default mode, which reads spans as conlleval does (Tjong Kim Sang & De Meulder 2003).
    """
    right = accuracy(list(chain(*predicted)), list(chain(*expected)), "words")
    if scheme == "plain":
        return (right,)
    value = float(f1_score([list(one) for one in expected], [list(one) for one in predicted], zero_division=0))
    return Score("span F1", 100 * value, f"percent, seqeval, {len(expected)} sentences"), right


def reading_scores(probabilities: Probabilities, expected: Labels, labels: Labels) -> tuple[Score, ...]:
    """Score the labels of rows of readings; the measure to judge by comes first.

    With two labels, the second in order is what is looked for, and ranking comes first: the share of right answers
    says little where one label is rare. Where all answers are the same, there is nothing to rank.

    Args:
        probabilities: [steps, labels].
        expected: [steps].
        labels: all of them, sorted.
    """
    best = [labels[index] for index in probabilities.argmax(axis=-1)]
    shared = (label_log_loss(probabilities, expected, labels), accuracy(best, expected, "steps"))
    if len(labels) != 2 or len(set(expected)) != 2:
        return shared
    positive, count = probabilities[:, 1], f"{len(expected)} steps"
    found = np.array([label == labels[1] for label in expected])
    measures = (
        ("ROC-AUC", roc_auc_score(found, positive), f"of {labels[1]!r}, scikit-learn, {count}"),
        ("average precision", average_precision_score(found, positive), f"of {labels[1]!r}, scikit-learn, {count}"),
        ("Brier score", brier_score_loss(found, positive), f"of {labels[1]!r}, lower is better, scikit-learn, {count}"),
        (
            "calibration error",
            event_calibration_error(np.asarray(positive, np.float64), found),
            f"mean distance of P({labels[1]}) from how often it came, in ten bins, lower is better, {count}",
        ),
    )
    return (*(Score(name, float(value), method, decimals=4) for name, value, method in measures), *shared)


def label_log_loss(probabilities: Probabilities, expected: Labels, labels: Labels) -> Score:
    """Mean of -ln p(label). What `reading_scores` takes; every expected label is among `labels`."""
    ids = {label: index for index, label in enumerate(labels)}
    value = log_loss([ids[label] for label in expected], probabilities, labels=range(len(labels)))
    return Score(LOG_LOSS, float(value), f"nats, lower is better, scikit-learn, {len(expected)} steps", decimals=4)
