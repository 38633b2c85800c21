"""Batches for training: nothing lost, nothing over budget, the same for the same seed."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.encoding.batches import Batch, ordered_batches, pad, shuffled_batches

Columns = list[list[list[int]]]


def columns_of(lengths: list[tuple[int, int]]) -> Columns:
    return [[[index + 5] * pair[side] for index, pair in enumerate(lengths)] for side in range(2)]


def batches_of(columns: Columns, *, batch_tokens: int = 40, seed: int = 1, epoch: int = 0) -> list[Batch]:
    return list(shuffled_batches(columns, batch_tokens=batch_tokens, pad_id=0, seed=seed, epoch=epoch))


def test_padding_stands_behind_each_sequence() -> None:
    padded = pad([[7, 8, 9], [5]], pad_id=0)
    assert padded.values.tolist() == [[7, 8, 9], [5, 0, 0]]
    assert padded.lengths.tolist() == [3, 1]
    assert padded.values.dtype == padded.lengths.dtype == np.int64


def test_rows_of_readings_are_padded_with_zeros() -> None:
    padded = pad([np.full((2, 3), 7, dtype=np.float32), np.full((1, 3), 5, dtype=np.float32)], pad_id=9)
    assert padded.values.dtype == np.float32
    assert padded.values.tolist() == [[[7] * 3, [7] * 3], [[5] * 3, [0] * 3]]
    assert padded.lengths.tolist() == [2, 1]


def test_time_can_be_rounded_up() -> None:
    assert pad([[1, 2, 3]], pad_id=0, time_multiple=16).values.shape == (1, 16)


@pytest.mark.parametrize("sequences", [pytest.param([], id="no sequence"), pytest.param([[1], []], id="empty one")])
def test_nothing_to_pad_is_an_error(sequences: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        pad(sequences, pad_id=0)


class Counted(list[list[int]]):
    """Rows of token ids that count how many of them were taken out."""

    taken = 0

    def __getitem__(self, index: Any) -> Any:
        self.taken += 1
        return super().__getitem__(index)


def test_a_batch_costs_its_own_rows_and_no_others() -> None:
    """What training waits for does not grow with the corpus, but for the plan at the begin of a pass."""
    column = Counted([[5] * (1 + index % 7) for index in range(1000)])
    for batch in islice(shuffled_batches([column], batch_tokens=40, pad_id=0, seed=1, epoch=0), 3):
        assert column.taken == len(batch.indices)
        column.taken = 0


@given(
    lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=60),
    batch_tokens=st.integers(30, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_example_comes_once_whole_and_within_the_budget(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int
) -> None:
    columns = columns_of(lengths)
    batches = batches_of(columns, batch_tokens=batch_tokens, seed=seed)
    assert sorted(index for batch in batches for index in batch.indices.tolist()) == list(range(len(lengths)))
    for batch in batches:
        for column, padded in zip(columns, batch.columns, strict=True):
            assert padded.values.size <= batch_tokens
            for index, row, length in zip(batch.indices, padded.values, padded.lengths, strict=True):
                assert row[:length].tolist() == column[index]
                assert not row[length:].any()


def test_an_example_over_the_budget_comes_alone() -> None:
    batches = batches_of(columns_of([(1, 1), (100, 2), (1, 1)]), batch_tokens=10)
    assert sorted(len(batch.indices) for batch in batches) == [1, 2]


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_give_others() -> None:
    columns = columns_of([(1 + index % 7, 1 + index % 5) for index in range(200)])
    indices = [batch.indices.tolist() for batch in batches_of(columns)]
    assert [batch.indices.tolist() for batch in batches_of(columns)] == indices
    assert [batch.indices.tolist() for batch in batches_of(columns, epoch=1)] != indices
    assert [batch.indices.tolist() for batch in batches_of(columns, seed=2)] != indices


def test_sorting_by_length_keeps_padding_low() -> None:
    rng = np.random.default_rng(0)
    columns = columns_of([(length, length) for length in rng.integers(1, 40, size=1000).tolist()])
    batches = batches_of(columns, batch_tokens=512)
    cells = sum(batch.columns[0].values.size for batch in batches)
    assert sum(map(len, columns[0])) / cells > 0.9


def test_evaluation_batches_go_from_short_to_long_and_never_change() -> None:
    columns = columns_of([(5, 5), (1, 1), (3, 3)])
    batches = list(ordered_batches(columns, batch_tokens=5, pad_id=0))
    assert [batch.indices.tolist() for batch in batches] == [[1], [2], [0]]


def test_columns_of_different_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match="same examples"):
        batches_of([[[1]], [[1], [2]]])
