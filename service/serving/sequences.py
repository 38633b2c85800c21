"""Sequences in every form that callers give them in, and what a graph said of one.   Knows no task and no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A sequence as words, which are taken as they are."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class FeatureRows:
    """A sequence as rows of readings by name, oldest first."""

    rows: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class TokenIds:
    """A sequence as the ids of its tokens."""

    ids: Sequence[int]


@dataclass(frozen=True)
class FeatureTable:
    """A sequence as rows of readings in the order of the model's features, oldest first; NaN where one is missing."""

    rows: Sequence[Sequence[float]]


InputSequence = str | Words | FeatureRows | TokenIds | FeatureTable
"""A sequence to label. A str is a text that is split into words as the model's bundle says."""


@dataclass(frozen=True)
class TextPair:
    """A text, and a translation of it."""

    source: str
    target: str


@dataclass(frozen=True)
class SequenceLogits:
    """What the graph said of one sequence, [steps][labels], in the order of the model's labels.

    A classifier gives every sequence one step. `words` has a word per step, or nothing where none were read.
    """

    logits: Sequence[Sequence[float]]
    probabilities: Sequence[Sequence[float]]
    words: tuple[str, ...]
