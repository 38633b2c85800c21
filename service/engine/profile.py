"""How many sequences are worth reading in one run, found out by running some.   Knows no graph: it is handed runs."""

import time
from collections.abc import Callable

SIZES = (1, 2, 4, 8, 16, 32)
"""Numbers of sequences that are tried."""

ROUNDS = 3
"""How often each is tried: the fastest run counts, so that what else the machine did meanwhile does not."""

PROFILE_SECONDS = 0.3
"""A run that would end later than so long after the first began is not made, and its size not chosen."""

TOLERANCE = 0.05
"""Share of the best throughput that a smaller batch may lack: beyond it, more rows only make everyone wait longer."""

_SHORTEST_SECONDS = 1e-9
"""Stands for a run that the clock saw take no time."""


def learn_batch_size(run: Callable[[int], object], clock: Callable[[], float] = time.monotonic) -> int:
    """The smallest of `SIZES` whose sequences per second are within `TOLERANCE` of the best seen.

    Args:
        run: reads so many sequences of a typical length in one run, on one core (or device).
        clock: seconds, monotonic.
    """
    fastest = _fastest_seconds(run, clock)
    throughput = {size: size / seconds for size, seconds in fastest.items()}
    enough = (1 - TOLERANCE) * max(throughput.values())
    return min(size for size, found in throughput.items() if found >= enough)


def _fastest_seconds(run: Callable[[int], object], clock: Callable[[], float]) -> dict[int, float]:
    """Seconds of the fastest run of each size that there was time for; of the first at least."""
    fastest: dict[int, float] = {}
    end = clock() + PROFILE_SECONDS
    for _ in range(ROUNDS):
        expected = 0.0
        for size in SIZES:
            expected = fastest.get(size, 2 * expected)
            begun = clock()
            if begun + expected > end:
                break
            run(size)
            seconds = max(clock() - begun, _SHORTEST_SECONDS)
            fastest[size] = expected = min(seconds, fastest.get(size, seconds))
    return fastest
