"""Measurements as Markdown tables.   Pure functions."""

import math
from collections.abc import Sequence

from tests.bench.serving.figures import Sample, median, ratios, values_of, with_spread
from tests.bench.serving.rounds import Measured

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
    "answers equal to the graphs' own",
)


def table_of(measured: Measured, *, limit: str | None, compared: bool = True) -> str:
    """A row per contender; those that did not run have an empty one with the reason.

    Args:
        measured: every round.
        limit: the row that the others are compared with; None: no such columns are filled.
        compared: whether answers can be compared with the graphs' own; samples cannot.
    """
    rows = [
        _row(title, samples, measured.samples.get(limit or ""), compared) for title, samples in measured.samples.items()
    ]
    empty = [[title, reason, *[""] * (len(COLUMNS) - 2)] for title, reason in measured.absent.items()]
    return markdown(COLUMNS, [*rows, *empty])


def _row(title: str, samples: Sequence[Sample], limit: Sequence[Sample] | None, compared: bool) -> list[str]:
    def middle(name: str, digits: int = 0) -> str:
        return number(median(values_of(samples, name)), digits)

    def share(name: str) -> str:
        return "" if limit is None else number(median(ratios(samples, limit, name)), 2)

    agreement = f"{min(values_of(samples, 'agreement')):.1%}" if compared else ""
    return [
        title,
        with_spread(values_of(samples, "items_per_second")),
        middle("tokens_per_second"),
        middle("p50_ms", 1),
        middle("p99_ms", 1),
        middle("server_cpu", 2),
        middle("items_per_cpu_second"),
        middle("generator_cpu", 2),
        share("items_per_cpu_second"),
        share("items_per_second"),
        agreement,
    ]


def streams_table(measured: Measured) -> str:
    """As `table_of`, for streams."""
    columns = ("contender", "tokens/s, median (lowest to highest)", "first token p50 ms", "between tokens p99 ms",
               "cores of the server", "cores of the generator", "answers equal to the graphs' own")  # fmt: skip
    rows = [
        [
            title,
            with_spread(values_of(samples, "tokens_per_second")),
            number(median(values_of(samples, "first_p50_ms")), 1),
            number(median(values_of(samples, "gap_p99_ms")), 2),
            number(median(values_of(samples, "server_cpu")), 2),
            number(median(values_of(samples, "generator_cpu")), 2),
            f"{min(values_of(samples, 'agreement')):.1%}",
        ]
        for title, samples in measured.samples.items()
    ]
    empty = [[title, reason, *[""] * (len(columns) - 2)] for title, reason in measured.absent.items()]
    return markdown(columns, [*rows, *empty])


def tries_table(title: str, tries: Measured) -> str:
    """Settings that were tried once each, the best first."""
    order = sorted(tries.samples, key=tries.median, reverse=True)
    rows = [[name, number(tries.median(name)), number(tries.median(name, "p50_ms"), 1)] for name in order]
    empty = [[name, reason, ""] for name, reason in tries.absent.items()]
    return markdown((title, "texts/s", "p50 ms"), [*rows, *empty])


def number(value: float, digits: int = 0) -> str:
    """A figure; empty where there is none."""
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
