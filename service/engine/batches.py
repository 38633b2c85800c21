"""Sequences of mixed lengths into padded batches.   Pure functions over lengths and ids; knows no queue."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from service.engine.steps import FloatArray, IntArray, Step

_Element = TypeVar("_Element", np.int64, np.float32)


def pad(
    sequences: Sequence[IntArray], pad_id: int, *, time_multiple: int = 1, end_id: int | None = None
) -> tuple[IntArray, IntArray]:
    """Stack sequences into one array, padded on the right.

    Args:
        sequences: one or more arrays of at least one id each.
        pad_id: fills the positions past a sequence's end.
        time_multiple: the padded time is the longest length, rounded up to a multiple of this.
        end_id: follows each sequence, and counts as one of its ids; None for nothing.

    Returns:
        token_ids [rows, time] and lengths [rows], both int64.
    """
    if end_id is None:
        return _stack(sequences, pad_id, time_multiple)
    token_ids, lengths = _stack(sequences, pad_id, time_multiple, room=1)
    token_ids[np.arange(len(lengths)), lengths] = end_id
    return token_ids, lengths + 1


def pad_ids(sequences: Sequence[Sequence[Step]], pad_id: int) -> tuple[IntArray, IntArray]:
    """As `pad`, of sequences of plain ids."""
    return _stack([np.array(sequence, dtype=np.int64) for sequence in sequences], pad_id)


def pad_features(sequences: Sequence[Sequence[Step]]) -> tuple[FloatArray, IntArray]:
    """Stack sequences of feature rows into one array, padded on the right with zeros.

    Args:
        sequences: one or more, each of at least one row; every row has the same number of values.

    Returns:
        features [rows, time, features], float32, and lengths [rows], int64.
    """
    return _stack([np.array(sequence, dtype=np.float32) for sequence in sequences], 0)


def _stack(
    sequences: Sequence[npt.NDArray[_Element]], fill: int, time_multiple: int = 1, *, room: int = 0
) -> tuple[npt.NDArray[_Element], IntArray]:
    """As `pad`, with `room` for so many elements more behind each sequence."""
    lengths = [len(sequence) for sequence in sequences]
    time = -(-(max(lengths) + room) // time_multiple) * time_multiple
    stacked = np.full((len(sequences), time, *sequences[0].shape[1:]), fill, dtype=sequences[0].dtype)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        stacked[row, :length] = sequence
    return stacked, np.array(lengths, dtype=np.int64)


def padding_ratio(lengths: IntArray, time: int) -> float:
    """Share of positions that hold no token, 0 to 1."""
    tokens: int = sum(lengths.tolist())
    return 1.0 - tokens / (len(lengths) * time)


def slice_length(max_tokens: int, max_rows: int) -> int:
    """Most steps of one sequence in a run of at most `max_tokens` positions, where a sequence may be cut.

    So short that `max_rows` fit side by side: as many rows as that cost little more than one, steps in a row add up.
    """
    return max(1, max_tokens // max_rows)


def pick_batch(
    lengths: Sequence[int], *, max_rows: int, padding_budget: float, max_tokens: float = math.inf
) -> list[int]:
    """Choose which waiting sequences run together: the oldest, and those closest to it in length.

    Args:
        lengths: lengths of the waiting sequences, oldest first.
        max_rows: most sequences to choose.
        padding_budget: largest share of padded positions allowed, 0 to 1. 0 allows equal lengths only.
        max_tokens: most positions, padding included; the oldest sequence runs alone if it has more.

    Returns:
        Positions in `lengths`, sorted; position 0 is always among them, so no sequence waits for ever.
    """
    anchor = lengths[0]
    distances = [abs(length - anchor) for length in lengths]
    by_distance = sorted(range(1, len(lengths)), key=distances.__getitem__)  # of equal distance, the oldest first
    chosen, longest, total = [0], anchor, anchor
    for position in by_distance:
        if len(chosen) == max_rows:
            break
        new_longest, new_total = max(longest, lengths[position]), total + lengths[position]
        positions = new_longest * (len(chosen) + 1)
        if positions <= max_tokens and 1.0 - new_total / positions <= padding_budget:
            chosen.append(position)
            longest, total = new_longest, new_total
    return sorted(chosen)
