"""Whether tunes in ABC notation hold together: a parser reads them, and their bars are full.   Knows no model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from music21 import converter
from music21.abcFormat import ABCFile, ABCHandler, ABCMetadata, ABCNote

_HEAD = "X:1\nT:untitled\n"
"""What a tune needs before the fields that models of tunes write."""

_CLOSE = 0.001
"""Of a quarter note: triplets are not exact in the parser's numbers."""


@dataclass(frozen=True)
class TuneCheck:
    """What was found in some tunes.

    Attributes:
        tune_count: tunes that were given.
        read_count: those that the parser reads and finds bars in.
        bar_count: bars of those that were read, upbeats left out.
        full_count: bars whose notes and rests last as long as the metre says.
    """

    tune_count: int
    read_count: int
    bar_count: int
    full_count: int

    @property
    def read_share(self) -> float:
        """Percent of the tunes that were read."""
        return 100 * self.read_count / max(1, self.tune_count)

    @property
    def full_share(self) -> float:
        """Percent of the bars that are full."""
        return 100 * self.full_count / max(1, self.bar_count)

    def __str__(self) -> str:
        return (
            f"{self.read_share:.1f} % of {self.tune_count} tunes are read by music21, "
            f"{self.full_share:.1f} % of their {self.bar_count:,} bars are full"
        )


def check_tunes(texts: Iterable[str]) -> TuneCheck:
    """Read tunes, each from its fields (`M:`, `L:`, `K:`) on, and count their bars."""
    found = [_fullness(text) for text in texts]
    bars = [full for of_tune in found for full in of_tune]
    return TuneCheck(len(found), sum(bool(of_tune) for of_tune in found), len(bars), sum(bars))


def _fullness(text: str) -> list[bool]:
    """Whether each bar of a tune is full, an upbeat left out; nothing where the parser fails, or finds no bar.

    Bars are counted as they are written: in the finished score the parser has cut those that are too long.
    Source: music21 (Cuthbert and Ariza 2010), whose parser follows the ABC standard.
    """
    tune = f"{_HEAD}{text}\n"
    try:
        converter.parseData(tune, format="abc")
        lengths = list(_bar_lengths(ABCFile().readstr(tune)))
    except Exception:  # noqa: BLE001 - whatever a parser raises, it has not read the tune
        return []
    if lengths and lengths[0][0] < lengths[0][1] - _CLOSE:
        lengths = lengths[1:]
    return [abs(length - metre) < _CLOSE for length, metre in lengths]


def _bar_lengths(tune: ABCHandler) -> Iterator[tuple[float, float]]:
    """How long the notes of each bar last, and how long they should, in quarter notes; without a metre, nothing."""
    metre = None
    for bar in tune.splitByMeasure():
        for token in bar.tokens:
            if isinstance(token, ABCMetadata) and token.isMeter():
                signature = token.getTimeSignatureObject()
                metre = None if signature is None else float(signature.barDuration.quarterLength)
        notes = [token for token in bar.tokens if isinstance(token, ABCNote) and not token.inGrace]
        if notes and metre is not None:
            yield sum(map(_length, notes)), metre


def _length(note: ABCNote) -> float:
    """Of a note, a rest or a chord, in quarter notes."""
    share = 1.0 if note.activeTuplet is None else float(note.activeTuplet.tupletMultiplier())
    return float(note.quarterLength) * share
