"""What all pictures share: fonts, colours, tokens made printable, figures into bytes.   Knows no content."""

import io
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DPI = 120
_LABEL_CHARACTERS = 24
_UPRIGHT_CHARACTERS = 2
"""Longer names below an axis are slanted, so that they do not run into each other."""
_BLANKS = {" ": "\N{OPEN BOX}", "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}", "\t": "\N{RIGHTWARDS ARROW TO BAR}"}
"""Tokens that print nothing get a sign."""

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Told apart by those who see fewer colours: Okabe & Ito 2008, Color Universal Design."""


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of so many inches that arranges itself."""
    return Figure(figsize=(width, height), layout="constrained")


def to_png(figure: Figure) -> bytes:
    """Return the PNG of a figure: the same figure, the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # a character that the font lacks is drawn as a box; the page has the text itself
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, dpi=_DPI, format="png", metadata={"Software": None})
    return buffer.getvalue()


def room_for(names: Sequence[str]) -> float:
    """Return how many inches the longest of these names takes, about."""
    return 0.1 * max(len(printable(name)) for name in names)


def name_ticks(axes: Axes, axis: Literal["x", "y"], names: Sequence[str]) -> None:
    """Name each place of an axis; the names are plain text, whatever signs they hold."""
    labels = [printable(name) for name in names]
    if axis == "y":
        axes.set_yticks(range(len(names)), labels, parse_math=False)
    elif max(map(len, labels)) <= _UPRIGHT_CHARACTERS:
        axes.set_xticks(range(len(names)), labels, parse_math=False)
    else:
        axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)


def printable(text: str) -> str:
    """Return a text with blanks and control characters made visible, shortened where it is long."""
    shown = "".join(_visible(character) for character in text)
    return shown if len(shown) <= _LABEL_CHARACTERS else shown[: _LABEL_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _visible(character: str) -> str:
    if character in _BLANKS:
        return _BLANKS[character]
    return "\N{MIDDLE DOT}" if unicodedata.category(character).startswith("C") else character
