"""Small stand-ins for models, with behaviour that a test can predict."""

from collections.abc import Sequence

import numpy as np

from service.engine.steps import Carried, Classify, FloatArray, IntArray, Started, StepArray
from service.errors import InferenceFailedError

VOCABULARY = 12
PAD, BOS, EOS = 0, 1, 2


class CountingRows:
    """Each row counts up from the last id of its prompt, and ends with EOS where `ends_at` says so.

    The state holds the number of steps made; a row's choice depends on its own input alone.
    """

    eos_id = EOS
    banned_ids = (PAD, BOS)
    state_size = 1
    reads_by_step = False

    def __init__(
        self, *, ends_at: int | None = None, poison: int | None = None, breaks_on: int | None = None,
        reads_slices: bool = False, time_multiple: int = 1,
    ) -> None:  # fmt: skip
        self.reads_slices = reads_slices
        self.time_multiple = time_multiple
        self.reads: list[list[int]] = []
        """Per run that reads, the tokens of each row, the one that is added included."""
        self._ends_at = ends_at
        self._poison = poison
        self._breaks_on = breaks_on
        self.batches: list[int] = []

    def start(
        self,
        sequences: list[IntArray],
        carried: Sequence[Carried | None],
    ) -> Started:
        """Remember the last id of each prompt as the first input."""
        if self._breaks_on is not None and any(self._breaks_on in sequence for sequence in sequences):
            raise InferenceFailedError("the graph broke")
        rows = len(sequences)
        self.reads.append([len(sequence) + 1 for sequence in sequences])
        before = [BOS if one is None else one.last_id for one in carried]
        lasts = [[first, *sequence.tolist()][-1] for first, sequence in zip(before, sequences, strict=True)]
        first = np.array(lasts, dtype=np.int64)
        lengths = np.array(self.reads[-1], dtype=np.int64)
        time = -(-int(lengths.max()) // self.time_multiple) * self.time_multiple
        return Started(np.zeros((rows, 1), dtype=np.float32), None, first, None, None, lengths, time)

    def moved(self, *, sources: bool) -> None:
        """Nothing."""

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,
        values: FloatArray | None,
        lengths: IntArray,
    ) -> tuple[FloatArray, FloatArray, None]:
        """Prefer the id after the one read."""
        self.batches.append(len(token_ids))
        logits = np.zeros((len(token_ids), VOCABULARY), dtype=np.float32)
        for row, token in enumerate(token_ids):
            following = EOS if token == self._ends_at else 3 + (token - 2) % (VOCABULARY - 3)
            logits[row, following] = 5.0
            if token == self._poison:
                logits[row] = np.nan
        return logits, state + 1, None


class Remembering:
    """A language model whose logits depend on everything that was read, in its order."""

    pad_id, bos_id, eos_id = PAD, BOS, EOS
    state_size = 2

    def __init__(self, *, ends: bool = False, reads_by_step: bool = False) -> None:
        self._ends = ends
        self.reads_by_step = reads_by_step

    def prefill(self, token_ids: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """One step after another."""
        assert not self.reads_by_step
        logits, after = np.zeros((len(state), VOCABULARY), dtype=np.float32), state.copy()
        for row, length in enumerate(lengths.tolist()):
            for token in token_ids[row, :length]:
                logits[row : row + 1], after[row : row + 1] = self.step(token[None], after[row : row + 1])
        return logits, after

    def step(self, token_ids: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Two numbers that every token changes."""
        multiplied = state * np.array([7, 11], dtype=np.float32) + token_ids[:, None] + 1
        after = (multiplied % np.array([10_007, 5_003])).astype(np.float32)
        logits = np.empty((len(after), VOCABULARY), dtype=np.float32)
        for row, numbers in enumerate(after.tolist()):
            logits[row] = np.random.default_rng([int(one) for one in numbers]).normal(0, 1, VOCABULARY)
        if not self._ends:
            logits[:, EOS] = -50.0
        return logits, after


def lengths_classifier(labels: int = 2) -> Classify:
    """A classifier whose logits are a row's length and the sum of its real ids; an id 9 breaks the whole batch."""

    def classify(token_ids: IntArray, lengths: IntArray) -> FloatArray:
        real = np.arange(token_ids.shape[1])[None, :] < lengths[:, None]
        if (token_ids[real] == 9).any():
            raise InferenceFailedError("the graph broke")
        sums = np.where(real, token_ids, 0).sum(axis=1)
        logits = np.stack([lengths, sums, *([lengths * 0] * (labels - 2))], axis=1).astype(np.float32)
        logits[sums == 1000] = np.nan
        return logits

    return classify


def echoing_labeller(steps: StepArray, lengths: IntArray) -> FloatArray:
    """A labeller of features whose logits are a step's first two values."""
    assert steps.shape[:2] == (len(lengths), max(lengths))
    return steps[:, :, :2].astype(np.float32)


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def ids(*values: int) -> IntArray:
    """An array of token ids."""
    return np.array(values, dtype=np.int64)


def rows(*sequences: Sequence[int]) -> list[IntArray]:
    """Arrays of token ids."""
    return [np.array(sequence, dtype=np.int64) for sequence in sequences]
