"""Groups encoded examples of similar length into padded batches.   Knows numbers and budgets; no text, no torch.

An example is one row in each of one or more columns (the text; or source and target), all in the same order. A row is
token ids, or at each time several numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
TokenIds = Sequence[int]
Steps = TokenIds | FloatArray
"""One row before padding: token ids, or [time, features]."""


@dataclass(frozen=True)
class Padded:
    """Sequences side by side.

    Attributes:
        values: token ids [rows, time], int64, `pad_id` behind each sequence; or [rows, time, features], float32, zeros
            behind each.
        lengths: [rows], int64, at least 1.
    """

    values: IntArray | FloatArray
    lengths: IntArray

    def rows(self, chosen: slice) -> "Padded":
        """Return some of the rows, at least one, as wide as the longest of them."""
        lengths = self.lengths[chosen]
        return Padded(self.values[chosen, : lengths.max()], lengths)

    def twice(self) -> "Padded":
        """Return all rows, and then all of them once more."""
        return Padded(np.concatenate([self.values, self.values]), np.concatenate([self.lengths, self.lengths]))


@dataclass(frozen=True)
class Batch:
    """A few examples, ready for a model.

    Attributes:
        indices: [rows], int64, which examples these are, so that labels can be looked up.
        columns: one `Padded` per column that was given, rows in the order of `indices`.
    """

    indices: IntArray
    columns: tuple[Padded, ...]

    @property
    def token_count(self) -> int:
        """Tokens in all columns together, padding left out."""
        return sum(int(column.lengths.sum()) for column in self.columns)

    def rows(self, chosen: slice) -> "Batch":
        """Return some of the rows, at least one, as wide as the longest of them."""
        return Batch(self.indices[chosen], tuple(column.rows(chosen) for column in self.columns))

    def twice(self) -> "Batch":
        """Return all rows, and then all of them once more."""
        return Batch(np.concatenate([self.indices, self.indices]), tuple(column.twice() for column in self.columns))


def pad(sequences: Sequence[Steps], *, pad_id: int, time_multiple: int = 1) -> Padded:
    """Put sequences of one kind into one rectangle, its time the longest length, rounded up to `time_multiple`.

    Raises:
        ValueError: there is no sequence, or an empty one.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    if lengths.size == 0 or lengths.min() == 0:
        raise ValueError("a batch needs at least one sequence, and each sequence at least one token")
    time = -(-int(lengths.max()) // time_multiple) * time_multiple
    first = sequences[0]
    values: IntArray | FloatArray
    if isinstance(first, np.ndarray):
        values = np.zeros((len(sequences), time, first.shape[1]), dtype=np.float32)  # [rows, time, features]
    else:
        values = np.full((len(sequences), time), pad_id, dtype=np.int64)  # [rows, time]
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = sequence
    return Padded(values, lengths)


def shuffled_batches(
    columns: Sequence[Sequence[Steps]], *, batch_tokens: int, pad_id: int, seed: int, epoch: int
) -> Iterator[Batch]:
    """One pass for training: every example once, neighbours in a batch drawn anew, batches in random order.

    The same arguments give the same batches, on every machine; another `epoch` gives others.

    Args:
        columns: per column, the steps of every example; never empty ones.
        batch_tokens: rows times padded time of the longest column stay within this; an example that is longer
            by itself comes as a batch of its own.
        pad_id: fills columns of token ids behind each sequence.
        seed: of the recipe.
        epoch: counted by the loop.

    Raises:
        ValueError: columns of different sizes.
    """
    rng = np.random.default_rng([seed, epoch])
    groups = plan_batches(columns, batch_tokens=batch_tokens, order=rng.permutation(_example_count(columns)))
    for group in rng.permutation(len(groups)):
        yield _gather(columns, groups[group], pad_id)


def ordered_batches(columns: Sequence[Sequence[Steps]], *, batch_tokens: int, pad_id: int) -> Iterator[Batch]:
    """One pass for evaluation: every example once, shortest first, nothing random. Arguments as `shuffled_batches`."""
    order = np.arange(_example_count(columns))
    for group in plan_batches(columns, batch_tokens=batch_tokens, order=order):
        yield _gather(columns, group, pad_id)


def plan_batches(columns: Sequence[Sequence[Steps]], *, batch_tokens: int, order: IntArray) -> list[IntArray]:
    """Cut the examples, sorted by length, into groups of at most `batch_tokens` padded tokens.

    Args:
        columns: as `shuffled_batches`.
        batch_tokens: as `shuffled_batches`.
        order: [examples], a permutation; decides between examples of the same lengths.

    Returns:
        Arrays of example indices, [rows] each, from the shortest examples to the longest.
    """
    if not order.size:
        return []
    lengths = np.array([[len(row) for row in column] for column in columns], dtype=np.int64)  # [columns, examples]
    longest = lengths.max(axis=0)  # [examples]
    keys = np.concatenate([lengths[::-1], longest[None]])[:, order]  # the last decides, then the one before it
    examples = order[np.lexsort(keys)]
    widths = longest[examples]  # [examples], ascending
    groups, start = [], 0
    for end in range(1, len(examples) + 1):
        if end == len(examples) or int(widths[end]) * (end + 1 - start) > batch_tokens:
            groups.append(examples[start:end])
            start = end
    return groups


def _example_count(columns: Sequence[Sequence[Steps]]) -> int:
    sizes = {len(column) for column in columns}
    if len(sizes) != 1:
        raise ValueError(f"columns must hold the same examples, found sizes {sorted(sizes)}")
    return sizes.pop()


def _gather(columns: Sequence[Sequence[Steps]], indices: IntArray, pad_id: int) -> Batch:
    padded = tuple(pad([column[index] for index in indices], pad_id=pad_id) for column in columns)
    return Batch(indices, padded)
