"""A stream in rows and windows: nothing is read twice, nothing is lost but a remainder."""

import numpy as np
import pytest

from training.data.encoding.windows import join_shuffled, row_windows, stream_rows, turned, window_count

STREAM = np.arange(100, 203, dtype=np.int64)


@pytest.mark.parametrize("row_count", [1, 4, 51])
def test_every_token_but_the_first_and_a_remainder_is_predicted_once(row_count: int) -> None:
    rows = stream_rows(STREAM, row_count)
    assert rows.shape == (row_count, 102 // row_count + 1)
    predicted = rows[:, 1:].flatten().tolist()
    assert predicted == STREAM[1 : len(predicted) + 1].tolist()
    assert len(STREAM) - 1 - len(predicted) < row_count


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("token_count", [2, 7, 25, 1000])
def test_windows_put_together_are_the_rows(token_count: int, seed: int | None) -> None:
    rows = stream_rows(STREAM, 4)
    windows = list(row_windows(rows, token_count, None if seed is None else np.random.default_rng(seed)))
    parts = [window.columns[0].values for window in windows]
    assert np.concatenate([rows[:, :1], *(part[:, 1:] for part in parts)], axis=1).tolist() == rows.tolist()
    starts = np.cumsum([0, *(part.shape[1] - 1 for part in parts)])[:-1]
    assert [window.indices.tolist() for window in windows] == [[start] * 4 for start in starts.tolist()]
    assert all(
        window.columns[0].lengths.tolist() == [part.shape[1]] * 4 for window, part in zip(windows, parts, strict=True)
    )


def test_windows_have_the_length_that_was_asked_for() -> None:
    rows = stream_rows(STREAM, 4)
    assert [window.columns[0].values.shape for window in row_windows(rows, 10)] == [(4, 11), (4, 11), (4, 6)]


def test_random_windows_are_as_many_as_even_ones_and_near_their_length() -> None:
    rows = np.zeros((2, 70_001), dtype=np.int64)
    windows = list(row_windows(rows, 70, np.random.default_rng(0)))
    assert len(windows) == window_count(70_000, 70) == 1000
    lengths = np.array([window.columns[0].values.shape[1] - 1 for window in windows])
    assert lengths.sum() == 70_000
    assert 30 < (lengths < 50).sum() < 80, "one in twenty is half as long"
    assert 55 < np.median(lengths) < 80
    assert lengths.max() < 100


def test_a_stream_begins_elsewhere_and_loses_nothing() -> None:
    moved = turned(STREAM, np.random.default_rng(0))
    assert moved.tolist() != STREAM.tolist()
    start = int(moved[0]) - 100
    assert moved.tolist() == [*STREAM[start:].tolist(), *STREAM[:start].tolist()]


def test_texts_are_joined_in_random_order_each_whole() -> None:
    texts = [np.array([1, number, 2]) for number in range(10, 30)]
    joined = join_shuffled(texts, np.random.default_rng(0)).reshape(-1, 3).tolist()
    assert joined != [text.tolist() for text in texts]
    assert sorted(joined) == [text.tolist() for text in texts]
