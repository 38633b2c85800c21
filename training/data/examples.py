"""The shapes that examples come in, whatever corpus they are from.   Plain values; reads nothing, encodes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from training.data.stable import Chooser


@dataclass(frozen=True)
class LabelledText:
    """A text and the name of its class."""

    text: str
    label: str

    def with_answer_of(self, other: Self, _: Chooser) -> Self:
        """This text, labelled as the other is. See `training.data.load.shuffle_answers`."""
        return replace(self, label=other.label)


@dataclass(frozen=True)
class PlainText:
    """A text that a language model learns to continue."""

    text: str

    def with_answer_of(self, _: Self, chooser: Chooser) -> Self:
        """This text in random order: it is input and answer at once, so none but its own characters can be dealt."""
        return replace(self, text="".join(chooser.shuffled(self.text)))


@dataclass(frozen=True)
class TextPair:
    """A text and one translation of it."""

    source: str
    target: str

    def with_answer_of(self, other: Self, _: Chooser) -> Self:
        """This source with the target of the other."""
        return replace(self, target=other.target)


Example = TypeVar("Example", LabelledText, PlainText, TextPair)


@dataclass(frozen=True)
class Splits(Generic[Example]):
    """The examples of one corpus, by what they are for. No example is in two splits."""

    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


AnySplits = Splits[LabelledText] | Splits[PlainText] | Splits[TextPair]


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
