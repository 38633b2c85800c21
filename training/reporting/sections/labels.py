"""Labels, one per text or one per step: which are confused, which are found, how sure the model is, where it fails."""

import numpy as np

from training.reporting.charts import draw_calibration
from training.reporting.document import Block, Picture, Section, Table
from training.reporting.heat_maps import draw_confusion
from training.reporting.measures import keep_commonest, measure_labels, worst_mistakes
from training.scoring.answers import LabelAnswers
from training.scoring.calibration import Calibration, calibrate
from training.scoring.confusion import Confusion, confuse

_LABELS_DRAWN = 20
_MISTAKES_SHOWN = 15


def label_sections(answers: LabelAnswers) -> list[Section]:
    """The same sections, whatever gets the labels."""
    confusion, calibration = confuse(answers), calibrate(answers)
    return [
        Section("Labels", [_confusion_picture(confusion, answers.unit), _measures_table(answers)]),
        Section("Calibration", [_calibration_picture(calibration), _calibration_table(calibration)]),
        Section("Mistakes", [_mistakes(answers)]),
    ]


def _confusion_picture(confusion: Confusion, unit: str) -> Block:
    shown = keep_commonest(confusion, _LABELS_DRAWN, rest="(all others)")
    caption = (
        f"Each row is a label that was right, each column one that was given; the number counts test {unit}s, the "
        "colour is the share of the row. A perfect model fills the diagonal alone. A bright field elsewhere is a "
        "label that is taken for another."
    )
    return Picture("confusion matrix", caption, draw_confusion(shown.counts, shown.labels))


def _measures_table(answers: LabelAnswers) -> Table:
    measures = measure_labels(answers)
    rows: list[tuple[str, ...]] = [
        (one.label, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.support:,}")
        for one in measures
    ]
    means = np.mean([(one.precision, one.recall, one.f1) for one in measures], axis=0)
    rows.append(("mean over labels", *(f"{mean:.3f}" for mean in means), f"{len(answers.expected):,}"))
    caption = (
        "Precision: of those that were given the label, the share that has it. Recall: of those that have it, the "
        "share that was given it. F1: their harmonic mean. Support: how many have it."
    )
    return Table("by label", ("label", "precision", "recall", "F1", "support"), rows, caption)


def _calibration_picture(calibration: Calibration) -> Block:
    caption = (
        "Answers in bins of confidence, which is the probability of the label that was given. A bar shows how many of "
        "them were right; where it ends below the dashed line, the model is surer than it should be. Expected "
        f"calibration error, the mean distance from the line: {calibration.expected_error:.3f}. Below: how many "
        "answers each bin holds; bars of few answers mean little."
    )
    return Picture("reliability diagram", caption, draw_calibration(calibration))


def _calibration_table(calibration: Calibration) -> Table:
    bins = zip(
        calibration.edges[:-1],
        calibration.edges[1:],
        calibration.counts,
        calibration.confidence,
        calibration.accuracy,
        strict=True,
    )
    rows = [
        (f"{low:.1f} to {high:.1f}", f"{count:,}", f"{confidence:.3f}", f"{accuracy:.3f}")
        for low, high, count, confidence, accuracy in bins
        if count
    ]
    headings = ("confidence", "answers", "mean confidence", "share that was right")
    return Table(f"expected calibration error {calibration.expected_error:.3f}", headings, rows)


def _mistakes(answers: LabelAnswers) -> Table:
    rows = [
        (
            answers.subjects[index],
            answers.expected[index],
            answers.predicted[index],
            f"{answers.probabilities[index].max():.3f}",
        )
        for index in worst_mistakes(answers, _MISTAKES_SHOWN)
    ]
    caption = "Those with the most confidence first. Look for wrong labels in the data, too." if rows else "None."
    return Table("worst mistakes", (answers.unit, "right", "given", "confidence"), rows, caption)
