"""The tagging sample: sentences that name people, places and firms, in BIO tags.   A grammar; no corpus.

What has to be learnt: a name by the words around it. Many names are new in every sentence, some are those of people
and of places ("Florence met Jordan in Sofia"), a firm may bear a person's or a place's name, and what a name is may
show only behind it ("Turin Steel sold ..."). A pairing is (what happens, what is named in it).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from training.data.examples import Splits, TaggedTokens
from training.data.samples.held_out import Draft, Part, collect
from training.data.samples.names import FIRST_NAMES, PLACES, TWO_WORD_PLACES, new_name
from training.data.stable import Chooser

SIZES: dict[Part, int] = {"training": 3_000, "validation": 300, "test": 600}
PERSON, PLACE, FIRM = "PER", "LOC", "ORG"
OUTSIDE = "O"

_PEOPLE = ("teacher", "farmer", "painter", "nurse", "driver", "singer", "judge", "baker")
_THINGS = ("boat", "house", "letter", "ring", "horse", "piano", "garden", "book", "clock", "bridge")
_TRADES = ("Steel", "Motors", "Bank", "Airlines", "Foods", "Textiles")
_TIMES = ("today", "in spring", "last year", "on Monday", "after the war", "at noon")

_PATTERNS = (
    "{PER} lives in {LOC}",
    "{PER} met {PER} in {LOC}",
    "{PER} was born near {LOC} and works for {ORG}",
    "the {person} {PER} left {LOC}",
    "{ORG} bought a {thing} from {PER}",
    "{ORG} has its seat in {LOC}",
    "{ORG} sold the {thing} to {ORG}",
    "{LOC} is larger than {LOC}",
    "it rains in {LOC}",
    "the road from {LOC} to {LOC} is closed",
    "{PER} said that {PER} needs to work harder",
    "the {thing} of {PER} was found in {LOC}",
    "{PER} , a {person} from {LOC} , joined {ORG}",
    "nobody in {LOC} knew {PER}",
    "a {person} gave the {thing} to {PER}",
    "the {thing} was lost",
)


@dataclass(frozen=True)
class _Piece:
    """Some words, and the type of what they name; none for other words."""

    words: tuple[str, ...]
    type: str = ""

    def tags(self) -> tuple[str, ...]:
        if not self.type:
            return (OUTSIDE,) * len(self.words)
        return (f"B-{self.type}", *[f"I-{self.type}"] * (len(self.words) - 1))


def load() -> Splits[TaggedTokens]:
    """Generate the sample: 3,000 training, 300 validation and 600 test sentences."""
    return collect(_drafts(Chooser("mentions")), strata=1, sizes=SIZES, exceptions={})


def _drafts(chooser: Chooser) -> Iterator[Draft[TaggedTokens]]:
    while True:
        pattern = chooser.pick(_PATTERNS)
        pieces = [_piece(chooser, part) for part in pattern.split()]
        if chooser.chance(0.3):
            pieces.append(_Piece(tuple(chooser.pick(_TIMES).split())))
        words = [word for piece in pieces for word in piece.words]
        tags = [tag for piece in pieces for tag in piece.tags()]
        words[0] = words[0][0].upper() + words[0][1:]
        end = chooser.chance(0.5)
        example = TaggedTokens((*words, *(["."] * end)), (*tags, *([OUTSIDE] * end)))
        yield Draft(example, frozenset((pattern, " ".join(piece.words)) for piece in pieces if piece.type))


def _piece(chooser: Chooser, part: str) -> _Piece:
    fillers: dict[str, Callable[[Chooser], _Piece]] = {
        "{PER}": _person,
        "{LOC}": _place,
        "{ORG}": _firm,
        "{person}": lambda chooser: _Piece((chooser.pick(_PEOPLE),)),
        "{thing}": lambda chooser: _Piece((chooser.pick(_THINGS),)),
    }
    return fillers[part](chooser) if part in fillers else _Piece((part,))


def _person(chooser: Chooser) -> _Piece:
    first = chooser.pick(FIRST_NAMES) if chooser.chance(0.6) else new_name(chooser)
    return _Piece((first, new_name(chooser)) if chooser.chance(0.5) else (first,), PERSON)


def _place(chooser: Chooser) -> _Piece:
    if chooser.chance(0.25):
        return _Piece(tuple(chooser.pick(TWO_WORD_PLACES).split()), PLACE)
    return _Piece((chooser.pick(PLACES) if chooser.chance(0.6) else new_name(chooser),), PLACE)


def _firm(chooser: Chooser) -> _Piece:
    name = chooser.pick(PLACES) if chooser.chance(0.4) else new_name(chooser)
    if chooser.chance(0.3):
        return _Piece((name, "and", "Sons"), FIRM)
    return _Piece((name, chooser.pick(_TRADES)), FIRM)
