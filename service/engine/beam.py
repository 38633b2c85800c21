"""Beam search as functions over arrays: what to extend, what ends, and how hypotheses compare.   Knows no slots.

A beam of `beam_size` hypotheses is as many rows. The candidates of a step are all continuations of all hypotheses by
one token, compared by the sum of their log-probabilities. Those among the best `beam_size` that write the
end-of-sequence token end there; the best `beam_size` of the others go on. A search is over when `beam_size`
hypotheses have ended, or none that goes on can still beat those that will be returned.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from service.engine.steps import FloatArray, IntArray

DoubleArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

MOST_ROUNDS = 16
"""Up to so many tokens are found faster by as many rounds of argmax than by a partition."""

LEAST_COVERAGE = 1e-30
"""Stands for an attention of exactly 0, whose logarithm nobody can add up."""


class Expansion(NamedTuple):
    """What one step makes of beams; `rank` is a hypothesis' place in its beam.

    Args:
        parents: [beams, beam_size] rank of the hypothesis that each new one continues.
        tokens: [beams, beam_size] the token that it adds.
        log_probabilities: [beams, beam_size] of that token.
        totals: [beams, beam_size] sum of log-probabilities, best first; -inf where there is no such hypothesis.
        ended: [beams, beam_size] by old rank: whether it ends here.
        end_log_probabilities: [beams, beam_size] by old rank, of the end-of-sequence token.
    """

    parents: IntArray
    tokens: IntArray
    log_probabilities: DoubleArray
    totals: DoubleArray
    ended: BoolArray
    end_log_probabilities: DoubleArray


def expand(totals: DoubleArray, logits: FloatArray, normalisers: DoubleArray, eos_id: int) -> Expansion:
    """Continue every hypothesis of beams of one size.

    Equal totals are told apart by rank, then by token id, so that a beam goes its way whatever runs beside it.

    Args:
        totals: [beams, beam_size] sums of log-probabilities so far, -inf for places that are empty.
        logits: [beams, beam_size, vocab], overwritten. -inf marks a token that must not be written.
        normalisers: [beams, beam_size], so that logit - normaliser is a log-probability.
        eos_id: the end-of-sequence token.
    """
    beams, size = totals.shape
    end_log_probabilities = logits[:, :, eos_id] - normalisers
    logits[:, :, eos_id] = -np.inf
    count = min(size, logits.shape[2])
    tokens, best = best_tokens(logits.reshape(beams * size, -1), count)  # [beams * size, count]
    log_probabilities = best.reshape(beams, size, count) - normalisers[:, :, None]
    going_on = (totals[:, :, None] + log_probabilities).reshape(beams, size * count)
    ending = totals + end_log_probabilities
    # stable: what is impossible and goes on comes before what is impossible and ends, which is never among the best
    order = np.argsort(-np.concatenate([going_on, ending], axis=1), axis=1, kind="stable")
    ended = _among_the_best(order, size, size * count)
    kept = order[order < size * count].reshape(beams, size * count)[:, :size]
    parents = kept // count
    chosen = np.take_along_axis(tokens.reshape(beams, size * count), kept, axis=1)
    scores = np.take_along_axis(log_probabilities.reshape(beams, size * count), kept, axis=1)
    new_totals = np.take_along_axis(going_on, kept, axis=1)
    return Expansion(parents, chosen, scores, new_totals, ended, end_log_probabilities)


def _among_the_best(order: npt.NDArray[np.intp], size: int, first_ending: int) -> BoolArray:
    """[beams, size]: which endings, numbered from `first_ending`, are among the first `size` of `order`."""
    beams, places = np.nonzero(order[:, :size] >= first_ending)
    ended = np.zeros((len(order), size), dtype=np.bool_)
    ended[beams, order[beams, places] - first_ending] = True
    return ended


def best_tokens(logits: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """The `count` largest logits of each row, best first; equal ones in order of id, as far as they are found.

    Args:
        logits: [rows, vocab], overwritten.
        count: 1 to vocab.

    Returns:
        ids [rows, count] and logits [rows, count].
    """
    rows = np.arange(len(logits))
    ids = np.empty((len(logits), count), dtype=np.int64)
    best = np.empty((len(logits), count), dtype=np.float32)
    if count <= MOST_ROUNDS:
        for place in range(count):
            ids[:, place] = logits.argmax(axis=1)
            best[:, place] = logits[rows, ids[:, place]]
            logits[rows, ids[:, place]] = -np.inf
        return ids, best
    found = np.argpartition(-logits, count - 1, axis=1)[:, :count] if count < logits.shape[1] else None
    found = np.sort(found, axis=1) if found is not None else np.broadcast_to(np.arange(count), ids.shape)
    order = np.argsort(-np.take_along_axis(logits, found, axis=1), axis=1, kind="stable")
    ids[:] = np.take_along_axis(found, order, axis=1)
    return ids, np.take_along_axis(logits, ids, axis=1)


def log_normalisers(logits: FloatArray) -> DoubleArray:
    """Logarithm of the sum of exp over each row of [rows, vocab], such that logit - normaliser is a log-probability."""
    top = logits.max(axis=-1, keepdims=True)
    total = np.exp(logits - top).sum(axis=-1)
    normalisers: DoubleArray = top[:, 0].astype(np.float64) + np.log(total.astype(np.float64))
    return normalisers


def length_penalty(token_count: npt.ArrayLike, alpha: npt.ArrayLike) -> DoubleArray:
    """What a sum of log-probabilities of `token_count` tokens is divided by: ((5 + n) / 6) ** alpha.

    Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """
    penalty: DoubleArray = ((5.0 + np.asarray(token_count, dtype=np.float64)) / 6.0) ** np.asarray(alpha)
    return penalty


def coverage_penalty(coverage: npt.NDArray[np.float64], beta: float) -> float:
    """What is added to a score, 0 or less, where a source token was attended to less than once in sum.

    Args:
        coverage: [source tokens] sums of attention weights over the tokens written.
        beta: weight of the penalty, 0 and up.

    Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """
    return beta * float(np.log(np.clip(coverage, LEAST_COVERAGE, 1.0)).sum())
