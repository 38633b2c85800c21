"""Language models and translators as one thing: rows that start and then step.   Knows padding, not scheduling."""

from collections.abc import Sequence

import numpy as np

from service.engine.batches import pad
from service.engine.steps import Carried, FloatArray, IntArray, LanguageSteps, Started, TranslationSteps


class GenerationRows:
    """Rows of a language model.

    A row starts by reading its prompt: after the beginning-of-sequence token and from zeros, or after the token that
    was written last and from the state that was carried.
    """

    reads_slices = True
    time_multiple = 1

    def __init__(self, model: LanguageSteps) -> None:
        self._model = model
        self.reads_by_step = model.reads_by_step
        self.eos_id = model.eos_id
        self.banned_ids = tuple({model.pad_id, model.bos_id} - {model.eos_id})

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        return self._model.state_size

    def start(self, sequences: list[IntArray], carried: Sequence[Carried | None]) -> Started:
        """Read the prompts, batched and padded; if the step is to do that, only say where it begins."""
        firsts = [self._model.bos_id if one is None else one.last_id for one in carried]
        begin = np.zeros((len(sequences), self.state_size), dtype=np.float32)
        for row, one in enumerate(carried):
            if one is not None:
                begin[row] = one.state
        if self.reads_by_step:
            lengths = np.array([len(sequence) + 1 for sequence in sequences], dtype=np.int64)
            return Started(begin, None, np.array(firsts, dtype=np.int64), None, None, lengths, 0)
        whole = [np.concatenate([[first], sequence]) for first, sequence in zip(firsts, sequences, strict=True)]
        token_ids, lengths = pad(whole, self._model.pad_id)
        logits, state = self._model.prefill(token_ids, lengths, begin)
        return Started(state, logits, np.zeros(len(sequences), dtype=np.int64), None, None, lengths, token_ids.shape[1])

    def moved(self, *, sources: bool) -> None:
        """Nothing: every step is given all."""

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,  # noqa: ARG002 - a language model attends to nothing
        values: FloatArray | None,  # noqa: ARG002
        lengths: IntArray,  # noqa: ARG002
    ) -> tuple[FloatArray, FloatArray, None]:
        """One token per row."""
        logits, state = self._model.step(token_ids, state)
        return logits, state, None


class TranslationRows:
    """Rows of an encoder-decoder. A row starts by encoding its source, the end-of-sequence token last."""

    reads_slices = False
    reads_by_step = False

    def __init__(self, model: TranslationSteps) -> None:
        self._model = model
        self.time_multiple = model.time_multiple
        self._pad_id, self._end_id, self._bos_id = model.source_pad_id, model.source_eos_id, model.bos_id
        self.eos_id = model.eos_id
        self.banned_ids = tuple({model.target_pad_id, model.bos_id} - {model.eos_id})

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        return self._model.state_size

    def start(
        self,
        sequences: list[IntArray],
        carried: Sequence[Carried | None],  # noqa: ARG002 - a translation begins with its source
    ) -> Started:
        """Encode the sources, batched and padded to a multiple of the model's `time_multiple`."""
        token_ids, lengths = pad(sequences, self._pad_id, time_multiple=self.time_multiple, end_id=self._end_id)
        encoded = self._model.encode(token_ids, lengths)
        first = np.array([self._bos_id] * len(sequences), dtype=np.int64)
        return Started(encoded.state, None, first, encoded.keys, encoded.values, lengths, token_ids.shape[1])

    def moved(self, *, sources: bool) -> None:
        """Nothing: every step is given all."""

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,
        values: FloatArray | None,
        lengths: IntArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """One token per row."""
        return self._model.step(token_ids, state, keys, values, lengths)
