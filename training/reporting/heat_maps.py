"""Pictures of matrices: attention between two texts, gates over one, labels against labels.   Computes nothing.

Each returns a PNG.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.image import AxesImage

from training.evaluation.gates import LayerTrace
from training.reporting.canvas import name_ticks, new_figure, room_for, to_png

_PANEL_HEIGHT = 1.7
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


def draw_gates(layers: Sequence[LayerTrace]) -> bytes:
    """Draw gates and states of layers over what they read, a panel for each signal; several layers by their titles.

    Raises:
        ValueError: a signal has not one row per step.
    """
    heights = [_PANEL_HEIGHT * len(layer.signals) + 0.9 + room_for(layer.steps) for layer in layers]
    figure = new_figure(3.0 + 0.36 * max(len(layer.steps) for layer in layers), sum(heights))
    parts = figure.subfigures(len(layers), 1, squeeze=False, height_ratios=heights)
    for part, layer in zip(parts[:, 0], layers, strict=True):
        if len(layers) > 1:
            part.suptitle(layer.title, fontweight="bold")
        _draw_layer(part, layer)
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


def _draw_layer(part: SubFigure, layer: LayerTrace) -> None:
    panels = np.atleast_1d(part.subplots(len(layer.signals), 1, sharex=True))
    *_, memory = layer.signals.values()
    order = np.argsort(memory[0 if layer.backwards else -1])  # units by what they end in: like beside like
    for axes, (title, signal) in zip(panels, layer.signals.items(), strict=True):
        if len(signal) != len(layer.steps):
            raise ValueError(f"{title} has {len(signal)} rows, there are {len(layer.steps)} steps")
        is_gate = title.endswith("gate")
        image = _draw_signal(axes, signal[:, order], is_gate=is_gate)
        axes.set_title(title)
        axes.set_ylabel("unit")
        part.colorbar(image, ax=axes, label="0 closed, 1 open" if is_gate else "value")
    name_ticks(panels[-1], "x", layer.steps)
    panels[-1].set_xlabel("in order; read from the end" if layer.backwards else "read, in order")


def _draw_signal(axes: Axes, signal: npt.NDArray[np.float32], *, is_gate: bool) -> AxesImage:
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
