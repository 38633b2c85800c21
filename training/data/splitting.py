"""Sets validation and test examples apart by a hash of what they say.   Knows texts and shares; reads nothing.

What must not be torn apart (a sentence and its translations, spellings of one sentence) shares a key; examples that
share a key, directly or over others, are a group and go to one part.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from training.data.examples import (
    AnyExample,
    Example,
    LabelledSeries,
    LabelledText,
    PlainText,
    Splits,
    TaggedTokens,
    TextPair,
)
from training.data.stable import stable_fraction
from training.settings.files import PartName

Key = tuple[str, str]
"""What a text is (`source`, `target`, ...), and the text, normalised."""

_NOT_WORDS = re.compile(r"[\W_]+")


def normalise_sentence(text: str) -> str:
    """What two spellings of one sentence share: its words, case folded, without punctuation."""
    return _NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip() or text


def keys_of(example: AnyExample) -> tuple[Key, ...]:
    """What an example may share with another; the first key decides about its part."""
    match example:
        case LabelledText() | PlainText():
            return (("text", normalise_sentence(example.text)),)
        case TextPair():
            return (
                ("source", normalise_sentence(example.source)),
                ("target", normalise_sentence(example.target)),
            )
        case TaggedTokens():
            return (("text", normalise_sentence(" ".join(example.tokens))),)
        case LabelledSeries():
            return (("name", example.name),)


def split_by_hash(examples: Sequence[Example], *, validation: float = 0.0, test: float = 0.0) -> Splits[Example]:
    """Set shares of the examples apart, in the order of the file within each part.

    Args:
        examples: all of them.
        validation: share of the groups, in [0, 1).
        test: share of the groups, in [0, 1).
    """
    parts: dict[PartName, list[Example]] = {"training": [], "validation": [], "test": []}
    groups = _Groups()
    keys = [keys_of(example) for example in examples]
    for of_example in keys:
        groups.join(of_example)
    speakers: dict[Key, set[str]] = {}
    for first, *_ in keys:
        speakers.setdefault(groups.root(first), set()).add(first[1])
    part_by_root = {root: _part_of(texts, validation, test) for root, texts in speakers.items()}
    for example, (first, *_) in zip(examples, keys, strict=True):
        parts[part_by_root[groups.root(first)]].append(example)
    return Splits(tuple(parts["training"]), tuple(parts["validation"]), tuple(parts["test"]))


def without_shared(examples: Iterable[Example], others: Iterable[Example]) -> tuple[Example, ...]:
    """Return the examples that share no key with any of the others."""
    taken = {key for other in others for key in keys_of(other)}
    return tuple(example for example in examples if taken.isdisjoint(keys_of(example)))


def _part_of(texts: set[str], validation: float, test: float) -> PartName:
    """The part a group belongs to, by a hash of one of its texts.

    The text is the one with the smallest hash, so that a group of n texts which a new edition of the corpus enlarges
    by one keeps its part with probability n / (n + 1) at least.
    """
    speaker = min(texts, key=lambda text: stable_fraction("speaker", text))
    share = stable_fraction("part", speaker)
    if share < test:
        return "test"
    return "validation" if share < test + validation else "training"


class _Groups:
    """Keys that were joined, directly or over others (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[Key, Key] = {}

    def join(self, keys: Iterable[Key]) -> None:
        """Put all of the keys into the group of the first."""
        first, *others = keys
        root = self.root(first)
        for other in others:
            self._parents[self.root(other)] = root

    def root(self, key: Key) -> Key:
        """The key that stands for the group."""
        parents = self._parents
        parents.setdefault(key, key)
        while parents[key] != key:
            parents[key] = parents[parents[key]]  # halve the path
            key = parents[key]
        return key
