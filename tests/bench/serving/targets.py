"""What the project promised itself, judged by the medians of the rounds' ratios.   Pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.serving.figures import median, with_spread


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        title: what is compared with what.
        values: the ratio, or the figure, of every round; none where a contender did not run.
        bound: that the median must reach, or stay within.
        at_least: whether the bound is below.
        is_judged: whether it is the promise itself, or another way to look at it.
    """

    title: str
    values: Sequence[float]
    bound: float
    at_least: bool = True
    is_judged: bool = True

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `not measured`."""
        middle = median(self.values)
        if math.isnan(middle):
            return "not measured"
        return "met" if (middle >= self.bound if self.at_least else middle <= self.bound) else "missed"


def target_table(targets: Sequence[Target]) -> str:
    """Every target with its measured ratio, as Markdown."""
    lines = ["| target | bound | measured, median (lowest to highest) | |", "|---|---|---|---|"]
    for target in targets:
        sign = "at least" if target.at_least else "at most"
        found, verdict = with_spread(target.values, 2), target.verdict
        told = verdict if target.is_judged or verdict == "not measured" else f"not judged; would be {verdict}"
        lines.append(f"| {target.title} | {sign} {target.bound:g} | {found} | {told} |")
    return "\n".join(lines)
