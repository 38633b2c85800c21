"""Ours beside others in what was measured.   Pure functions."""

from collections.abc import Sequence

from tests.bench.serving.figures import ratios
from tests.bench.serving.rounds import Measured

OURS = "seqserve"


def ratio(
    measured: Measured, others: tuple[str, ...], name: str, *, by: str | None = None, lowest: bool = False
) -> list[float]:
    """The best of ours over the best of those whose titles begin so, round by round; none where nobody ran.

    Args:
        measured: every round.
        others: how the titles begin.
        name: of the figure.
        by: the figure by which the best are chosen; None: the same.
        lowest: of that figure the lowest is the best.
    """
    titles = list(measured.samples)
    ours, theirs = starting(titles, OURS), starting(titles, *others)
    if not ours or not theirs:
        return []
    choose = min if lowest else max
    best = choose(ours, key=lambda title: measured.median(title, by or name))
    other = choose(theirs, key=lambda title: measured.median(title, by or name))
    return ratios(measured.samples[best], measured.samples[other], name)


def starting(titles: Sequence[str], *beginnings: str) -> list[str]:
    """Titles that begin so."""
    return [title for title in titles if title.startswith(beginnings)]
