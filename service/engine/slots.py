"""What every running row remembers, in preallocated arrays: index i of each is row i.   Moves rows; decides nothing."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from service.engine.arrays import widened, zeros
from service.engine.sampling import SamplingRows
from service.engine.steps import FloatArray, IntArray

BoolArray: TypeAlias = npt.NDArray[np.bool_]
DoubleArray: TypeAlias = npt.NDArray[np.float64]


class Asks:
    """Bits of what rows ask for beyond their most probable tokens, so that a step looks at one number for each."""

    BEAM, SAMPLING, CONSTRAINTS, SCORES, ALTERNATIVES, LOOKING, STREAM, FORCED, READING = (1 << bit for bit in range(9))


class Beginning(NamedTuple):
    """How a row of a request begins; what it counts from then on begins at 0."""

    key: int
    """The request of a row."""
    asks: int
    """Bits of `Asks`."""
    limit: int
    """Most tokens to write."""
    inputs: int
    """What the next step reads."""
    first_step: int
    """Number of the step that writes the first token."""
    forced_count: int
    unread_count: int
    streaming: bool
    sample: int
    """Which stream of random numbers it draws from: its rank, unless an earlier request began its text."""
    earlier: int
    """Tokens that earlier requests of its text have written."""
    rank: int = 0
    """Which of the request's rows it is; of a beam, the place of its hypothesis."""
    total: float = 0.0
    """Sum of log-probabilities; -inf for a place of a beam that is empty."""
    length: int = 0
    """Tokens written, the end-of-sequence token not counted."""
    told: int = 0
    """Tokens of a streaming row that were told."""
    state_told: int = 0
    finished: int = 0
    """In the row of rank 0: how many hypotheses of the beam have ended."""
    worst: float = -np.inf
    """In the row of rank 0: score that a hypothesis must beat to be returned; -inf while there is room."""


class Wishes(NamedTuple):
    """What a row takes from the options of its request."""

    beam_size: int
    scored: bool
    attended: bool
    aligning: bool
    keeping: bool
    """Whether it is told where the row stands, at its end and after every `state_interval` tokens."""
    state_interval: int
    alternatives: int
    """How many of the most probable tokens are told beside each token."""
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    alpha: float
    """Length penalty."""
    beta: float
    """Coverage penalty."""


Row: TypeAlias = tuple[float, ...]
"""The numbers of a row as it begins: those of `Beginning`, then those of `Wishes`."""

_DTYPES = {int: np.int64, float: np.float64, bool: np.bool_}
_FIELDS = Beginning.__annotations__ | Wishes.__annotations__
_ROW = np.dtype([(name, _DTYPES[kind]) for name, kind in _FIELDS.items()], align=True)


class Slots:
    """Up to `capacity` rows; rows 0 to `count - 1` are in use, so that a step reads them without gathering.

    What belongs to a hypothesis (state, tokens and the like) moves between the rows of a beam at every step; the rest
    stays with its row until the row itself is moved.
    """

    def __init__(self, capacity: int, state_size: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.asked = 0
        """Bits of `Asks`: what any row in use asks for."""
        self._rows = np.zeros(capacity, dtype=_ROW)
        self._raw_rows = self._rows.view(np.dtype((np.void, _ROW.itemsize)))  # the same, moved as plain bytes
        self.key, self.asks, self.rank, self.sample = self._ints("key", "asks", "rank", "sample")
        self.beam_size, self.limit, self.length, self.earlier = self._ints("beam_size", "limit", "length", "earlier")
        self.inputs, self.first_step = self._ints("inputs", "first_step")
        self.alternatives, self.told = self._ints("alternatives", "told")
        self.state_interval, self.state_told = self._ints("state_interval", "state_told")
        self.forced_count, self.unread_count = self._ints("forced_count", "unread_count")
        self.top_k, self.seed, self.finished = self._ints("top_k", "seed", "finished")
        self.scored, self.attended, self.aligning = self._bools("scored", "attended", "aligning")
        self.streaming, self.keeping = self._bools("streaming", "keeping")
        self.total, self.worst, self.alpha, self.beta = self._doubles("total", "worst", "alpha", "beta")
        self.temperature, self.top_p, self.min_p = self._doubles("temperature", "top_p", "min_p")
        self.state: FloatArray = np.zeros((capacity, state_size), dtype=np.float32)
        self._history = np.zeros((capacity, 0, 4), dtype=np.int64)  # one array, so that one copy moves a row's
        self._name_history()
        self.coverage = zeros((capacity, 0), np.float64)
        """[rows, source time] sum of attention weights."""
        self.forced, self.unread = zeros((capacity, 0), np.int64), zeros((capacity, 0), np.int64)
        """[rows, forced_count] the first tokens to write, whatever the model thinks. [rows, unread_count] tokens of the
        prompt that steps have yet to read after `inputs`, the next one last; until then a row writes nothing."""

    def _ints(self, *names: str) -> tuple[IntArray, ...]:
        return tuple(self._rows[name] for name in names)

    def _bools(self, *names: str) -> tuple[BoolArray, ...]:
        return tuple(self._rows[name] for name in names)

    def _doubles(self, *names: str) -> tuple[DoubleArray, ...]:
        return tuple(self._rows[name] for name in names)

    def _name_history(self) -> None:
        tokens, log_probabilities, origins, aligned = np.moveaxis(self._history, 2, 0)
        self.tokens: IntArray = tokens
        self.log_probabilities: DoubleArray = log_probabilities.view(np.float64)
        self.origins: IntArray = origins
        """[rows, tokens] in which row each token of a hypothesis was written, at its time."""
        self.aligned: IntArray = aligned
        """[rows, tokens] the source token that each was most attentive to."""

    def add(self, rows: Sequence[Row], state: FloatArray) -> None:
        """Let rows begin behind those in use, from `state` [rows, state]."""
        first, self.count = self.count, self.count + len(rows)
        self._rows[first : self.count] = rows
        self.state[first : self.count] = state
        if self.coverage.size:
            self.coverage[first : self.count] = 0.0
        self._ask()

    def read_on(self) -> BoolArray:
        """Let rows that are not through with their prompt read its next token at the next step; [count] which are."""
        reading: BoolArray = self.unread_count[: self.count] > 0
        if not reading.any():
            return reading
        rows = np.flatnonzero(reading)
        self.unread_count[rows] -= 1
        self.inputs[rows] = self.unread[rows, self.unread_count[rows]]
        return reading

    def _ask(self) -> None:
        self.asked = int(np.bitwise_or.reduce(self.asks[: self.count]))

    def reserve(self, token_count: int) -> None:
        """Make room for so many tokens per row and one to end with."""
        if self._history.shape[1] <= token_count:
            self._history = widened(self._history, token_count + 1)
            self._name_history()

    def force(self, row: int, token_ids: Sequence[int]) -> None:
        """Set the first tokens that a row writes."""
        self.forced = widened(self.forced, len(token_ids))
        self.forced[row, : len(token_ids)] = token_ids

    def leave_unread(self, row: int, token_ids: IntArray) -> None:
        """Set the tokens that steps have yet to read."""
        self.unread = widened(self.unread, len(token_ids))
        self.unread[row, : len(token_ids)] = token_ids[::-1]

    def cover(self, attention: FloatArray) -> None:
        """Add `attention` [count, source time] to what is covered."""
        time = attention.shape[1]
        self.coverage = widened(self.coverage, time)
        self.coverage[: self.count, :time] += attention

    def sampling(self, rows: IntArray) -> SamplingRows:
        """How rows without a beam choose their next token."""
        return SamplingRows(
            self.temperature[rows], self.top_k[rows], self.top_p[rows], self.min_p[rows],
            self.seed[rows].astype(np.uint64), self.sample[rows], self.earlier[rows] + self.length[rows],
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
            self._history[targets, :time] = self._history[sources, :time]
            self.state[targets] = self.state[sources]
            self.coverage[targets] = self.coverage[sources]
        return bool(moved.any())

    def release(self, rows: list[int]) -> tuple[list[int], list[int]]:
        """Free rows, given in order without repeats; the last rows in use move into the gaps.

        Returns:
            Targets and sources of the moves, so that whoever keeps more of each row can follow.
        """
        self.count -= len(rows)
        targets, freed = [row for row in rows if row < self.count], set(rows)
        sources = [row for row in range(self.count, self.count + len(rows)) if row not in freed]
        for array in (self._raw_rows, self._history, self.state, self.coverage, self.forced, self.unread):
            for target, source in zip(targets, sources, strict=True) if array.size else ():
                array[target] = array[source]
        self._ask()
        return targets, sources
