"""One to many: a text that goes on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from training.data.batches import Batch, ordered_batches
from training.data.examples import PlainText, Splits
from training.data.lengths import refuse_too_long, tell_left_out
from training.data.load import select_examples
from training.data.tokenization import BOS_ID, EOS_ID, PAD_ID
from training.models.language_model import LanguageModel
from training.scores import perplexity
from training.settings import Recipe
from training.tasks.base import (
    CarriesNothing,
    Loss,
    Text,
    batch_count,
    device_of,
    given,
    require_examples,
    tensors,
    token_loss,
    training_batches,
)


@dataclass(frozen=True)
class GenerationTask(CarriesNothing):
    """One to many."""

    metric: ClassVar[str] = "perplexity"
    higher_is_better: ClassVar[bool] = False

    recipe: Recipe
    text: Text
    model: LanguageModel
    sequences: list[list[int]]  # bos ... eos
    validation: list[list[int]]  # bos ... eos

    def batch_count(self) -> int:
        """As `Task`."""
        return batch_count(self.recipe, [self.sequences])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return training_batches(self.recipe, [self.sequences], epoch)

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        """Cross-entropy of each next token."""
        return self._cross_entropy(batch, self.recipe.training.label_smoothing)

    def validate(self) -> float:
        """Perplexity per token."""
        batches = ordered_batches([self.validation], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID)
        likelihoods = [-self._cross_entropy(batch, 0.0).total.item() for batch in batches]
        return perplexity(likelihoods, sum(len(sequence) - 1 for sequence in self.validation)).value

    def _cross_entropy(self, batch: Batch, label_smoothing: float) -> Loss:
        token_ids, _ = tensors(batch.columns[0], device_of(self.model))
        logits = self.model(token_ids[:, :-1])
        return token_loss(logits, token_ids[:, 1:], label_smoothing=label_smoothing)


def prepare_generation(recipe: Recipe, splits: Splits[PlainText]) -> GenerationTask:
    """Learn the tokenizers, encode the examples, build the model.   Errors as `training.prepare.prepare`."""
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = Text.learn([example.text for example in examples], given(recipe.tokenizer))
    refuse_too_long(splits, {"text": text.tokenizer}, recipe.data)
    training, validation = (
        [[BOS_ID, *text.tokenizer.encode(example.text), EOS_ID] for example in part]
        for part in (examples, splits.validation)
    )
    kept = [ids for ids in training if len(ids) <= recipe.data.max_token_count]
    tell_left_out(len(kept), len(examples), recipe.data)
    require_examples(kept, validation, recipe)
    model = LanguageModel(recipe.model, text.tokenizer.vocabulary_size)
    return GenerationTask(recipe, text, model, kept, validation)
