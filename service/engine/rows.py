"""Language models and translators as one thing: rows that start and then step.   Knows padding, not scheduling."""

import numpy as np

from service.engine.batches import pad
from service.engine.steps import FloatArray, IntArray, LanguageSteps, Started, TranslationSteps


class GenerationRows:
    """Rows of a language model. A row starts by reading its prompt, the beginning-of-sequence token first."""

    def __init__(self, model: LanguageSteps, *, pad_id: int, bos_id: int, eos_id: int) -> None:
        self._model = model
        self._pad_id = pad_id
        self._bos = np.array([bos_id], dtype=np.int64)
        self.eos_id = eos_id
        self.banned_ids = tuple({pad_id, bos_id} - {eos_id})

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        return self._model.state_size

    def start(self, sequences: list[IntArray]) -> Started:
        """Read the prompts, batched and padded."""
        token_ids, lengths = pad([np.concatenate([self._bos, sequence]) for sequence in sequences], self._pad_id)
        empty = np.zeros((len(sequences), self.state_size), dtype=np.float32)
        logits, state = self._model.prefill(token_ids, lengths, empty)
        return Started(state, logits, np.zeros(len(sequences), dtype=np.int64), None, None, lengths, token_ids.shape[1])

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

    def __init__(
        self, model: TranslationSteps, *, source_pad_id: int, source_eos_id: int, target_pad_id: int, bos_id: int,
        eos_id: int, time_multiple: int,
    ) -> None:  # fmt: skip
        self._model = model
        self._pad_id = source_pad_id
        self._source_eos = np.array([source_eos_id], dtype=np.int64)
        self._bos_id = bos_id
        self._time_multiple = time_multiple
        self.eos_id = eos_id
        self.banned_ids = tuple({target_pad_id, bos_id} - {eos_id})

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        return self._model.state_size

    def start(self, sequences: list[IntArray]) -> Started:
        """Encode the sources, batched and padded to a multiple of the model's `time_multiple`."""
        whole = [np.concatenate([sequence, self._source_eos]) for sequence in sequences]
        token_ids, lengths = pad(whole, self._pad_id, time_multiple=self._time_multiple)
        encoded = self._model.encode(token_ids, lengths)
        first = np.full(len(sequences), self._bos_id, dtype=np.int64)
        return Started(encoded.state, None, first, encoded.keys, encoded.values, lengths, token_ids.shape[1])

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
