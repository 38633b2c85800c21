"""Curves over the size of the work, drawn into docs/.   Knows nothing of what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from tests.bench.serving.load.processes import ROOT


@dataclass(frozen=True)
class Curve:
    """What one panel shows: a value for every size."""

    title: str
    sizes: Sequence[float]
    values: Sequence[float]


def draw(name: str, sizes_title: str, curves: Sequence[Curve], *, marked: float | None = None) -> str:
    """Draw a panel per curve, both axes logarithmic, into docs/NAME.svg; returns the file's name.

    Args:
        name: of the file.
        sizes_title: under the axis.
        curves: left to right.
        marked: a size to draw a line at.
    """
    figure = Figure(figsize=(4.2 * len(curves), 3.2), layout="constrained")
    for axes, curve in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        axes.plot(curve.sizes, curve.values, marker="o")
        axes.set(xscale="log", yscale="log", xlabel=sizes_title, title=curve.title)
        axes.grid(visible=True, which="both", alpha=0.3)
        if marked is not None:
            axes.axvline(marked, linestyle="--", color="gray")
    figure.savefig(ROOT / "docs" / f"{name}.svg", metadata={"Date": None})
    return f"{name}.svg"
