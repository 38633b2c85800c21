"""Whole data sets through the engine: every sequence gets its own answer back, whatever ran with it."""

import numpy as np
import pytest

from service.engine.offline import label_all, stream_log_likelihoods, token_log_likelihoods
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


class Clock:
    """A language model of four tokens whose logits are the time, for token 3; its state counts."""

    pad_id, bos_id, eos_id, state_size = 0, 1, 2, 1
    reads_by_step = False

    def prefill(self, token_ids: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        raise NotImplementedError

    def step(self, token_ids: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        logits = np.zeros((len(token_ids), 4), dtype=np.float32)
        logits[:, 3] = state[:, 0]
        return logits, state + 1


def test_every_token_and_the_end_have_a_likelihood_of_their_own_whatever_ran_beside() -> None:
    found = token_log_likelihoods(Clock(), [[3, 3], [], [0]], max_rows=2)
    normaliser = [np.log(3 + np.exp(time)) for time in range(3)]
    expected = [
        [0 - normaliser[0], 1 - normaliser[1], -normaliser[2]],
        [-normaliser[0]],
        [-normaliser[0], -normaliser[1]],
    ]
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, right)


def test_the_state_of_a_stream_goes_on_from_sequence_to_sequence() -> None:
    # read: bos 3 eos bos 3 3 (eos); predicted at times 0, 1, 3, 4 and 5: 3 eos 3 3 eos
    found = stream_log_likelihoods(Clock(), [[3], [3, 3]])
    normaliser = {time: np.log(3 + np.exp(time)) for time in range(6)}
    np.testing.assert_allclose(found[0], [0 - normaliser[0], -normaliser[1]])
    np.testing.assert_allclose(found[1], [3 - normaliser[3], 4 - normaliser[4], -normaliser[5]])


def test_a_stream_may_be_of_any_length() -> None:
    (found,) = stream_log_likelihoods(Clock(), [[3] * 20_000])
    times = np.arange(20_000)
    np.testing.assert_allclose(found[:-1], times - np.logaddexp(np.log(3), times), atol=1e-9)
    assert found[-1] == pytest.approx(-20_000)
