"""One to many: a text that goes on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from training.data.encoding.batches import Batch, ordered_batches
from training.data.encoding.lengths import refuse_too_long, tell_left_out
from training.data.encoding.tokenization import BOS_ID, EOS_ID, PAD_ID, encode_long, is_character_level
from training.data.examples import LabelledText, PlainText, Splits
from training.data.load import select_examples
from training.models.language_model import LanguageModel
from training.models.layers.cross_entropy import Objective
from training.scoring.scores import likelihood_score
from training.settings.recipe import Recipe
from training.tasks.base import (
    CarriesNothing,
    Loss,
    Text,
    batch_count,
    device_of,
    given,
    objective_of,
    require_examples,
    tensors,
    token_loss,
    training_batches,
)

_Read = TypeVar("_Read", PlainText, LabelledText)


@dataclass(frozen=True)
class GenerationTask:
    """One to many: what is common to texts that are read one by one, and to a stream of them."""

    higher_is_better: ClassVar[bool] = False

    recipe: Recipe
    text: Text
    model: LanguageModel
    validation: list[list[int]]  # bos ... eos

    @property
    def metric(self) -> str:
        """As `Task`."""
        return "bits per character" if is_character_level(self.text.tokenizer) else "perplexity"

    def validate(self) -> float:
        """Bits per character, or perplexity per token; every text is read from the zero state."""
        batches = ordered_batches([self.validation], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID)
        return self.value_of(batches)

    def value_of(self, batches: Iterable[Batch]) -> float:
        """The metric over batches, each row of which is read from the zero state."""
        budget, device = self.recipe.training.batch_tokens, device_of(self.model)
        losses = [rows_loss(self.model, tensors(batch.columns[0], device)[0], batch_tokens=budget) for batch in batches]
        count = sum(loss.count for loss in losses)
        characters = is_character_level(self.text.tokenizer)
        return likelihood_score([-loss.total.item() for loss in losses], count, characters=characters).value


@dataclass(frozen=True)
class TextsTask(CarriesNothing, GenerationTask):
    """One to many, each text from its begin to its end."""

    sequences: list[list[int]]  # bos ... eos

    def batch_count(self) -> int:
        """As `Task`."""
        return batch_count(self.recipe, [self.sequences])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return training_batches(self.recipe, [self.sequences], epoch)

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        """Cross-entropy of each next token."""
        token_ids, _ = tensors(batch.columns[0], device_of(self.model))
        vectors, _ = self.model.vectors(token_ids[:, :-1])
        return token_loss(self.model.readout, vectors, token_ids[:, 1:], objective_of(self.recipe.training))


def rows_loss(model: LanguageModel, token_ids: Tensor, *, batch_tokens: int) -> Loss:
    """Cross-entropy of each next token of `token_ids` [rows, time], and nothing else.

    Long rows are read in parts of at most `batch_tokens` tokens, the state carried, so that memory has a bound.
    """
    rows, time = token_ids.shape
    width = max(1, batch_tokens // rows)
    total, count, state = torch.zeros((), dtype=torch.float64), 0, None
    for start in range(0, time - 1, width):
        part = token_ids[:, start : start + width + 1]
        vectors, state = model.vectors(part[:, :-1], state)
        loss = token_loss(model.readout, vectors, to_predict(part[:, 1:]), Objective())
        total, count = total + loss.total.cpu(), count + loss.count
    return Loss(total, count)


def to_predict(token_ids: Tensor) -> Tensor:
    """Mark what no model has to predict as padding: that a text begins where another has ended is no news."""
    return token_ids.masked_fill(token_ids == BOS_ID, PAD_ID)


def encode_texts(text: Text, examples: Sequence[PlainText]) -> list[list[int]]:
    """Encode each text with its begin and its end."""
    return [[BOS_ID, *encode_long(text.tokenizer, example.text), EOS_ID] for example in examples]


def learn_text(recipe: Recipe, splits: Splits[_Read]) -> Text:
    """Learn the tokenizer of a recipe.

    Raises:
        DataError: there is no text to learn from.
    """
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    return Text.learn([example.text for example in examples], given(recipe.tokenizer))


def prepare_texts(recipe: Recipe, splits: Splits[PlainText], text: Text | None = None) -> TextsTask:
    """Learn the tokenizer if there is none yet, encode the examples, build the model.   Errors as `prepare`."""
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = text or learn_text(recipe, splits)
    refuse_too_long(splits, {"text": text.tokenizer}, recipe.data)
    training, validation = encode_texts(text, examples), encode_texts(text, splits.validation)
    kept = [ids for ids in training if len(ids) <= recipe.data.max_token_count]
    tell_left_out(len(kept), len(examples), recipe.data)
    require_examples(kept, validation, recipe)
    return TextsTask(recipe, text, LanguageModel(recipe.model, text.tokenizer.vocabulary_size), validation, kept)
