"""One to many, all texts as one stream: windows with carried state.   Truncated backpropagation through time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from training.data.encoding.batches import Batch, IntArray
from training.data.encoding.tokenization import BOS_ID, EOS_ID, encode_long
from training.data.encoding.windows import join_shuffled, row_windows, stream_rows, turned, window_count
from training.data.examples import PlainText, Splits
from training.data.load import select_examples
from training.errors import DataError
from training.models.language_model import LanguageModel
from training.settings.recipe import Recipe
from training.settings.windows import WindowSettings
from training.tasks.base import Loss, Text, device_of, objective_of, tensors, token_loss
from training.tasks.generation import GenerationTask, encode_texts, learn_text, to_predict

_VALIDATION_ROW = 4096
"""Tokens of a row of the validation stream, at least: rows are read side by side, and each begins without context."""


@dataclass
class _Memory:
    """What the network knew at the end of the last window."""

    state: Tensor | None = None  # [rows, state_size]


@dataclass(frozen=True)
class StreamTask(GenerationTask):
    """One to many, the texts read in windows as `WindowSettings` has it."""

    windows: WindowSettings
    texts: list[IntArray]  # bos ... eos
    _memory: _Memory = field(default_factory=_Memory)

    @property
    def row_count(self) -> int:
        """Rows that are read side by side."""
        return self.recipe.training.batch_tokens // self.windows.token_count

    @property
    def token_count(self) -> int:
        """Tokens of the training texts."""
        return sum(map(len, self.texts))

    def batch_count(self) -> int:
        """As `Task`."""
        return window_count((self.token_count - 1) // self.row_count, self.windows.token_count)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`: the windows in their order. The stream begins at another place in each epoch."""
        rng = np.random.default_rng([self.recipe.seed, epoch])
        stream = np.concatenate(self.texts) if self.windows.continuous else join_shuffled(self.texts, rng)
        rows = stream_rows(turned(stream, rng), self.row_count)
        return row_windows(rows, self.windows.token_count, rng if self.windows.random_token_count else None)

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        """Cross-entropy of each next token of a window, going on from the window before."""
        token_ids, _ = tensors(batch.columns[0], device_of(self.model))
        begins = int(batch.indices[0]) == 0
        vectors, state = self.model.vectors(token_ids[:, :-1], None if begins else self._memory.state)
        self._memory.state = state.detach()
        expected = to_predict(token_ids[:, 1:])
        return token_loss(self.model.readout, vectors, expected, objective_of(self.recipe.training))

    def carried_state(self) -> dict[str, Tensor]:
        """As `Task`."""
        return {} if self._memory.state is None else {"state": self._memory.state}

    def restore_carried_state(self, state: dict[str, Tensor]) -> None:
        """As `Task`."""
        self._memory.state = state.get("state")

    def validate(self) -> float:
        """Bits per character, or perplexity per token. Continuous texts are read as one, in rows side by side."""
        if not self.windows.continuous:
            return super().validate()
        stream = np.concatenate([np.array(ids, dtype=np.int64) for ids in self.validation])
        rows = stream_rows(stream, max(1, min(self.row_count, len(stream) // _VALIDATION_ROW)))
        return self.value_of(row_windows(rows, rows.shape[1]))


def prepare_stream(
    recipe: Recipe, splits: Splits[PlainText], windows: WindowSettings, text: Text | None = None
) -> StreamTask:
    """Learn the tokenizer if there is none yet, encode the examples, build the model.   Errors as `prepare`."""
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = text or learn_text(recipe, splits)
    texts = [
        np.array([BOS_ID, *encode_long(text.tokenizer, example.text), EOS_ID], dtype=np.int64) for example in examples
    ]
    model = LanguageModel(recipe.model, text.tokenizer.vocabulary_size)
    task = StreamTask(recipe, text, model, encode_texts(text, splits.validation), windows, texts)
    if not task.validation or task.token_count <= 2 * task.row_count:
        raise DataError(
            f"{recipe.data.origin}: expected validation texts, and training texts of more than {2 * task.row_count} "
            f"tokens (2 for each of {task.row_count} rows), found {len(task.validation)} texts and "
            f"{task.token_count} tokens"
        )
    return task
