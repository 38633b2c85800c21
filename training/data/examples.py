"""The shapes that examples come in, whatever corpus they are from.   Plain values; reads nothing, encodes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, Self, TypeVar

from training.data.stable import Chooser

UNLABELLED = "_"
"""In the place of a step's label: it is read, and neither learnt nor scored. So CoNLL-U writes what is not given."""


class Origin(NamedTuple):
    """Where an example begins, for messages about it."""

    file: str
    line: int
    """Counted from 1."""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What examples that were read have in common. Where one comes from is no part of what it is."""

    origin: Origin | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class LabelledText(_Read):
    """A text and the name of its class."""

    text: str
    label: str

    def with_answer_of(self, other: Self, _: Chooser) -> Self:
        """This text, labelled as the other is. See `training.data.load.shuffle_answers`."""
        return replace(self, label=other.label)


@dataclass(frozen=True)
class PlainText(_Read):
    """A text that a language model learns to continue."""

    text: str

    def with_answer_of(self, _: Self, chooser: Chooser) -> Self:
        """This text in random order: it is input and answer at once, so none but its own characters can be dealt."""
        return replace(self, text="".join(chooser.shuffled(self.text)))


@dataclass(frozen=True)
class TextPair(_Read):
    """A text and one translation of it."""

    source: str
    target: str

    def with_answer_of(self, other: Self, _: Chooser) -> Self:
        """This source with the target of the other."""
        return replace(self, target=other.target)


@dataclass(frozen=True)
class TaggedTokens(_Read):
    """A sentence, word by word, with a tag for each.

    Attributes:
        tokens: [time], as the corpus cut them.
        tags: [time]; UNLABELLED where none is known.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    def with_answer_of(self, other: Self, chooser: Chooser) -> Self:
        """These tokens with tags drawn from those of the other, in the places that have a tag."""
        drawn = [tag for tag in other.tags if tag != UNLABELLED] or self.tags
        return replace(self, tags=tuple(tag if tag == UNLABELLED else chooser.pick(drawn) for tag in self.tags))


class FeatureColumn(NamedTuple):
    """What one number per time step means."""

    name: str
    unit: str


@dataclass(frozen=True)
class LabelledSeries(_Read):
    """Readings over time, with a label for each step.

    Attributes:
        features: [time][feature]; None where a reading is missing.
        labels: [time].
        name: which series (a station, a patient).
        columns: [feature], the same in every series of a corpus.
    """

    features: tuple[tuple[float | None, ...], ...]
    labels: tuple[str, ...]
    name: str = ""
    columns: tuple[FeatureColumn, ...] = ()

    def with_answer_of(self, _: Self, chooser: Chooser) -> Self:
        """These readings with their own labels in random order: those of another series may be more or fewer."""
        return replace(self, labels=tuple(chooser.shuffled(self.labels)))


Example = TypeVar("Example", LabelledText, PlainText, TextPair, TaggedTokens, LabelledSeries)
AnyExample = LabelledText | PlainText | TextPair | TaggedTokens | LabelledSeries


def labels_of(example: AnyExample) -> tuple[str, ...]:
    """Return the labels of an example: one, one per step that has one, or none."""
    match example:
        case LabelledText():
            return (example.label,)
        case TaggedTokens():
            return tuple(tag for tag in example.tags if tag != UNLABELLED)
        case LabelledSeries():
            return example.labels
    return ()


@dataclass(frozen=True)
class Splits(Generic[Example]):
    """The examples of one corpus, by what they are for. What its authors left in two parts stays in both."""

    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


AnySplits = Splits[LabelledText] | Splits[PlainText] | Splits[TextPair] | Splits[TaggedTokens] | Splits[LabelledSeries]


@dataclass(frozen=True)
class ReferencedText:
    """A source and every translation of it that counts as right, for scoring."""

    source: str
    references: tuple[str, ...]


def group_references(pairs: Iterable[TextPair]) -> tuple[ReferencedText, ...]:
    """Gather the targets of each source; sources and targets keep the order of their first appearance."""
    references: dict[str, dict[str, None]] = {}
    for pair in pairs:
        references.setdefault(pair.source, {})[pair.target] = None
    return tuple(ReferencedText(source, tuple(targets)) for source, targets in references.items())
