"""Sorts generated examples into splits by the pairings they hold.   Knows no language and no music.

A pairing is a combination of parts, such as an adjective with a noun. A hash gives each pairing to one split. Test
examples hold at least one test pairing; training examples hold training pairings alone. Validation has pairings of
its own: early stopping shall choose the weights that recombine best, and the test pairings must not choose anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal

from training.data.examples import Example, Splits
from training.data.stable import stable_fraction

Part = Literal["training", "validation", "test"]
Pairing = tuple[str, ...]

TEST_SHARE = 0.12
VALIDATION_SHARE = 0.06
"""Shares of all pairings."""


@dataclass(frozen=True)
class Draft(Generic[Example]):
    """A generated example that has no split yet.

    Attributes:
        example: what a split will hold.
        pairings: the combinations whose novelty counts.
        stratum: examples of each stratum come equally often in every split (a label, or always the same).
    """

    example: Example
    pairings: frozenset[Pairing]
    stratum: str = ""


def part_of_pairing(pairing: Pairing) -> Part:
    """The split that owns a pairing, by a hash of its words."""
    share = stable_fraction("pairing", *pairing)
    if share < TEST_SHARE:
        return "test"
    return "validation" if share < TEST_SHARE + VALIDATION_SHARE else "training"


def part_of_example(pairings: Iterable[Pairing], exceptions: Mapping[Pairing, Part]) -> Part | None:
    """The split of an example with these pairings; None when it would show validation what the test asks."""
    parts = {exceptions.get(pairing) or part_of_pairing(pairing) for pairing in pairings}
    if {"test", "validation"} <= parts:
        return None
    return "test" if "test" in parts else "validation" if "validation" in parts else "training"


def collect(
    drafts: Iterable[Draft[Example]], *, strata: int, sizes: Mapping[Part, int], exceptions: Mapping[Pairing, Part]
) -> Splits[Example]:
    """Fill the splits with distinct examples, in the order in which they come.

    Args:
        drafts: as many as it takes; duplicates are passed over.
        strata: how many different strata the drafts have.
        sizes: examples per split, a multiple of `strata`.
        exceptions: pairings whose split is decided by hand.

    Raises:
        ValueError: the drafts ended before the splits were full.
    """
    parts: dict[Part, list[Example]] = {"training": [], "validation": [], "test": []}
    room = {(part, number): sizes[part] // strata for part in parts for number in range(strata)}
    numbers: dict[str, int] = {}
    seen: set[Example] = set()
    for draft in drafts:
        part = part_of_example(draft.pairings, exceptions)
        number = numbers.setdefault(draft.stratum, len(numbers))
        if part is None or draft.example in seen or not room[part, number]:
            continue
        seen.add(draft.example)
        parts[part].append(draft.example)
        room[part, number] -= 1
        if not any(room.values()):
            return Splits(tuple(parts["training"]), tuple(parts["validation"]), tuple(parts["test"]))
    raise ValueError(f"the drafts ended with room for {sum(room.values())} more examples")
