"""Padding and the choice of what runs together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.batches import pad, pad_features, pad_ids, padding_ratio, pick_batch
from tests.fakes import rows


def test_padding_fills_the_right_side_with_the_pad_id() -> None:
    token_ids, lengths = pad(rows([5], [6, 7, 8]), pad_id=0)
    assert token_ids.tolist() == [[5, 0, 0], [6, 7, 8]]
    assert lengths.tolist() == [1, 3]


def test_an_end_follows_each_sequence_and_is_one_of_its_ids() -> None:
    token_ids, lengths = pad(rows([5, 5, 5], [], [6]), pad_id=0, time_multiple=4, end_id=2)
    assert token_ids.tolist() == [[5, 5, 5, 2], [2, 0, 0, 0], [6, 2, 0, 0]]
    assert lengths.tolist() == [4, 1, 2]


@pytest.mark.parametrize(("longest", "time"), [(1, 16), (16, 16), (17, 32)])
def test_time_is_padded_to_the_multiple_of_the_longest(longest: int, time: int) -> None:
    token_ids, _ = pad([np.ones(longest, dtype=np.int64)], pad_id=0, time_multiple=16)
    assert token_ids.shape == (1, time)


def test_padding_ratio_is_the_share_of_empty_positions() -> None:
    assert padding_ratio(np.array([1, 3]), 4) == pytest.approx(0.5)


def test_the_oldest_sequence_is_always_chosen() -> None:
    assert 0 in pick_batch([100, 1, 1, 1], max_rows=2, padding_budget=0.0)


def test_a_budget_of_zero_takes_equal_lengths_only() -> None:
    assert pick_batch([5, 4, 5, 6, 5], max_rows=8, padding_budget=0.0) == [0, 2, 4]


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=40),
    st.integers(1, 16),
    st.floats(0, 1, allow_nan=False),
)
def test_a_batch_keeps_its_budget_and_its_size(lengths: list[int], max_rows: int, budget: float) -> None:
    chosen = pick_batch(lengths, max_rows=max_rows, padding_budget=budget)
    picked = np.array([lengths[position] for position in chosen])
    assert chosen[0] == 0
    assert len(set(chosen)) == len(chosen) <= max_rows
    assert padding_ratio(picked, int(picked.max())) <= budget + 1e-9


def test_feature_rows_are_stacked_with_zeros_behind_them() -> None:
    features, lengths = pad_features([[[1.5, 2.0]], [[3.0, 4.0], [5.0, 6.0]]])
    assert features.dtype == np.float32
    assert features.tolist() == [[[1.5, 2.0], [0.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]]]
    assert lengths.tolist() == [1, 2]


def test_plain_ids_are_padded_like_arrays() -> None:
    token_ids, lengths = pad_ids([[5], [6, 7]], 3)
    assert token_ids.dtype == np.int64
    assert (token_ids.tolist(), lengths.tolist()) == ([[5, 3], [6, 7]], [1, 2])
