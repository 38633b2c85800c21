"""From logits to the next token, for all rows at once.   A row's choice depends on that row alone."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from service.engine.steps import FloatArray, IntArray

UintArray: TypeAlias = npt.NDArray[np.uint64]
DoubleArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """How one row chooses its tokens.

    Args:
        temperature: divides the logits, >= 0. 0 takes the most probable token, and the rest is ignored.
        top_k: sample among this many most probable tokens; 0 means all.
        top_p: sample among the fewest tokens that reach this mass, in (0, 1]; 1 means all.
        seed: starts the random numbers, 0 to 2**63 - 1.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


GREEDY = Sampling()


@dataclass(frozen=True)
class SamplingRows:
    """The settings of all rows, one array per setting, and how many random numbers each row has drawn."""

    temperature: DoubleArray
    top_k: IntArray
    top_p: DoubleArray
    seed: UintArray
    drawn: UintArray


def uniform(seed: UintArray, index: UintArray) -> DoubleArray:
    """Draw one number per row from [0, 1): a pure function of (seed, index), so any replica draws the same.

    Args:
        seed: [rows], uint64.
        index: [rows], uint64, the how-manieth number of the row.

    Source: SplitMix64 (Steele, Lea, Flood 2014, OOPSLA, doi:10.1145/2660193.2660195), with 53 bits kept.
    """
    with np.errstate(over="ignore"):
        mixed = _mix(_mix(seed) + (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(value: UintArray) -> UintArray:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def choose_tokens(logits: FloatArray, rows: SamplingRows) -> IntArray:
    """Choose the next token of every row.

    Args:
        logits: [rows, vocab], unnormalised. -inf marks a token that must not be chosen.
        rows: the settings of the same rows.

    Returns:
        [rows] token ids, int64.
    """
    tokens: IntArray = logits.argmax(axis=-1).astype(np.int64)
    sampled = np.flatnonzero(rows.temperature > 0.0)
    if sampled.size:
        tokens[sampled] = _sample(logits[sampled], _take(rows, sampled))
    return tokens


def _take(rows: SamplingRows, index: npt.NDArray[np.intp]) -> SamplingRows:
    return SamplingRows(
        rows.temperature[index], rows.top_k[index], rows.top_p[index], rows.seed[index], rows.drawn[index]
    )


def _sample(logits: FloatArray, rows: SamplingRows) -> IntArray:
    """Sample by inverting the cumulative distribution, tokens in order of probability where a cut needs it."""
    scaled = logits.astype(np.float64) / rows.temperature[:, None]  # [rows, vocab]
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    draws = uniform(rows.seed, rows.drawn)
    cut = (rows.top_k > 0) | (rows.top_p < 1.0)
    tokens = np.empty(len(logits), dtype=np.int64)
    plain = np.flatnonzero(~cut)
    if plain.size:
        tokens[plain] = _invert(weights[plain], draws[plain])
    ordered = np.flatnonzero(cut)
    if ordered.size:
        order = np.argsort(-weights[ordered], axis=-1, kind="stable")  # [rows, vocab], best first
        best_first = keep_likeliest(np.take_along_axis(weights[ordered], order, axis=-1), _take(rows, ordered))
        places = _invert(best_first, draws[ordered])
        tokens[ordered] = np.take_along_axis(order, places[:, None], axis=-1)[:, 0]
    return tokens


def keep_likeliest(weights: DoubleArray, rows: SamplingRows) -> DoubleArray:
    """Set to zero the weights that `top_k` and `top_p` leave out; at least one per row stays.

    Args:
        weights: [rows, vocab], >= 0, best first.
        rows: the settings of the same rows; top_p applies to what top_k leaves.

    Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (nucleus).
    """
    rank = np.arange(weights.shape[1])
    limit = np.where(rows.top_k > 0, rows.top_k, weights.shape[1])
    kept = np.where(rank[None, :] < limit[:, None], weights, 0.0)
    mass = kept.cumsum(axis=-1)
    before = mass - kept  # mass of the better tokens: the token that crosses the line stays
    return np.where(before < rows.top_p[:, None] * mass[:, -1:], kept, 0.0)


def _invert(weights: DoubleArray, draws: DoubleArray) -> IntArray:
    """Find, per row, the first place where the cumulative weight passes the drawn share of the total."""
    cumulative = weights.cumsum(axis=-1)  # [rows, vocab]
    places = (cumulative <= draws[:, None] * cumulative[:, -1:]).sum(axis=-1)
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=-1)  # rounding must not pass the last kept token
    found: IntArray = np.minimum(places, last).astype(np.int64)
    return found
