"""Several measurements of one thing, as people read them.   Knows neither what was measured nor how."""

from collections.abc import Sequence
from statistics import mean, stdev


def spread(values: Sequence[float], decimals: int) -> str:
    """Mean and standard deviation, as `1,291.2 ± 0.3`; a single value by itself."""
    if len(values) == 1:
        return f"{values[0]:,.{decimals}f}"
    return f"{mean(values):,.{decimals}f} ± {stdev(values):,.{decimals}f}"
