"""Whether tunes in ABC notation hold together: a parser reads them, and their bars are full.   Knows no model."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from music21 import converter, stream

_HEAD = "X:1\nT:untitled\n"
"""What a tune needs before the fields that models of tunes write."""

_CLOSE = Fraction(1, 1000)
"""Of a quarter note: triplets are not exact in the parser's numbers."""


@dataclass(frozen=True)
class TuneCheck:
    """What was found in some tunes.

    Attributes:
        tune_count: tunes that were given.
        read_count: those that the parser reads and finds notes in.
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
    """Whether each bar of a tune is full; nothing where the parser fails, or finds no note.

    Source: music21 (Cuthbert and Ariza 2010), whose parser follows the ABC standard.
    """
    try:
        score = converter.parseData(f"{_HEAD}{text}\n", format="abc")
        if not score.recurse().notes:
            return []
        return [_is_full(bar) for bar in score.recurse().getElementsByClass(stream.Measure) if not bar.paddingLeft]
    except Exception:  # noqa: BLE001 - whatever a parser raises, it has not read the tune
        return []


def _is_full(bar: stream.Measure) -> bool:
    return abs(Fraction(bar.duration.quarterLength) - Fraction(bar.barDuration.quarterLength)) < _CLOSE
