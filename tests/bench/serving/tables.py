"""Measurements as Markdown tables.   Pure functions."""

import math
from collections.abc import Sequence

from tests.bench.serving.figures import Sample, median, ratios, values_of, with_spread
from tests.bench.serving.rounds import Measured, Tries

COLUMNS = (
    "contender",
    "texts/s, median (lowest to highest)",
    "tokens/s",
    "p50 ms",
    "p99 ms",
    "cores of the server",
    "texts per CPU-second",
    "cores of the generator",
    "of the limit, per CPU-second",
    "of the limit, wall",
    "answers equal to the reference",
)
TRIED = {"items_per_second": ("texts/s", 0), "tokens_per_second": ("tokens/s", 0), "p50_ms": ("p50 ms", 2)}
"""Figures of a setting that was tried: their titles and digits."""


def table_of(measured: Measured, *, limit: str | None) -> str:
    """A row per contender; those that did not run have an empty one with the reason.

    Args:
        measured: every round.
        limit: the row that the others are compared with; None: no such columns are filled.
    """
    rows = [_row(title, samples, measured.samples.get(limit or "")) for title, samples in measured.samples.items()]
    empty = [[title, reason, *[""] * (len(COLUMNS) - 2)] for title, reason in measured.absent.items()]
    return markdown(COLUMNS, [*rows, *empty])


def _row(title: str, samples: Sequence[Sample], limit: Sequence[Sample] | None) -> list[str]:
    return [
        title,
        _figure(samples, "items_per_second"),
        _figure(samples, "tokens_per_second"),
        _figure(samples, "p50_ms", 2),
        _figure(samples, "p99_ms", 2),
        _middle(samples, "server_cpu"),
        _figure(samples, "items_per_cpu_second"),
        _middle(samples, "generator_cpu"),
        _share(samples, limit, "items_per_cpu_second"),
        _share(samples, limit, "items_per_second"),
        _agreement(samples),
    ]


def streams_table(measured: Measured, *, limit: str | None) -> str:
    """As `table_of`, for streams."""
    columns = (
        "contender",
        "tokens/s, median (lowest to highest)",
        "first token p50 ms",
        "between tokens p99 ms",
        "tokens a message",
        "cores of the server",
        "tokens per CPU-second",
        "cores of the generator",
        "of the limit, per CPU-second",
        "of the limit, wall",
        "answers equal to the reference",
    )
    bare = measured.samples.get(limit or "")
    rows = [
        [
            title,
            _figure(samples, "tokens_per_second"),
            _figure(samples, "first_p50_ms", 2),
            _figure(samples, "gap_p99_ms", 2),
            _middle(samples, "tokens_per_message"),
            _middle(samples, "server_cpu"),
            _figure(samples, "tokens_per_cpu_second"),
            _middle(samples, "generator_cpu"),
            _share(samples, bare, "tokens_per_cpu_second"),
            _share(samples, bare, "tokens_per_second"),
            _agreement(samples),
        ]
        for title, samples in measured.samples.items()
    ]
    empty = [[title, reason, *[""] * (len(columns) - 2)] for title, reason in measured.absent.items()]
    return markdown(columns, [*rows, *empty])


def _figure(samples: Sequence[Sample], name: str, digits: int = 0) -> str:
    return with_spread(values_of(samples, name), digits)


def _middle(samples: Sequence[Sample], name: str) -> str:
    return number(median(values_of(samples, name)), 2)


def _share(samples: Sequence[Sample], limit: Sequence[Sample] | None, name: str) -> str:
    return "" if limit is None else with_spread(ratios(samples, limit, name), 2)


def _agreement(samples: Sequence[Sample]) -> str:
    shares = values_of(samples, "agreement")
    return "" if any(map(math.isnan, shares)) else f"{min(shares):.1%}"


def tries_table(title: str, tries: Tries) -> str:
    """Settings that were tried, the best first, and the figure that says so before the others."""
    figures = [tries.by, *(name for name in TRIED if name != tries.by)]
    titles = [f"{TRIED[tries.by][0]}, the best is taken", *(TRIED[name][0] for name in figures[1:])]
    measured = tries.measured
    rows = [
        [one, *(number(measured.median(one, name), TRIED[name][1]) for name in figures)] for one in tries.in_order()
    ]
    empty = [[one, reason, *[""] * (len(figures) - 1)] for one, reason in measured.absent.items()]
    return markdown((title, *titles), [*rows, *empty])


def number(value: float, digits: int = 0) -> str:
    """A figure; empty where there is none."""
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
