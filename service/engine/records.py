"""What rows have written, read back out of the slots: hypotheses, news, and where rows looked.   Decides nothing."""

import numpy as np

from service.engine.beam import DoubleArray, best_tokens, coverage_penalty, length_penalty
from service.engine.constraints import ConstraintRows
from service.engine.memory import SourceMemory
from service.engine.requests import Alternatives, Ending, Hypothesis, News
from service.engine.slots import Asks, Slots
from service.engine.steps import Carried, FloatArray, IntArray


class Records:
    """Reads what the rows remember, and keeps what has no place in an array: attention and alternatives."""

    def __init__(self, slots: Slots, memory: SourceMemory, constraints: ConstraintRows) -> None:
        self._slots = slots
        self._memory = memory
        self._constraints = constraints
        self._attention: dict[int, FloatArray] = {}  # [rows, time] by number of step, while somebody wants it
        self._alternatives: dict[tuple[int, int], list[Alternatives]] = {}  # by request and sample

    def observe(self, step: int, attention: FloatArray, lengths: IntArray) -> None:
        """Note where each row looks while it writes its next token.

        Args:
            step: number of the step.
            attention: [rows, time].
            lengths: [rows] of the sources.
        """
        slots, count = self._slots, self._slots.count
        rows = np.arange(count)
        if slots.attended[:count].any():
            self._attention[step] = attention
            slots.origins[rows, slots.length[:count]] = rows
        if slots.aligning[:count].any():
            inner = np.arange(attention.shape[1]) < lengths[:, None] - 1  # the end of the source is no word
            slots.aligned[rows, slots.length[:count]] = np.where(inner, attention, -1.0).argmax(axis=1)
        if slots.beta[:count].any():
            slots.cover(attention)

    def keep_alternatives(self, rows: IntArray, logits: FloatArray, normalisers: DoubleArray) -> None:
        """Note the most probable tokens of the rows that ask for them."""
        counts = self._slots.alternatives[rows]
        asking = np.flatnonzero(counts)
        if not asking.size:
            return
        tokens, best = best_tokens(logits[asking], min(int(counts.max()), logits.shape[1]))
        scores = best - normalisers[asking, None]
        for place, index in enumerate(asking.tolist()):
            row, count = rows[index], counts[index]
            pairs = list(zip(tokens[place, :count].tolist(), scores[place, :count].tolist(), strict=True))
            self._alternatives.setdefault((int(self._slots.key[row]), int(self._slots.rank[row])), []).append(pairs)

    def hypothesis(self, row: int, ending: Ending, *, end_written: bool) -> Hypothesis:
        """What a row has written; `end_written` tells whether the end-of-sequence token was."""
        slots = self._slots
        count = int(slots.length[row])
        tokens = slots.tokens[row, :count].tolist()
        if not slots.asks[row] & (Asks.SCORES | Asks.LOOKING):
            return Hypothesis(tokens, ending)
        log_probabilities = score = attention = None
        if slots.scored[row]:
            log_probabilities = slots.log_probabilities[row, : count + end_written].tolist()
            score = sum(log_probabilities) / float(length_penalty(len(log_probabilities), slots.alpha[row]))
        if slots.beta[row] and score is not None:
            score += coverage_penalty(slots.coverage[row, : self._source_length(row)], float(slots.beta[row]))
        if slots.attended[row]:
            attention = self._attention_of(row, count)
        aligned = slots.aligned[row, :count].tolist() if slots.aligning[row] else None
        return Hypothesis(tokens, ending, log_probabilities, score, attention, aligned)

    def news(self, row: int, ending: Ending | None, *, end_written: bool = False) -> News:
        """What a row has written since the last call."""
        slots = self._slots
        key, sample, length = int(slots.key[row]), int(slots.rank[row]), int(slots.length[row])
        told, slots.told[row] = int(slots.told[row]), length
        scores: list[float] = []
        if slots.scored[row]:
            scores = slots.log_probabilities[row, told : length + end_written].tolist()
        alternatives = self._alternatives.get((key, sample), [])[told : length + end_written]
        tokens, carried = slots.tokens[row, told:length].tolist(), self._carried(row, ending)
        return News(key, sample, tokens, ending, scores, alternatives, carried)

    def _carried(self, row: int, ending: Ending | None) -> Carried | None:
        """Where a row stands, if it is time to tell; nowhere in its prompt, or when it has come to its own end."""
        slots = self._slots
        if not slots.keeping[row] or slots.unread_count[row]:
            return None
        length, interval = int(slots.length[row]), int(slots.state_interval[row])
        due = 0 < interval <= length - slots.state_told[row] if ending is None else ending is not Ending.STOP
        if not due:
            return None
        slots.state_told[row] = length
        return Carried(
            slots.state[row].copy(),
            int(slots.inputs[row]),
            int(slots.earlier[row]) + length,
            int(slots.sample[row]),
            self._constraints.known_ids(row),
        )

    @property
    def keeps(self) -> bool:
        """Whether there is anything to forget."""
        return bool(self._attention or self._alternatives)

    def forget(self, key: int, row_count: int) -> None:
        """Drop what was kept for a request that has left, and attention that nobody wants any more."""
        if self._alternatives:
            for sample in range(row_count):
                self._alternatives.pop((key, sample), None)
        if self._attention:
            count = self._slots.count
            wanted = self._slots.first_step[:count][self._slots.attended[:count]]
            for step in [step for step in self._attention if not wanted.size or step < wanted.min()]:
                del self._attention[step]

    def _attention_of(self, row: int, count: int) -> FloatArray:
        length = self._source_length(row)
        first, origins = int(self._slots.first_step[row]), self._slots.origins[row, :count].tolist()
        rows = [self._attention[first + index][origin, :length] for index, origin in enumerate(origins)]
        return np.stack(rows) if rows else np.zeros((0, length), dtype=np.float32)

    def _source_length(self, row: int) -> int:
        return int(self._memory.first(self._slots.count)[2][row])
