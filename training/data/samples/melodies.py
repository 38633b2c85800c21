"""The generation sample: short tunes in ABC notation.   A composer with a few rules and seeded chance; no corpus.

What has to be learnt, beyond which note follows which: bars that add up, phrases that come back (A A' B A'), and an end
on the tonic. A pairing is (key, metre, starting note). A tune is its header and eight bars:

    M:3/4
    L:1/8
    K:G
    G2AB|c2B2|...|G4|]
"""

from collections.abc import Iterator
from dataclasses import dataclass

from training.data.examples import PlainText, Splits
from training.data.samples.abc_notation import validate_tune
from training.data.samples.held_out import Draft, Part, collect
from training.data.stable import Chooser

__all__ = ["LONGEST", "SHORTEST", "SIZES", "load", "prompt", "validate_tune"]

SIZES: dict[Part, int] = {"training": 5_500, "validation": 500, "test": 600}
SHORTEST, LONGEST = 60, 140
"""Characters of a tune, header included."""

_NOTES = "CDEFGABcdefgab"
"""Two octaves from middle C. The key signature raises and lowers, so a melody needs no other names."""

_TONICS = {"C": 0, "Dm": 1, "D": 1, "Em": 2, "F": 3, "G": 4, "Am": 5, "A": 5}
"""Position of each key's tonic in `_NOTES`."""

_STARTING_DEGREES = (0, 1, 2, 4, 7)
"""Steps above the tonic on which a tune may begin."""

Rhythm = tuple[int, ...]
"""Durations of the notes of one bar, in eighths."""

_RHYTHMS: dict[str, tuple[Rhythm, ...]] = {
    "4/4": (
        (2, 2, 2, 2),
        (2, 1, 1, 2, 2),
        (3, 1, 2, 2),
        (1, 1, 2, 2, 2),
        (2, 2, 1, 1, 2),
        (1, 1, 1, 1, 2, 2),
        (4, 2, 2),
        (2, 2, 4),
    ),
    "3/4": ((2, 2, 2), (2, 1, 1, 2), (3, 1, 2), (1, 1, 2, 2), (2, 2, 1, 1), (4, 2), (1, 1, 1, 1, 2)),
    "6/8": ((3, 3), (2, 1, 2, 1), (1, 1, 1, 3), (1, 1, 1, 2, 1), (2, 1, 3), (1, 1, 1, 1, 1, 1), (3, 2, 1)),
}

_TONIC, _SUBDOMINANT, _DOMINANT, _SUBMEDIANT = 0, 3, 4, 5
_STEP_PROBABILITY = 0.8
_SAME_DIRECTION_PROBABILITY = 0.7


@dataclass(frozen=True)
class Note:
    """A pitch, as a position in `_NOTES`, and a duration in eighths."""

    position: int
    duration: int

    def abc(self) -> str:
        """As ABC writes it: `G`, `c2`."""
        return _NOTES[self.position] + (str(self.duration) if self.duration > 1 else "")


Bar = tuple[Note, ...]


def load() -> Splits[PlainText]:
    """Generate the sample: 5,500 training, 500 validation and 600 test tunes."""
    return collect(_drafts(Chooser("melodies")), strata=1, sizes=SIZES, exceptions={})


def prompt(*, key: str, metre: str, starting_note: str) -> str:
    """The beginning of a tune, for a model to continue: header and first note."""
    return f"M:{metre}\nL:1/8\nK:{key}\n{starting_note}"


def _drafts(chooser: Chooser) -> Iterator[Draft[PlainText]]:
    while True:
        key, metre = chooser.pick(tuple(_TONICS)), chooser.pick(tuple(_RHYTHMS))
        start = _TONICS[key] + chooser.pick(_STARTING_DEGREES)
        bars = _compose(chooser, tonic=_TONICS[key], start=start, metre=metre)
        rows = ["|".join("".join(note.abc() for note in bar) for bar in half) for half in (bars[:4], bars[4:])]
        text = prompt(key=key, metre=metre, starting_note="") + "|\n".join(rows) + "|]"
        if SHORTEST <= len(text) <= LONGEST:
            yield Draft(PlainText(text), frozenset({(key, metre, _NOTES[start])}))


def _compose(chooser: Chooser, *, tonic: int, start: int, metre: str) -> list[Bar]:
    """Eight bars: A, A closed on the tonic, B, and A closed again."""
    first_rhythm, second_rhythm, third_rhythm = (chooser.pick(_RHYTHMS[metre]) for _ in range(3))
    opening = _bar(chooser, first_rhythm, tonic=tonic, chord=_TONIC, first=start)
    reply_chord = chooser.pick((_SUBDOMINANT, _DOMINANT, _SUBMEDIANT))
    reply = _bar(chooser, second_rhythm, tonic=tonic, chord=reply_chord, after=opening[-1].position)
    closed = _closed(reply, tonic=tonic, length=sum(second_rhythm))
    bridge_chord = chooser.pick((_SUBDOMINANT, _SUBMEDIANT))
    bridge = _bar(chooser, third_rhythm, tonic=tonic, chord=bridge_chord, after=closed[-1].position)
    turn = _bar(chooser, third_rhythm, tonic=tonic, chord=_DOMINANT, after=bridge[-1].position)
    return [opening, reply, opening, closed, bridge, turn, opening, closed]


def _bar(
    chooser: Chooser, rhythm: Rhythm, *, tonic: int, chord: int, first: int | None = None, after: int | None = None
) -> Bar:
    """Notes on a rhythm, mostly by steps, else by leaps within the chord.

    The first note is `first`, or the note of the chord that is nearest to `after`.
    """
    lowest, highest = max(tonic - 3, 0), min(tonic + 8, len(_NOTES) - 1)
    chord_notes = [place for place in range(lowest, highest + 1) if (place - tonic - chord) % 7 in (0, 2, 4)]
    position = first if first is not None else _nearest(chord_notes, after if after is not None else tonic)
    direction = 1 if chooser.chance(0.5) else -1
    notes = [Note(position, rhythm[0])]
    for duration in rhythm[1:]:
        direction = direction if chooser.chance(_SAME_DIRECTION_PROBABILITY) else -direction
        stepped = position + direction
        if lowest <= stepped <= highest and chooser.chance(_STEP_PROBABILITY):
            position = stepped
        else:
            position = chooser.pick(
                [place for place in chord_notes if place != position and abs(place - position) <= 5]
            )
        notes.append(Note(position, duration))
    return tuple(notes)


def _closed(bar: Bar, *, tonic: int, length: int) -> Bar:
    """The bar's beginning (up to its half, at least one note), and then the nearest tonic until the bar is full."""
    kept = [bar[0]]
    for note in bar[1:]:
        if 2 * (sum(one.duration for one in kept) + note.duration) > length:
            break
        kept.append(note)
    tonics = [place for place in range(tonic % 7, len(_NOTES), 7) if tonic <= place <= tonic + 7]
    rest = length - sum(note.duration for note in kept)
    return (*kept, Note(_nearest(tonics, kept[-1].position), rest))


def _nearest(places: list[int], position: int) -> int:
    return min(places, key=lambda place: (abs(place - position), place))
