"""What every running row remembers, in preallocated arrays: index i of each is row i.   Moves rows; decides nothing."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from service.engine.arrays import widened, zeros
from service.engine.sampling import SamplingRows
from service.engine.steps import FloatArray, IntArray

BoolArray: TypeAlias = npt.NDArray[np.bool_]


class Slots:
    """Up to `capacity` rows; rows 0 to `count - 1` are in use, so that a step reads them without gathering.

    What belongs to a hypothesis (state, tokens and the like) moves between the rows of a beam at every step; the rest
    stays with its row until the row itself is moved.
    """

    def __init__(self, capacity: int, state_size: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.key = zeros(capacity, np.int64)
        """The request of a row."""
        self.rank = zeros(capacity, np.int64)
        """Which of the request's rows it is; of a beam, the place of its hypothesis."""
        self.sample = zeros(capacity, np.int64)
        """Which stream of random numbers it draws from: its rank, unless an earlier request began its text."""
        self.beam_size = zeros(capacity, np.int64)
        self.limit = zeros(capacity, np.int64)
        """Most tokens to write."""
        self.length, self.earlier = zeros(capacity, np.int64), zeros(capacity, np.int64)
        """Tokens written, the end-of-sequence token not counted: by this request, and by earlier ones of its text."""
        self.inputs = zeros(capacity, np.int64)
        """What the next step reads."""
        self.first_step = zeros(capacity, np.int64)
        """Number of the step that writes the first token."""
        self.total = zeros(capacity, np.float64)
        """Sum of log-probabilities; -inf for a place of a beam that is empty."""
        self.scored, self.attended = zeros(capacity, np.bool_), zeros(capacity, np.bool_)
        self.aligning, self.streaming = zeros(capacity, np.bool_), zeros(capacity, np.bool_)
        self.alternatives = zeros(capacity, np.int64)
        """How many of the most probable tokens are told beside each token."""
        self.told = zeros(capacity, np.int64)
        """Tokens of a streaming row that were told."""
        self.keeping = zeros(capacity, np.bool_)
        """Whether it is told where the row stands, at its end and after every `state_interval` tokens."""
        self.state_interval, self.state_told = zeros(capacity, np.int64), zeros(capacity, np.int64)
        self.forced_count, self.unread_count = zeros(capacity, np.int64), zeros(capacity, np.int64)
        self.temperature, self.top_p = zeros(capacity, np.float64), zeros(capacity, np.float64)
        self.min_p = zeros(capacity, np.float64)
        self.top_k, self.seed = zeros(capacity, np.int64), zeros(capacity, np.uint64)
        self.alpha, self.beta = zeros(capacity, np.float64), zeros(capacity, np.float64)
        """Length and coverage penalty."""
        self.finished = zeros(capacity, np.int64)
        """In the row of rank 0: how many hypotheses of the beam have ended."""
        self.worst = zeros(capacity, np.float64)
        """In the row of rank 0: score that a hypothesis must beat to be returned; -inf while there is room."""
        self.state: FloatArray = np.zeros((capacity, state_size), dtype=np.float32)
        self.tokens = zeros((capacity, 0), np.int64)
        self.log_probabilities = zeros((capacity, 0), np.float64)
        self.origins = zeros((capacity, 0), np.int64)
        """[rows, tokens] in which row each token of a hypothesis was written, at its time."""
        self.aligned = zeros((capacity, 0), np.int64)
        """[rows, tokens] the source token that each was most attentive to."""
        self.coverage = zeros((capacity, 0), np.float64)
        """[rows, source time] sum of attention weights."""
        self.forced, self.unread = zeros((capacity, 0), np.int64), zeros((capacity, 0), np.int64)
        """[rows, forced_count] the first tokens to write, whatever the model thinks. [rows, unread_count] tokens of the
        prompt that steps have yet to read after `inputs`, the next one last; until then a row writes nothing."""

    def read_on(self) -> BoolArray:
        """Let rows that are not through with their prompt read its next token at the next step; [count] which are."""
        reading: BoolArray = self.unread_count[: self.count] > 0
        if not reading.any():
            return reading
        rows = np.flatnonzero(reading)
        self.unread_count[rows] -= 1
        self.inputs[rows] = self.unread[rows, self.unread_count[rows]]
        return reading

    def reserve(self, token_count: int, source_time: int, forced_count: int, unread_count: int) -> None:
        """Make room for so many tokens per row and one to end with, and for tokens to cover, to force, to read."""
        time = token_count + 1
        self.tokens, self.log_probabilities = widened(self.tokens, time), widened(self.log_probabilities, time)
        self.origins, self.aligned = widened(self.origins, time), widened(self.aligned, time)
        self.coverage = widened(self.coverage, source_time)
        self.forced = widened(self.forced, forced_count)
        self.unread = widened(self.unread, unread_count)

    def sampling(self, rows: IntArray) -> SamplingRows:
        """How rows without a beam choose their next token."""
        return SamplingRows(
            self.temperature[rows], self.top_k[rows], self.top_p[rows], self.min_p[rows], self.seed[rows],
            self.sample[rows], self.earlier[rows] + self.length[rows],
        )  # fmt: skip

    def continue_hypotheses(self, targets: IntArray, sources: IntArray) -> bool:
        """Let rows `targets` go on with what rows `sources` have written and are; all at once, as a permutation may.

        Returns:
            Whether any row goes on with what another was.
        """
        moved = targets != sources
        if moved.any():
            targets, sources = targets[moved], sources[moved]
            time = int(self.length[sources].max()) + 1  # the attention of the token to be written is there already
            for array in self._histories():
                array[targets, :time] = array[sources, :time]
            self.state[targets] = self.state[sources]
            self.coverage[targets] = self.coverage[sources]
        return bool(moved.any())

    def release(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Free rows, given in order without repeats; the last rows in use move into the gaps.

        Returns:
            Targets and sources of the moves, so that whoever keeps more of each row can follow.
        """
        self.count -= len(rows)
        targets = rows[rows < self.count]
        freed = set(rows.tolist())
        sources = np.array(
            [row for row in range(self.count, self.count + len(rows)) if row not in freed], dtype=np.intp
        )
        lists = self.coverage, self.forced, self.unread
        for array in (*self._settings(), *self._histories(), *lists, self.state):
            array[targets] = array[sources]
        return targets, sources

    def _settings(self) -> tuple[npt.NDArray[np.generic], ...]:
        return (
            self.key, self.rank, self.sample, self.beam_size, self.limit, self.length, self.earlier, self.inputs,
            self.first_step, self.total, self.scored, self.attended, self.aligning, self.streaming, self.alternatives,
            self.told, self.keeping, self.state_interval, self.state_told, self.forced_count, self.unread_count,
            self.temperature, self.top_p, self.min_p, self.top_k, self.seed,
            self.alpha, self.beta, self.finished, self.worst,
        )  # fmt: skip

    def _histories(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.tokens, self.log_probabilities, self.origins, self.aligned
