"""Choices that come out the same on every machine, in every run and Python version.   Hashes and seeded draws.

`hash()` differs from run to run and `random.choice` between Python versions; what is used here lasts.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def stable_fraction(*parts: str) -> float:
    """A number in [0, 1), evenly spread, that depends on the texts alone. For splits that survive new editions."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits: the quotient is exact, never 1.0


def evenly_spaced(items: Sequence[Item], count: int) -> Sequence[Item]:
    """So many of the items, from the first on at even distances over the whole, in order; all if they are fewer."""
    if len(items) <= count:
        return items
    return [items[index * len(items) // count] for index in range(count)]


class Chooser:
    """A seeded source of choices.

    Source: the `random` module promises that `random()` keeps its sequence for a given seed, and nothing more.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def between(self, low: float, high: float) -> float:
        """A number in [low, high), evenly spread."""
        return low + (high - low) * self._random.random()

    def pick(self, options: Sequence[Item]) -> Item:
        """One of the options, each as likely as the others. There is at least one."""
        return options[int(self._random.random() * len(options))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """A copy in random order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = int(self._random.random() * (last + 1))
            order[last], order[other] = order[other], order[last]
        return order
