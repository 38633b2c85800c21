"""Whole data sets through the engine: every sequence gets its own answer back, whatever ran with it."""

import math

import numpy as np
import pytest

from service.engine.offline import label_all, stream_log_likelihood
from service.engine.steps import FloatArray, IntArray, StepArray


def sums(steps: StepArray, lengths: IntArray) -> FloatArray:
    """Logits of a step: its values' sum, and the sequence's length."""
    values = steps.astype(np.float32) if steps.ndim == 2 else steps.sum(axis=-1, dtype=np.float32)
    return np.stack([values, np.broadcast_to(lengths[:, None], values.shape).astype(np.float32)], axis=-1)


def test_every_step_of_every_sequence_is_labelled_in_the_order_given() -> None:
    found = label_all(sums, [[7, 8, 9], [5], [6, 6]], pad_id=0, max_rows=2)
    assert [one.tolist() for one in found] == [[[7, 3], [8, 3], [9, 3]], [[5, 1]], [[6, 2], [6, 2]]]


def test_rows_of_features_are_labelled_too() -> None:
    found = label_all(sums, [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]], pad_id=None)
    assert [one.tolist() for one in found] == [[[3, 2], [7, 2]], [[11, 1]]]


class Counter:
    """A language model of 4 tokens whose state is how many tokens it has read; token 3 gets likelier with each."""

    pad_id, bos_id, eos_id, state_size = 0, 1, 2, 1

    def prefill(self, token_ids: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        raise NotImplementedError

    def step(self, token_ids: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        after = state + 1
        return np.concatenate([np.zeros((len(state), 3), np.float32), np.log(after)], axis=1), after


def test_the_state_of_a_stream_goes_on_from_sequence_to_sequence() -> None:
    # read: bos 3 eos bos 3 3 (eos); predicted after 1, 2, 4, 5 and 6 tokens: 3 eos 3 3 eos
    chances = [1 / 4, 1 / 5, 4 / 7, 5 / 8, 1 / 9]
    assert stream_log_likelihood(Counter(), [[3], [3, 3]]) == pytest.approx(math.fsum(map(math.log, chances)))


def test_a_stream_may_be_of_any_length() -> None:
    count = 20_000
    expected = math.fsum(math.log(n / (n + 3)) for n in range(1, count + 1)) - math.log(count + 4)
    assert stream_log_likelihood(Counter(), [[3] * count]) == pytest.approx(expected, rel=1e-5)
