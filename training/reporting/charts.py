"""Pictures of numbers over one axis: curves, histograms, reliability, loss by place.   Takes numbers alone.

Each returns a PNG.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.reporting.canvas import BLUE, GREEN, ORANGE, PURPLE, name_ticks, new_figure, room_for, to_png
from training.reporting.measures import LengthBleu, PlaceLoss
from training.run.checkpoint import Epoch
from training.scoring.calibration import Calibration

IntArray = npt.NDArray[np.int64]
_PARTS = (("-", BLUE), ("--", ORANGE), (":", GREEN), ("-.", PURPLE))
"""Line style and colour of what is drawn together: told apart without colours, too."""


def draw_curves(epochs: Sequence[Epoch], *, best: float, metric: str) -> bytes:
    """Draw the training loss and the validation metric over the epochs, the best one marked (`best`, in epochs)."""
    numbers = [epoch.number for epoch in epochs]
    figure = new_figure(9, 3.6)
    panels = figure.subplots(1, 2)
    columns = (("training loss (nats)", [epoch.loss for epoch in epochs]), (metric, [epoch.value for epoch in epochs]))
    for axes, (title, values) in zip(panels, columns, strict=True):
        axes.plot(numbers, values, color=BLUE, marker="o", markersize=4)
        axes.axvline(best, color=ORANGE, linestyle="--", label=f"weights kept, epoch {best:.3g}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return to_png(figure)


def draw_lengths(counts_by_part: Mapping[str, IntArray], *, limit: int | None, unit: str, bin_count: int = 40) -> bytes:
    """Draw how long the examples of each part are.

    Args:
        counts_by_part: by part, [examples], in `unit`.
        limit: of the recipe, if it has one.
        unit: tokens or steps.
        bin_count: at most so many bars.
    """
    longest = max(int(counts.max()) for counts in counts_by_part.values())
    shortest = min(int(counts.min()) for counts in counts_by_part.values())
    width = -(-(longest + 1 - shortest) // bin_count)
    edges = np.arange(shortest, longest + 1 + width, width)
    figure = new_figure(9, 3.4)
    axes = figure.add_subplot()
    for (part, counts), (style, colour) in zip(counts_by_part.items(), _PARTS, strict=False):
        shares = 100 * np.histogram(counts, bins=edges)[0] / len(counts)
        label = f"{part}, {len(counts):,}"
        axes.stairs(shares, edges - 0.5, color=colour, linestyle=style, linewidth=1.8, label=label)
    if limit is not None and limit <= edges[-1]:
        axes.axvline(limit + 0.5, color="black", linewidth=1, label=f"limit, {limit:,}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"length ({unit})")
    axes.set_ylabel("share of the part (%)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return to_png(figure)


def draw_calibration(calibration: Calibration) -> bytes:
    """Draw the reliability diagram, and below it how many answers each bin holds."""
    figure = new_figure(6.5, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    starts, width = calibration.edges[:-1], float(calibration.edges[1])
    accuracy = np.nan_to_num(calibration.accuracy)
    above.bar(starts, accuracy, width, align="edge", color=BLUE, edgecolor="white", label="share that was right")
    above.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="perfectly calibrated")
    above.plot(calibration.confidence, calibration.accuracy, "o", color=ORANGE, label="mean confidence of the bin")
    above.set_ylabel("share of answers that were right")
    above.set_ylim(0, 1.02)
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    below.bar(starts, calibration.counts, width, align="edge", color="#666666", edgecolor="white")
    below.set_ylabel("answers")
    below.set_xlabel("confidence: probability of the label that was given")
    below.set_xlim(0, 1)
    return to_png(figure)


def draw_place_losses(losses: Sequence[PlaceLoss]) -> bytes:
    """Draw the mean loss over places in the text, and below it how many tokens there are."""
    figure = new_figure(9, 4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = [*(one.first - 0.5 for one in losses), losses[-1].last + 0.5]
    above.stairs([one.loss for one in losses], edges, color=BLUE, linewidth=1.8)
    above.set_ylabel("mean loss (nats per token)")
    above.set_ylim(bottom=0)
    above.grid(alpha=0.3)
    below.stairs([one.token_count for one in losses], edges, color="#666666", fill=True)
    below.set_ylabel("tokens")
    below.set_xlabel("place in the text (tokens before)")
    return to_png(figure)


def draw_length_bleu(scores: Sequence[LengthBleu]) -> bytes:
    """Draw BLEU by source length, a bar per range of lengths."""
    figure = new_figure(9, 3.6)
    axes = figure.add_subplot()
    bars = axes.bar(range(len(scores)), [one.bleu for one in scores], color=BLUE)
    axes.bar_label(bars, [f"{one.bleu:.1f}" for one in scores])
    names = [f"{one.lengths}\n{one.source_count:,} sources" for one in scores]
    axes.set_xticks(range(len(scores)), names)
    axes.set_xlabel("source length (tokens)")
    axes.set_ylabel("BLEU")
    axes.set_ylim(0, 110)
    return to_png(figure)


def draw_averages(averages: Mapping[str, npt.NDArray[np.float64]], tokens: Sequence[str]) -> bytes:
    """Draw signals averaged over the units of a layer, over the tokens of a text.

    Args:
        averages: by title, [tokens], at least 0.
        tokens: what was read, in order.
    """
    figure = new_figure(4.2 + 0.36 * len(tokens), 3.2 + room_for(tokens))
    axes = figure.add_subplot()
    for (title, values), (style, colour) in zip(averages.items(), _PARTS, strict=False):
        axes.plot(values, color=colour, linestyle=style, marker="o", markersize=4, label=title)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean over units")
    axes.set_xlabel("in order")
    axes.grid(alpha=0.3)
    _put_legend_outside(axes)
    name_ticks(axes, "x", tokens)
    return to_png(figure)


def _put_legend_outside(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
