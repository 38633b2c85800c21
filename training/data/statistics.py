"""What examples are like, in numbers: lengths, labels, unknown tokens, readings, overlaps.   Prints nothing."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import get_args

import numpy as np
import numpy.typing as npt

from service.text.tokenizer import Tokenizer
from training.data.encoding.lengths import lengths_of
from training.data.encoding.tokenization import UNKNOWN
from training.data.examples import AnyExample, AnySplits, LabelledSeries, PlainText, TaggedTokens, TextPair, labels_of
from training.data.files.abc import note_letters
from training.data.splitting import keys_of
from training.settings.files import PartName
from training.settings.recipe import DataSettings

SERIES_NAME = "name of the series"
"""What parts of one series share when they were cut by time, and then it is no leak."""

_INCIPIT = 16
"""Notes by which catalogues know a tune: about four bars."""

PARTS: tuple[PartName, ...] = get_args(PartName)


@dataclass(frozen=True)
class SideLengths:
    """How long one side of the examples of a part is.

    Attributes:
        token_counts: [examples], special tokens that training adds included.
        limit: of the recipe.
    """

    token_counts: npt.NDArray[np.int64]
    limit: int

    @property
    def over_limit(self) -> int:
        """How many examples are longer than the limit."""
        return int((self.token_counts > self.limit).sum())


@dataclass(frozen=True)
class PartSummary:
    """The examples of one part.

    Attributes:
        lengths: by side (`text`, `source`, `target`, `words`, `steps`).
        labels: how often each occurs; empty where examples have none.
        unknown: by side, tokens that are not in the vocabulary, and all tokens.
    """

    name: PartName
    example_count: int
    lengths: Mapping[str, SideLengths]
    labels: Counter[str]
    unknown: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Overlap:
    """Examples (or steps of series) of one part that are, or say, what examples of another part do.

    Attributes:
        part: whose examples are counted.
        other: where they are found again; the same part: an example before them.
        shared: what they share.
        count: of such examples (or steps) of `part`.
        first: one of them, and the one that it repeats; None where there is none.
    """

    part: PartName
    other: PartName
    shared: str
    count: int
    first: tuple[AnyExample, AnyExample] | None


@dataclass(frozen=True)
class FeatureSummary:
    """The readings of one feature in the training part; the numbers are None where every reading is missing."""

    name: str
    unit: str
    smallest: float | None
    mean: float | None
    largest: float | None
    missing_share: float


def summarise_part(
    name: PartName,
    examples: Sequence[AnyExample],
    tokenizers: Mapping[str, Tokenizer],
    settings: DataSettings,
) -> PartSummary:
    """Count one part.

    Args:
        name: of the part.
        examples: of the part.
        tokenizers: by side, of those kinds of examples that have text or words.
        settings: hold the limits.
    """
    encoders = {side: _CountingEncoder(tokenizer) for side, tokenizer in tokenizers.items()}
    lengths: dict[str, list[int]] = {}
    limits: dict[str, int] = {}
    for length in chain.from_iterable(lengths_of(example, encoders, settings) for example in examples):
        lengths.setdefault(length.side, []).append(length.token_count)
        limits[length.side] = length.limit
    unknown = {side: (encoder.unknown_count, encoder.token_count) for side, encoder in encoders.items()}
    return PartSummary(
        name,
        len(examples),
        {side: SideLengths(np.array(counts, dtype=np.int64), limits[side]) for side, counts in lengths.items()},
        Counter(label for example in examples for label in labels_of(example)),
        unknown,
    )


class _CountingEncoder:
    """Encodes, and counts the tokens and the unknown ones among them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._unknown_id = tokenizer.id_of(UNKNOWN)
        self.token_count = 0
        self.unknown_count = 0

    def __call__(self, text: str) -> Sequence[int]:
        ids = self._tokenizer.encode(text)
        self.token_count += len(ids)
        self.unknown_count += ids.count(self._unknown_id) if self._unknown_id is not None else 0
        return ids


def find_overlaps(splits: AnySplits) -> list[Overlap]:
    """Look for what several parts, or several examples of the training part, share; findings of none included."""
    by_part = {part: _occurrences(getattr(splits, part)) for part in PARTS}
    overlaps = []
    for other, part in combinations(PARTS, 2):
        overlaps += [
            _overlap(part, other, shared, occurrences, by_part[other].get(shared, {}))
            for shared, occurrences in by_part[part].items()
        ]
    repeated = [_repetitions(shared, occurrences) for shared, occurrences in by_part["training"].items()]
    return [*overlaps, *repeated]


def summarise_features(examples: Sequence[LabelledSeries]) -> list[FeatureSummary]:
    """Describe each feature over all steps of all series."""
    table = np.array([step for series in examples for step in series.features], dtype=np.float64)  # None becomes NaN
    found = []
    for column, readings in zip(examples[0].columns, table.T, strict=True):
        present = readings[~np.isnan(readings)]
        missing_share = 1 - present.size / readings.size
        smallest, mean, largest = (
            (float(present.min()), float(present.mean()), float(present.max())) if present.size else (None, None, None)
        )
        found.append(FeatureSummary(column.name, column.unit, smallest, mean, largest, missing_share))
    return found


Occurrences = dict[Hashable, list[AnyExample]]
"""Examples by what they share."""


def _occurrences(examples: Sequence[AnyExample]) -> dict[str, Occurrences]:
    found: dict[str, Occurrences] = {}
    for example in examples:
        for shared, content in _contents(example):
            found.setdefault(shared, {}).setdefault(content, []).append(example)
    return found


def _contents(example: AnyExample) -> Iterator[tuple[str, Hashable]]:
    """What an example may share with another, by the name of it."""
    if isinstance(example, LabelledSeries):
        yield SERIES_NAME, example.name
        yield from (("step of one series", (example.name, step)) for step in dict.fromkeys(example.features))
        return
    yield "whole example", example
    sides = [("text", " ".join(example.tokens))] if isinstance(example, TaggedTokens) else _texts(example)
    yield from ((f"{side}, letter by letter", text) for side, text in sides)
    yield from ((f"{side}, case and punctuation aside", text) for side, text in keys_of(example))
    if isinstance(example, PlainText) and (letters := note_letters(example.text)):
        yield "notes of a tune, letters alone", letters
        yield f"first {_INCIPIT} notes of a tune, letters alone", letters[:_INCIPIT]


def _texts(example: AnyExample) -> list[tuple[str, str]]:
    if isinstance(example, TextPair):
        return [("source", example.source), ("target", example.target)]
    return [("text", getattr(example, "text"))]  # noqa: B009 - the other kinds were dealt with


def _overlap(part: PartName, other: PartName, shared: str, ours: Occurrences, theirs: Occurrences) -> Overlap:
    common = [content for content in ours if content in theirs]
    count = sum(len(ours[content]) for content in common)
    first = (ours[common[0]][0], theirs[common[0]][0]) if common else None
    return Overlap(part, other, shared, count, first)


def _repetitions(shared: str, occurrences: Occurrences) -> Overlap:
    repeated = [examples for examples in occurrences.values() if len(examples) > 1]
    count = sum(len(examples) - 1 for examples in repeated)
    return Overlap("training", "training", shared, count, (repeated[0][1], repeated[0][0]) if repeated else None)
