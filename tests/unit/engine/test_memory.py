"""Encoded sources keep their place, their padding and their zeros."""

import numpy as np

from service.engine.memory import SourceMemory
from service.engine.steps import FloatArray


def source(time: int, value: float) -> FloatArray:
    return np.full((1, time, 2), value, dtype=np.float32)


def test_time_grows_with_the_longest_source_and_the_rest_is_zero() -> None:
    memory = SourceMemory(3)
    memory.put(0, source(16, 1.0), source(16, 1.0), np.array([9]))
    memory.put(1, source(32, 2.0), source(32, 2.0), np.array([30]))
    keys, _, lengths = memory.first(2)
    assert keys is not None
    assert keys.shape == (2, 32, 2)
    assert keys.flags.c_contiguous
    assert (keys[0, 16:] == 0).all()
    assert lengths.tolist() == [9, 30]


def test_a_moved_row_takes_everything_along_and_time_shrinks_with_the_next_source() -> None:
    memory = SourceMemory(3)
    memory.put(0, source(32, 1.0), source(32, 1.0), np.array([30]))
    memory.put(1, source(16, 2.0), source(16, 3.0), np.array([9]))
    memory.move([0], [1])
    memory.put(1, source(16, 4.0), source(16, 4.0), np.array([5]))
    keys, values, lengths = memory.first(2)
    assert keys is not None
    assert values is not None
    assert keys.shape == (2, 16, 2)
    assert (keys[0] == 2.0).all()
    assert (values[0] == 3.0).all()
    assert lengths.tolist() == [9, 5]


def test_sources_that_come_together_keep_their_order_behind_those_that_were_there() -> None:
    memory = SourceMemory(4)
    memory.put(0, source(16, 1.0), source(16, 1.0), np.array([9]))
    both = np.concatenate([source(8, 2.0), source(8, 3.0)])
    memory.put(1, both, both + 1, np.array([5, 7]))
    keys, values, lengths = memory.first(3)
    assert keys is not None
    assert values is not None
    assert keys[:, :8, 0].max(axis=1).tolist() == keys[:, :8, 0].min(axis=1).tolist() == [1.0, 2.0, 3.0]
    assert values[:, 0, 0].tolist() == [1.0, 3.0, 4.0]
    assert (keys[1:, 8:] == 0).all()
    assert lengths.tolist() == [9, 5, 7]


def test_a_model_without_attention_has_no_memory() -> None:
    assert SourceMemory(2).first(1)[:2] == (None, None)
