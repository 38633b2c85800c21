"""Draws tokens as the service does for a seed, so that a bare loop's samples can be compared.   Knows no model.

Rows of a batch begin together, so all stand at the same token, and one number is drawn for all of them.
"""

import numpy as np

from service.engine.sampling import SUMMED_TOKENS, SamplingRows, invert, keep_likeliest, uniform
from tests.bench.serving.peers.bare_models import Array, Choose


def drawn(*, top_k: int = 0, top_p: float = 1.0, seed: int = 1) -> Choose:
    """Draw from the softmax, at temperature 1.

    Args:
        top_k: how many of the likeliest tokens may be drawn; 0 for all.
        top_p: the mass that the likeliest tokens must have together to be all that may be drawn; 1 for all.
        seed: of every text.
    """

    def choose(logits: Array, time: int) -> Array:
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))  # [rows, vocabulary]
        if top_k or top_p < 1:
            weights = keep_likeliest(weights, _settings(len(logits), top_k, top_p))
        share = uniform(np.array([seed], dtype=np.uint64), np.zeros(1, dtype=np.int64), np.array([time]))
        return _found(weights, float(share[0]))

    return choose


def _found(weights: Array, share: float) -> Array:
    """[rows] the token at which the running sum of `weights` [rows, vocabulary] passes `share` of the whole."""
    if weights.shape[1] > SUMMED_TOKENS:
        return invert(weights, np.full(len(weights), share))
    running = weights.cumsum(axis=1, dtype=np.float64)
    target = share * weights.sum(axis=1).astype(np.float64)  # as the service sums a vocabulary this small
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=1)
    found: Array = np.minimum((running <= target[:, None]).sum(axis=1), last)
    return found


def _settings(rows: int, top_k: int, top_p: float) -> SamplingRows:
    whole, numbers = np.zeros(rows, dtype=np.int64), np.ones(rows)
    return SamplingRows(numbers, whole + top_k, numbers * top_p, 0 * numbers, whole.astype(np.uint64), whole, whole)
