"""What rows without a beam may write: penalties, biases and bans, for all rows at once.   Knows no slots, no text."""

import sys
from dataclasses import dataclass, field

import numpy as np

from service.engine.arrays import widened, zeros
from service.engine.steps import FloatArray, IntArray


@dataclass(frozen=True)
class Constraints:
    """What one row may write.

    Args:
        min_output_token_count: tokens to write before the end-of-sequence token may be.
        repetition_penalty: divides the logit of a token that was read or written before, where it is positive, and
            multiplies it where it is negative; above 0, and 1 changes nothing.
        no_repeat_ngram_size: so many tokens in a row are never written as they were read or written before; 0: no rule.
        biases: numbers added to the logits of tokens; -inf bans one.
        look_back: how many of the last tokens that were read or written count as such; 1 and up. So what a text has to
            remember is bounded, and a text that goes on elsewhere knows as much as one that never left.

    Source: Keskar et al. 2019, arXiv:1909.05858 (penalty); Paulus et al. 2017, arXiv:1705.04304 (n-grams).
    """

    min_output_token_count: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    biases: tuple[tuple[int, float], ...] = ()
    look_back: int = field(default=sys.maxsize, compare=False)  # by itself it binds nothing


FREE = Constraints()


class ConstraintRows:
    """The constraints of up to `capacity` rows, and what constrained rows have read and written."""

    def __init__(self, capacity: int) -> None:
        self._bound = zeros(capacity, np.bool_)
        self._minimum = zeros(capacity, np.int64)
        self._penalty = zeros(capacity, np.float32)
        self._ngram_size = zeros(capacity, np.int64)
        self._look_back = zeros(capacity, np.int64)
        self._biased = zeros(capacity, np.bool_)
        self._count = zeros(capacity, np.int64)
        self._known = zeros((capacity, 0), np.int64)  # [rows, time] tokens read and written, `_count` of them
        self._bias = zeros((capacity, 0), np.float32)  # [rows, vocab]

    def put(self, row: int, constraints: Constraints, token_ids: IntArray, limit: int) -> None:
        """Bind a row, which has read `token_ids` and will write at most `limit` more."""
        bound = constraints != FREE
        self._bound[row] = bound
        if not bound:
            return
        self._minimum[row] = constraints.min_output_token_count
        self._penalty[row] = constraints.repetition_penalty
        self._ngram_size[row] = constraints.no_repeat_ngram_size
        self._look_back[row] = constraints.look_back
        self._biased[row] = bool(constraints.biases)
        self._known = widened(self._known, len(token_ids) + limit + 1)
        self._known[row, : len(token_ids)], self._count[row] = token_ids, len(token_ids)
        self._bias = widened(self._bias, 1 + max((token for token, _ in constraints.biases), default=0))
        self._bias[row] = 0.0
        for token, bias in constraints.biases:
            self._bias[row, token] = bias

    def known_ids(self, row: int) -> tuple[int, ...]:
        """What a row has read and written, as far as a rule of its looks back at it; else nothing."""
        looks_back = self._bound[row] and (self._penalty[row] != 1.0 or self._ngram_size[row])
        if not looks_back:
            return ()
        (oldest,) = self._oldest(np.array([row]))
        return tuple(self._known[row, oldest : self._count[row]].tolist())

    def move(self, targets: IntArray, sources: IntArray) -> None:
        """Copy rows `sources` over rows `targets`."""
        if self._bound[targets].any() or self._bound[sources].any():
            for array in (
                self._bound, self._minimum, self._penalty, self._ngram_size, self._look_back, self._biased, self._count,
                self._known, self._bias,
            ):  # fmt: skip
                array[targets] = array[sources]

    def applied(self, rows: IntArray, logits: FloatArray, lengths: IntArray, eos_id: int) -> FloatArray:
        """The logits of `rows` as their constraints leave them; a row that may write nothing may end.

        Args:
            rows: [rows].
            logits: [rows, vocab], left as they are.
            lengths: [rows] tokens written so far.
            eos_id: the end-of-sequence token.
        """
        bound = np.flatnonzero(self._bound[rows])
        if not bound.size:
            return logits
        self._bias = widened(self._bias, logits.shape[1])
        allowed = logits.copy()
        chosen = rows[bound]
        self._penalise(chosen, bound, allowed)
        biased = bound[self._biased[chosen]]
        if biased.size:
            allowed[biased] += self._bias[rows[biased], : logits.shape[1]]
        self._ban_repeats(chosen, bound, allowed)
        allowed[bound[lengths[bound] < self._minimum[chosen]], eos_id] = -np.inf
        allowed[bound[np.isneginf(allowed[bound].max(axis=1))], eos_id] = 0.0
        return allowed

    def wrote(self, rows: IntArray, token_ids: IntArray) -> None:
        """Note one more token of each of `rows`."""
        bound = np.flatnonzero(self._bound[rows])
        if bound.size:
            chosen, tokens = rows[bound], token_ids[bound]
            self._known[chosen, self._count[chosen]] = tokens
            self._count[chosen] += 1

    def _oldest(self, rows: IntArray) -> IntArray:
        """Where in what `rows` know the rules begin to look."""
        oldest: IntArray = np.maximum(self._count[rows] - self._look_back[rows], 0)
        return oldest

    def _penalise(self, rows: IntArray, places: IntArray, logits: FloatArray) -> None:
        """Penalise what `rows` know, in place; row i of them is row `places[i]` of the logits."""
        penalised = np.flatnonzero(self._penalty[rows] != 1.0)
        if penalised.size:
            oldest, counts = self._oldest(rows[penalised])[:, None], self._count[rows[penalised]]
            times = np.arange(int(counts.max()))
            where, time = np.nonzero((times >= oldest) & (times < counts[:, None]))
            owner, place = rows[penalised[where]], places[penalised[where]]
            tokens, penalty = self._known[owner, time], self._penalty[owner]
            own = logits[place, tokens]  # a token that is known twice is read before it is written
            logits[place, tokens] = np.where(own > 0, own / penalty, own * penalty)

    def _ban_repeats(self, rows: IntArray, places: IntArray, logits: FloatArray) -> None:
        """Ban what would complete an n-gram that `rows` know, in place."""
        sizes = self._ngram_size[rows]
        for size in np.unique(sizes[sizes > 0]).tolist():
            bound = np.flatnonzero(sizes == size)
            oldest, counts = self._oldest(rows[bound])[:, None], self._count[rows[bound]]
            known = self._known[rows[bound], : int(counts.max())]  # [bound, time]
            starts = known.shape[1] - size + 1
            if starts < 1:
                continue
            begins = np.arange(starts)
            repeated = (begins >= oldest) & (begins + size <= counts[:, None])  # [bound, starts] n-grams that are whole
            for offset in range(size - 1):
                last = np.take_along_axis(known, np.maximum(counts - size + 1 + offset, 0)[:, None], axis=1)
                repeated &= known[:, offset : offset + starts] == last
            where, start = np.nonzero(repeated)
            logits[places[bound[where]], known[where, start + size - 1]] = -np.inf
