"""Cuts a stream of token ids into rows and windows, for truncated backpropagation through time.   Knows no model.

A window's last token is the next window's first: each token but the first of a row is predicted once.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from training.data.encoding.batches import Batch, IntArray, Padded

_HALF_SHARE = 0.05
_LENGTH_DEVIATION = 5.0
_SHORTEST = 2.0


def stream_rows(stream: IntArray, row_count: int) -> IntArray:
    """Cut a stream into rows of equal length, each beginning with the last token of the one before.

    Args:
        stream: [tokens].
        row_count: at least 1; the stream has more tokens than that.

    Returns:
        [row_count, length + 1]. Fewer than `row_count` tokens at the end of the stream are in no row.
    """
    length = (len(stream) - 1) // row_count
    starts = length * np.arange(row_count)[:, None]  # [rows, 1]
    rows: IntArray = stream[starts + np.arange(length + 1)]
    return rows


def join_shuffled(sequences: Sequence[IntArray], rng: np.random.Generator) -> IntArray:
    """Join sequences in random order."""
    return np.concatenate([sequences[index] for index in rng.permutation(len(sequences))])


def turned(stream: IntArray, rng: np.random.Generator) -> IntArray:
    """Let a stream begin at a random place; what was before it comes at the end."""
    return np.roll(stream, -int(rng.integers(len(stream))))


def window_count(row_length: int, token_count: int) -> int:
    """How many windows of `token_count` tokens a row is cut into."""
    return -(-row_length // token_count)


def row_windows(rows: IntArray, token_count: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
    """Give the windows of rows, from the first to the last.

    Args:
        rows: [rows, length + 1].
        token_count: of a window, which comes with one token more: the last one is only predicted.
        rng: draws the lengths; their number is the same for any. None: all but the last are `token_count`.

    Returns:
        Batches of one column without padding; `indices` is where in its row each window begins.
    """
    row_count, length = rows.shape[0], rows.shape[1] - 1
    for start, end in pairwise(_cuts(length, token_count, rng)):
        token_ids = np.ascontiguousarray(rows[:, start : end + 1])  # [rows, window + 1]
        lengths = np.full(row_count, end - start + 1, dtype=np.int64)
        yield Batch(np.full(row_count, start, dtype=np.int64), (Padded(token_ids, lengths),))


def _cuts(length: int, token_count: int, rng: np.random.Generator | None) -> list[int]:
    """Borders of the windows of a row, from 0 to `length`."""
    count = window_count(length, token_count)
    if rng is None or count == 1:
        return [*range(0, length, token_count), length]
    means = np.where(rng.random(count) < _HALF_SHARE, token_count / 2, token_count)
    drawn = np.maximum(_SHORTEST, rng.normal(means, min(_LENGTH_DEVIATION, token_count / 4)))
    borders = np.rint(np.cumsum(drawn) * (length / drawn.sum())).astype(np.int64)
    return sorted({0, *borders.tolist(), length})
