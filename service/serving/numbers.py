"""Sequences as numbers, in and out, for callers who bring and take those.   Knows no task and no model."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TokenIds:
    """A sequence as the ids of its tokens."""

    ids: Sequence[int]


@dataclass(frozen=True)
class FeatureTable:
    """A sequence as rows of readings in the order of the model's features, oldest first; NaN where one is missing."""

    rows: Sequence[Sequence[float]]


@dataclass(frozen=True)
class SequenceLogits:
    """What the graph said of one sequence, [steps][labels], in the order of the model's labels.

    A classifier gives every sequence one step. `words` has a word per step, or nothing where none were read.
    """

    logits: Sequence[Sequence[float]]
    probabilities: Sequence[Sequence[float]]
    words: tuple[str, ...]
