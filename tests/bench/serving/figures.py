"""Arithmetic on measurements: percentiles, medians with their spread, ratios of rounds.   Pure functions."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Sample:
    """One round of one contender.

    Attributes:
        items_per_second: texts answered per second of wall time.
        tokens_per_second: of their answers.
        p50_ms: of the calls; NaN for a bare loop.
        p99_ms: of the calls; NaN for a bare loop.
        server_cpu: CPU-seconds per second of the processes that do the work.
        generator_cpu: of those that ask.
        agreement: share of answers equal to the reference's; NaN where there is none.
        first_p50_ms: of streams, until the first text.
        gap_p99_ms: of streams, between tokens.
        tokens_per_message: of streams.
        server_bytes: resident memory of the processes that do the work, at the end.
    """

    items_per_second: float
    tokens_per_second: float
    p50_ms: float = math.nan
    p99_ms: float = math.nan
    server_cpu: float = math.nan
    generator_cpu: float = math.nan
    agreement: float = 1.0
    first_p50_ms: float = math.nan
    gap_p99_ms: float = math.nan
    tokens_per_message: float = math.nan
    server_bytes: float = math.nan

    @property
    def items_per_cpu_second(self) -> float:
        """Texts answered per CPU-second of the processes that do the work; NaN where none was seen."""
        return self.items_per_second / self.server_cpu if self.server_cpu else math.nan

    @property
    def messages_per_second(self) -> float:
        """Messages of streams per second of wall time."""
        return self.tokens_per_second / self.tokens_per_message

    @property
    def tokens_per_cpu_second(self) -> float:
        """As `items_per_cpu_second`, of tokens."""
        return self.tokens_per_second / self.server_cpu if self.server_cpu else math.nan


def values_of(samples: Sequence[Sample], name: str) -> list[float]:
    """One figure of every round."""
    return [getattr(sample, name) for sample in samples]


def ratios(samples: Sequence[Sample], others: Sequence[Sample], name: str) -> list[float]:
    """A figure over the same of somebody else, round by round."""
    pairs = zip(values_of(samples, name), values_of(others, name), strict=True)
    return [value / other if other else math.nan for value, other in pairs]


def median(values: Sequence[float]) -> float:
    """The median; NaN where a value is, or of none."""
    return statistics.median(values) if values and not any(map(math.isnan, values)) else math.nan


def with_spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and lowest to highest in brackets; empty where there is none."""
    middle = median(values)
    if math.isnan(middle):
        return ""
    spread = f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})" if len(values) > 1 else ""
    return f"{middle:,.{digits}f}{spread}"
