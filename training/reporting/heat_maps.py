"""Pictures of matrices: attention between two texts, gates over one, labels against labels.   Takes numbers alone.

Each returns a PNG.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from training.reporting.canvas import name_ticks, new_figure, room_for, to_png

_SMALL = 6
_COUNTS_SHOWN = 20
"""Confusion matrices of more labels would have counts too small to read."""


def draw_attention(weights: npt.ArrayLike, source_tokens: Sequence[str], target_tokens: Sequence[str]) -> bytes:
    """Draw where the decoder looked while it wrote each token.

    Args:
        weights: [target tokens, source tokens], each row summing to 1.
        source_tokens: what was read.
        target_tokens: what was written.

    Raises:
        ValueError: the matrix has another shape.
    """
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != (len(target_tokens), len(source_tokens)):
        raise ValueError(f"weights are {matrix.shape}, tokens {len(target_tokens)} by {len(source_tokens)}")
    below, beside = room_for(source_tokens), room_for(target_tokens)
    figure = new_figure(2.5 + 0.5 * len(source_tokens) + beside, 1.3 + 0.4 * len(target_tokens) + below)
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    name_ticks(axes, "x", source_tokens)
    name_ticks(axes, "y", target_tokens)
    axes.set_xlabel("token read")
    axes.set_ylabel("token written")
    axes.set_title("attention")
    figure.colorbar(image, ax=axes, label="attention weight")
    return to_png(figure)


def draw_gates(signals: Mapping[str, npt.ArrayLike], tokens: Sequence[str]) -> bytes:
    """Draw gates and states of one layer over the tokens of a text, one panel each.

    Args:
        signals: by title, [tokens, units]: what is called a gate, in [0, 1], and states of any sign.
        tokens: what was read.

    Raises:
        ValueError: a signal has not one row per token.
    """
    figure = new_figure(3.0 + 0.36 * len(tokens), 1.9 * len(signals) + 0.8 + room_for(tokens))
    panels = np.atleast_1d(figure.subplots(len(signals), 1, sharex=True))
    arrays = {title: np.asarray(signal, dtype=np.float64) for title, signal in signals.items()}
    order = np.argsort(list(arrays.values())[-1][-1])  # units by what the last signal ends in: like beside like
    for axes, (title, signal) in zip(panels, arrays.items(), strict=True):
        if len(signal) != len(tokens):
            raise ValueError(f"{title} has {len(signal)} rows, there are {len(tokens)} tokens")
        is_gate = title.endswith("gate")
        image = _draw_signal(axes, signal[:, order], is_gate=is_gate)
        axes.set_title(title)
        axes.set_ylabel("unit")
        figure.colorbar(image, ax=axes, label="0 closed, 1 open" if is_gate else "value")
    name_ticks(panels[-1], "x", tokens)
    panels[-1].set_xlabel("read, in order")
    return to_png(figure)


def draw_confusion(counts: npt.NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """Draw how often each label was given where each was right.

    Args:
        counts: [labels, labels], rows are what was right; the colour is the share of the row, the number the count.
        labels: of both axes.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.4, 0.42 * len(labels)) + room_for(labels)
    figure = new_figure(side + 2.2, side + 0.6)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="equal")
    if len(labels) <= _COUNTS_SHOWN:
        _write_counts(axes, counts, shares)
    name_ticks(axes, "x", labels)
    name_ticks(axes, "y", labels)
    axes.set_xlabel("label given")
    axes.set_ylabel("label that is right")
    figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8)
    return to_png(figure)


def _draw_signal(axes: Axes, signal: npt.NDArray[np.float64], *, is_gate: bool) -> AxesImage:
    """Gates in one colour scale from 0 to 1, states in one of two signs."""
    bound = 1.0 if is_gate else float(np.abs(signal).max())
    return axes.imshow(
        signal.T,
        cmap="viridis" if is_gate else "RdBu_r",
        vmin=0.0 if is_gate else -bound,
        vmax=bound,
        aspect="auto",
        interpolation="nearest",
    )


def _write_counts(axes: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    size = "medium" if len(counts) <= _SMALL else "xx-small"
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)
