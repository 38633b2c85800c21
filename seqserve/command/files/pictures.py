"""Attention as a picture, by matplotlib, which is loaded for it alone.   Knows no server."""

from pathlib import Path

import typer
from matplotlib.figure import Figure

from seqserve.results import Attention

INCHES_PER_TOKEN = 0.45
INCHES_AROUND = 2.0


def check_picture(path: Path) -> None:
    """Refuse a file that could not be written, before anything is asked.

    Raises:
        typer.BadParameter: no such folder, or its ending names no kind of picture.
    """
    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in kinds:
        raise typer.BadParameter(f"{path} ends in none of {', '.join(sorted(kinds))}", param_hint="--alignment")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint="--alignment")


def draw_attention(attention: Attention, path: Path) -> None:
    """Draw where the decoder looked: a row for each token that was written, a column for each that was read.

    Raises:
        ValueError: the file cannot be written.
    """
    rows, columns = len(attention.target_tokens), len(attention.source_tokens)
    size = (INCHES_AROUND + INCHES_PER_TOKEN * max(columns, 1), INCHES_AROUND + INCHES_PER_TOKEN * max(rows, 1))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    if rows and columns:
        axes.imshow(attention.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), map(_plain, attention.source_tokens), rotation=90)
    axes.set_yticks(range(rows), map(_plain, attention.target_tokens))
    axes.set_xlabel("token read")
    axes.set_ylabel("token written")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def _plain(token: str) -> str:
    """A token as it is: between two dollars matplotlib would read mathematics."""
    return token.replace("$", r"\$")
