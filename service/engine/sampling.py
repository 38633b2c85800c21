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
        top_p: sample among the fewest tokens that reach this mass, in (0, 1]; 1 means all. Of what top_k leaves.
        min_p: sample among tokens at least this share as probable as the most probable one, 0 to 1; 0 means all.
        seed: starts the random numbers, 0 to 2**63 - 1.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0


GREEDY = Sampling()

LEAST_TEMPERATURE = 1e-6
"""Below this the most probable token has all the mass that float32 can tell."""

SORTED_TOKENS = 256
"""So many of the most probable tokens are sorted for `top_k` and `top_p`, and all only where that is not enough."""


@dataclass(frozen=True)
class SamplingRows:
    """The settings of all rows, one array per setting; which sample of its request each is, and its next token."""

    temperature: DoubleArray
    top_k: IntArray
    top_p: DoubleArray
    min_p: DoubleArray
    seed: UintArray
    sample: IntArray
    token_index: IntArray

    def take(self, index: npt.NDArray[np.intp]) -> "SamplingRows":
        """The rows `index` alone."""
        return SamplingRows(
            self.temperature[index], self.top_k[index], self.top_p[index], self.min_p[index], self.seed[index],
            self.sample[index], self.token_index[index],
        )  # fmt: skip


def uniform(seed: UintArray, sample: IntArray, token_index: IntArray) -> DoubleArray:
    """Draw one number per row from [0, 1): a pure function of its arguments, so any replica draws the same.

    Args:
        seed: [rows], uint64.
        sample: [rows], which of the samples of one request.
        token_index: [rows], which of its tokens.

    Source: SplitMix64 (Steele, Lea, Flood 2014, OOPSLA, doi:10.1145/2660193.2660195), with 53 bits kept: a stream
    per seed gives each sample the seed of its own.
    """
    with np.errstate(over="ignore"):
        of_sample = _mixed(_mixed(seed, np.zeros_like(seed)), sample.astype(np.uint64))
        mixed = _mixed(of_sample, token_index.astype(np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(seed: UintArray, index: UintArray) -> UintArray:
    """Number `index` of the stream that starts at `seed`."""
    value = seed + (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UintArray = value ^ (value >> np.uint64(31))
    return mixed


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
        tokens[sampled] = _sample(logits[sampled], rows.take(sampled))
    return tokens


def _sample(logits: FloatArray, rows: SamplingRows) -> IntArray:
    """Sample by inverting the cumulative distribution, tokens in order of probability where a cut needs it."""
    temperature = np.maximum(rows.temperature, LEAST_TEMPERATURE).astype(np.float32)
    weights = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature[:, None])  # [rows, vocab]
    if rows.min_p.any():
        weights[weights < rows.min_p[:, None]] = 0.0  # the most probable token has weight 1
    draws = uniform(rows.seed, rows.sample, rows.token_index)
    cut = (rows.top_k > 0) | (rows.top_p < 1.0)
    tokens = np.empty(len(logits), dtype=np.int64)
    plain = np.flatnonzero(~cut)
    if plain.size:
        tokens[plain] = _invert(weights[plain], draws[plain])
    ordered = np.flatnonzero(cut)
    if ordered.size:
        tokens[ordered] = _sample_likeliest(weights[ordered], draws[ordered], rows.take(ordered), SORTED_TOKENS)
    return tokens


def _sample_likeliest(weights: FloatArray, draws: DoubleArray, rows: SamplingRows, head: int) -> IntArray:
    """Sample among what `top_k` and `top_p` leave. Only the `head` best are sorted, where that is enough for a row."""
    vocabulary_size = weights.shape[1]
    order = _best_first(weights, min(head, vocabulary_size))  # [rows, head]
    best = np.take_along_axis(weights, order, axis=-1)
    enough = np.full(len(weights), head >= vocabulary_size) | ((rows.top_k > 0) & (rows.top_k <= head))
    whole = (rows.top_k == 0) & ~enough
    total = np.where(whole, weights.sum(axis=-1, dtype=np.float64), 0.0)
    enough |= whole & (best.sum(axis=-1, dtype=np.float64) >= rows.top_p * total)
    places = _invert(keep_likeliest(best, rows, total), draws)
    tokens: IntArray = np.take_along_axis(order, places[:, None], axis=-1)[:, 0]
    short = np.flatnonzero(~enough)
    if short.size:
        tokens[short] = _sample_likeliest(weights[short], draws[short], rows.take(short), vocabulary_size)
    return tokens


def _best_first(weights: FloatArray, count: int) -> IntArray:
    """[rows, count] ids of the largest weights, best first; equal ones by id."""
    if count == weights.shape[1]:
        return np.argsort(-weights, axis=-1, kind="stable")
    found = np.sort(np.argpartition(-weights, count - 1, axis=-1)[:, :count], axis=-1)
    order = np.argsort(-np.take_along_axis(weights, found, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(found, order, axis=-1)


def keep_likeliest(weights: FloatArray, rows: SamplingRows, total: DoubleArray | None = None) -> FloatArray:
    """Set to zero the weights that `top_k` and `top_p` leave out; at least one per row stays.

    Args:
        weights: [rows, tokens], >= 0, best first.
        rows: the settings of the same rows; top_p applies to what top_k leaves.
        total: [rows], the mass of which top_p is a share; 0 or None: of these weights.

    Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (nucleus).
    """
    rank = np.arange(weights.shape[1])
    limit = np.where(rows.top_k > 0, rows.top_k, weights.shape[1])
    kept = np.where(rank[None, :] < limit[:, None], weights, np.float32(0.0))
    mass = kept.cumsum(axis=-1, dtype=np.float64)
    before = mass - kept  # mass of the better tokens: the token that crosses the line stays
    whole = mass[:, -1] if total is None else np.where(total > 0.0, total, mass[:, -1])
    return np.where(before < rows.top_p[:, None] * whole[:, None], kept, np.float32(0.0))


def _invert(weights: FloatArray, draws: DoubleArray) -> IntArray:
    """Find, per row, the first place where the cumulative weight passes the drawn share of the total."""
    cumulative = weights.cumsum(axis=-1, dtype=np.float64)  # [rows, vocab]
    places = (cumulative <= draws[:, None] * cumulative[:, -1:]).sum(axis=-1)
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=-1)  # rounding must not pass the last kept token
    found: IntArray = np.minimum(places, last).astype(np.int64)
    return found
