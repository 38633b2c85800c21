"""Pictures of what a model does: gates over a sentence, attention between two.   Takes numbers; knows no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DPI = 150
_BLANKS = str.maketrans({" ": "\N{OPEN BOX}", "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"})
"""Tokens that print nothing get a sign."""


def draw_attention(
    weights: npt.ArrayLike, source_tokens: Sequence[str], target_tokens: Sequence[str], path: Path
) -> None:
    """Draw where the decoder looked while it wrote each token.

    Args:
        weights: [target tokens, source tokens], each row summing to 1.
        source_tokens: what was read.
        target_tokens: what was written.
        path: of the PNG.

    Raises:
        ValueError: the matrix has another shape.
    """
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != (len(target_tokens), len(source_tokens)):
        raise ValueError(f"weights are {matrix.shape}, tokens {len(target_tokens)} by {len(source_tokens)}")
    figure = Figure(figsize=(1.5 + 0.55 * len(source_tokens), 1.2 + 0.45 * len(target_tokens)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    _name_columns(axes, source_tokens)
    axes.set_yticks(range(len(target_tokens)), _printable(target_tokens))
    axes.set_xlabel("read")
    axes.set_ylabel("written")
    axes.set_title("attention")
    figure.colorbar(image, ax=axes, label="weight")
    _save(figure, path)


def draw_gates(signals: Mapping[str, npt.ArrayLike], tokens: Sequence[str], path: Path) -> None:
    """Draw gates and states of one layer over the tokens of a text, one panel each.

    Args:
        signals: by title, [tokens, units]: gates in [0, 1], or states of any sign.
        tokens: what was read.
        path: of the PNG.

    Raises:
        ValueError: a signal has not one row per token.
    """
    height = 2.1 * len(signals) + 0.8
    figure = Figure(figsize=(2.5 + 0.6 * len(tokens), height), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(signals), 1, sharex=True))
    arrays = {title: np.asarray(signal, dtype=np.float64) for title, signal in signals.items()}
    order = np.argsort(list(arrays.values())[-1][-1])  # units by what the last signal ends in: like beside like
    for axes, (title, signal) in zip(panels, arrays.items(), strict=True):
        if len(signal) != len(tokens):
            raise ValueError(f"{title} has {len(signal)} rows, there are {len(tokens)} tokens")
        is_gate = signal.min() >= 0 and signal.max() <= 1
        bound = 1.0 if is_gate else float(np.abs(signal).max())
        image = axes.imshow(
            signal[:, order].T,
            cmap="viridis" if is_gate else "RdBu_r",
            vmin=0.0 if is_gate else -bound,
            vmax=bound,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(title)
        axes.set_ylabel("unit")
        figure.colorbar(image, ax=axes)
    _name_columns(panels[-1], tokens)
    _save(figure, path)


def _name_columns(axes: Axes, tokens: Sequence[str]) -> None:
    axes.set_xticks(range(len(tokens)), _printable(tokens), rotation=45, ha="right", rotation_mode="anchor")


def _printable(tokens: Sequence[str]) -> list[str]:
    return [token.translate(_BLANKS) for token in tokens]


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
