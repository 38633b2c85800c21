"""Numbers that a report shows beside the score: confusion, loss by place, BLEU by length.   Draws nothing.

All of them are made of the answers that the score was made of, so they add up to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_fscore_support

from training.scoring.answers import LabelAnswers, LikelihoodAnswers, TranslationAnswers
from training.scoring.confusion import Confusion, all_labels
from training.scoring.scores import bleu

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelMeasure:
    """How well one label was found. What would be a division by zero is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """How often it is right."""


@dataclass(frozen=True)
class PlaceLoss:
    """Mean loss of the tokens at a range of places in their texts.

    Attributes:
        first: place from 0, where each range begins.
        last: place where it ends.
        loss: mean over its tokens, in nats.
        token_count: of the range.
    """

    first: int
    last: int
    loss: float
    token_count: int

    @property
    def places(self) -> str:
        """The range in words."""
        return _range(self.first, self.last)


@dataclass(frozen=True)
class LengthBleu:
    """Corpus BLEU of the sources whose length is in a range of tokens."""

    shortest: int
    longest: int
    bleu: float
    source_count: int

    @property
    def lengths(self) -> str:
        """The range in words."""
        return _range(self.shortest, self.longest)


def keep_commonest(confusion: Confusion, label_count: int, *, rest: str) -> Confusion:
    """Keep the labels that are right most often, in their order, and add the others up under one name."""
    if len(confusion.labels) <= label_count:
        return confusion
    order = np.argsort(-confusion.counts.sum(axis=1), kind="stable")
    kept = np.sort(order[: label_count - 1])
    groups = np.full(len(confusion.labels), label_count - 1)
    groups[kept] = np.arange(label_count - 1)
    counts = np.zeros((label_count, label_count), dtype=np.int64)
    np.add.at(counts, (groups[:, None], groups[None, :]), confusion.counts)
    return Confusion((*(confusion.labels[index] for index in kept), rest), counts)


def measure_labels(answers: LabelAnswers) -> tuple[LabelMeasure, ...]:
    """Compute precision, recall and F1 of each label, in the order of `all_labels`."""
    labels = all_labels(answers)
    columns = precision_recall_fscore_support(answers.expected, answers.predicted, labels=labels, zero_division=0)
    rows = zip(labels, *columns, strict=True)
    return tuple(LabelMeasure(label, float(p), float(r), float(f), int(count)) for label, p, r, f, count in rows)


def losses_by_place(answers: LikelihoodAnswers, range_count: int = 40) -> tuple[PlaceLoss, ...]:
    """Average the loss over ranges of places of the same width, the ends of texts included."""
    longest = max(len(of_text) for of_text in answers.log_likelihoods)
    width = -(-longest // range_count)
    ranges = np.concatenate([np.arange(len(of_text)) // width for of_text in answers.log_likelihoods])
    counts = np.bincount(ranges)
    totals = np.bincount(ranges, weights=-np.concatenate(answers.log_likelihoods))
    return tuple(
        PlaceLoss(index * width, min((index + 1) * width, longest) - 1, float(total / count), int(count))
        for index, (total, count) in enumerate(zip(totals, counts, strict=True))
    )


def bleu_by_length(answers: TranslationAnswers, range_count: int = 6) -> tuple[LengthBleu, ...]:
    """Score ranges of source length that hold about as many sources each."""
    lengths = np.array(answers.source_token_counts)
    cuts = np.unique(np.quantile(lengths, np.linspace(0, 1, range_count + 1)[1:-1], method="higher"))
    ranges = np.searchsorted(cuts, lengths)  # [groups]: up to and with the first cut, ...
    found = []
    for index in np.unique(ranges):
        chosen = np.flatnonzero(ranges == index)
        hypotheses = [answers.hypotheses[one] for one in chosen]
        score = bleu(hypotheses, [answers.groups[one].references for one in chosen])
        of_range = lengths[chosen]
        found.append(LengthBleu(int(of_range.min()), int(of_range.max()), score.value, len(chosen)))
    return tuple(found)


def worst_mistakes(answers: LabelAnswers, count: int) -> Sequence[int]:
    """Return the answers that were wrong with the highest confidence, the surest first."""
    wrong = np.flatnonzero(np.array(answers.expected) != np.array(answers.predicted))
    confidence = answers.probabilities.max(axis=-1)[wrong]
    order: list[int] = wrong[np.argsort(-confidence, kind="stable")][:count].tolist()
    return order


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
