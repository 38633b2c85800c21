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

SORTED_TOKENS = 64
"""So many of the most probable tokens are sorted for `top_k` and `top_p`, and where that is not enough `MORE_TOKENS`
times as many, until it is."""

MORE_TOKENS = 4

SUMMED_TOKENS = 256
"""Tokens whose weights are summed at once when one is drawn."""


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
    sampled = rows.temperature > 0.0
    if sampled.all():  # without a copy
        return _sample(logits, rows)
    tokens, some = most_probable(logits), np.flatnonzero(sampled)
    if some.size:
        tokens[some] = _sample(logits[some], rows.take(some))
    return tokens


def most_probable(logits: FloatArray) -> IntArray:
    """[rows] the token of the largest of each row of `logits` [rows, vocab]; of equal ones that of the lowest id."""
    tokens: IntArray = logits.argmax(axis=-1).astype(np.int64, copy=False)
    return tokens


def _sample(logits: FloatArray, rows: SamplingRows) -> IntArray:
    """Sample by inverting the cumulative distribution of what the cuts leave, tokens in order of id."""
    temperature = np.maximum(rows.temperature, LEAST_TEMPERATURE).astype(np.float32)
    weights = logits - logits.max(axis=-1, keepdims=True)  # [rows, vocab]
    if (temperature != 1.0).any():
        weights /= temperature[:, None]
    np.exp(weights, out=weights)
    if rows.min_p.any():
        weights *= weights >= rows.min_p[:, None].astype(np.float32)  # the most probable token has weight 1
    cut = (rows.top_k > 0) | (rows.top_p < 1.0)
    if cut.all():  # without a copy
        weights = keep_likeliest(weights, rows)
    elif cut.any():
        weights[cut] = keep_likeliest(weights[cut], rows.take(np.flatnonzero(cut)))
    return invert(weights, uniform(rows.seed, rows.sample, rows.token_index))


def keep_likeliest(weights: FloatArray, rows: SamplingRows, *, sorted_tokens: int = SORTED_TOKENS) -> FloatArray:
    """Set to zero the weights that `top_k` and `top_p` leave out; at least one per row stays.

    Of equal weights at the border, those with the lowest ids stay.

    Args:
        weights: [rows, vocab], >= 0.
        rows: the settings of the same rows; top_p applies to what top_k leaves.
        sorted_tokens: only so many of the largest weights are sorted, in rows where that is enough; in others
            `MORE_TOKENS` times as many, and so on.

    Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (nucleus).
    """
    vocabulary_size = weights.shape[1]
    head = min(sorted_tokens, vocabulary_size)
    best = _sorted_largest(weights, head)
    limit = np.where(rows.top_k > 0, np.minimum(rows.top_k, vocabulary_size), vocabulary_size)
    mass = np.where(np.arange(head) < limit[:, None], best, np.float32(0.0)).cumsum(axis=-1, dtype=np.float64)
    total = np.where(limit <= head, mass[:, -1], weights.sum(axis=-1, dtype=np.float64))
    # tokens whose better ones do not reach the line by themselves: the one that crosses it stays
    count = np.minimum(1 + (mass < rows.top_p[:, None] * total[:, None]).sum(axis=-1), np.minimum(limit, head))
    kept = _largest(weights, count, best[np.arange(len(weights)), count - 1])
    reached = (limit <= head) | ((rows.top_k == 0) & (mass[:, -1] >= rows.top_p * total))
    short = np.flatnonzero(~reached) if head < vocabulary_size else np.array([], dtype=np.int64)
    if short.size:
        kept[short] = keep_likeliest(weights[short], rows.take(short), sorted_tokens=MORE_TOKENS * head)
    return kept


def _sorted_largest(weights: FloatArray, head: int) -> FloatArray:
    """[rows, head] the largest weights of each row, best first.

    The largest of each of some groups of tokens are looked at first: `head` tokens at least are as large as the one of
    rank `head` among these, and hardly more, so that only few have to be sorted.
    """
    count, vocabulary_size = weights.shape
    groups = MORE_TOKENS * head
    size = vocabulary_size // groups
    if size < MORE_TOKENS:  # groups so small spare little
        return np.sort(weights, axis=-1)[:, ::-1][:, :head]
    largest = weights[:, : size * groups].reshape(count, size, groups).max(axis=1)
    least = np.partition(largest, groups - head, axis=-1)[:, groups - head]
    rows, tokens = np.divmod(np.flatnonzero(weights >= least[:, None]), vocabulary_size)
    counts = np.bincount(rows, minlength=count)
    places = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    found = np.zeros((count, counts.max(initial=head)), dtype=np.float32)
    found[rows, places] = weights[rows, tokens]
    return np.sort(found, axis=-1)[:, ::-1][:, :head]


def _largest(weights: FloatArray, count: IntArray, least: FloatArray) -> FloatArray:
    """Keep the `count` largest weights of each row, of which `least` is the smallest."""
    places = np.flatnonzero(weights >= least[:, None])
    kept = np.zeros_like(weights)
    kept.reshape(-1)[places] = weights.reshape(-1)[places]
    large = np.bincount(places // weights.shape[1], minlength=len(weights))
    for row in np.flatnonzero(large > count).tolist():  # rows with equal weights
        equal = np.flatnonzero(weights[row] == least[row])
        larger = int((weights[row] > least[row]).sum())
        kept[row, equal[count[row] - larger :]] = 0.0
    return kept


def invert(weights: FloatArray, draws: DoubleArray) -> IntArray:
    """Find, per row, the token at which the cumulative weight passes the drawn share of the total.

    Blocks of tokens are summed first, so that only one of them needs a running sum.

    Args:
        weights: [rows, vocab], >= 0, not all 0. A token of weight 0 is never found.
        draws: [rows], in [0, 1).
    """
    rows, starts = np.arange(len(weights)), np.arange(0, weights.shape[1], SUMMED_TOKENS)
    whole = weights.shape[1] // SUMMED_TOKENS * SUMMED_TOKENS
    block_mass = weights[:, :whole].reshape(len(weights), whole // SUMMED_TOKENS, SUMMED_TOKENS).sum(axis=-1)
    if whole < weights.shape[1]:
        block_mass = np.column_stack([block_mass, weights[:, whole:].sum(axis=-1)])
    blocks = block_mass.cumsum(axis=-1, dtype=np.float64)  # [rows, blocks]
    target = draws * blocks[:, -1]
    block = _first_beyond(blocks, block_mass, target)
    target -= np.where(block > 0, blocks[rows, block - 1], 0.0)
    places = starts[block][:, None] + np.arange(SUMMED_TOKENS)
    inside = np.where(places < weights.shape[1], weights[rows[:, None], np.minimum(places, weights.shape[1] - 1)], 0.0)
    tokens: IntArray = starts[block] + _first_beyond(inside.cumsum(axis=-1, dtype=np.float64), inside, target)
    return tokens


def _first_beyond(cumulative: DoubleArray, parts: FloatArray, target: DoubleArray) -> IntArray:
    """[rows] first place where the running sum exceeds `target`; rounding must not pass the last part above 0."""
    last = parts.shape[1] - 1 - (parts[:, ::-1] > 0).argmax(axis=-1)
    place: IntArray = np.minimum((cumulative <= target[:, None]).sum(axis=-1), last)
    return place
