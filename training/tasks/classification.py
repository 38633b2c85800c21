"""Many to one: a text and one label."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from training.data.encoding.batches import Batch, ordered_batches
from training.data.encoding.lengths import refuse_too_long, tell_left_out
from training.data.encoding.tokenization import PAD_ID
from training.data.examples import LabelledText, Splits
from training.data.load import select_examples
from training.models.classifier import Classifier
from training.models.layers.cross_entropy import cross_entropy
from training.scoring.scores import accuracy
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
    training_batches,
)


@dataclass(frozen=True)
class ClassificationTask(CarriesNothing):
    """Many to one."""

    metric: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    recipe: Recipe
    text: Text
    labels: tuple[str, ...]
    model: Classifier
    sequences: list[list[int]]
    label_ids: Tensor  # [examples]
    validation: list[LabelledText]

    def batch_count(self) -> int:
        """As `Task`."""
        return batch_count(self.recipe, [self.sequences])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return training_batches(self.recipe, [self.sequences], epoch)

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        """Cross-entropy of the labels."""
        logits, _ = self.model(*tensors(batch.columns[0], device_of(self.model)))
        expected = self.label_ids[torch.from_numpy(batch.indices)].to(logits.device)
        return Loss(cross_entropy(logits, expected, objective_of(self.recipe.training)), len(expected))

    def validate(self) -> float:
        """Accuracy in percent."""
        limit = self.recipe.data.max_token_count
        sequences = [self.text.tokenizer.encode(example.text)[:limit] for example in self.validation]
        predicted: dict[int, str] = {}
        for batch in ordered_batches([sequences], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID):
            logits, _ = self.model(*tensors(batch.columns[0], device_of(self.model)))
            best = logits.argmax(dim=-1).tolist()
            predicted.update(zip(batch.indices.tolist(), (self.labels[index] for index in best), strict=True))
        expected = [example.label for example in self.validation]
        return accuracy([predicted[index] for index in range(len(expected))], expected).value


def prepare_classification(
    recipe: Recipe, splits: Splits[LabelledText], text: Text | None = None
) -> ClassificationTask:
    """Learn the tokenizer if there is none yet, encode the examples, build the model.   Errors as `prepare`."""
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = text or Text.learn([example.text for example in examples], given(recipe.tokenizer))
    refuse_too_long(splits, {"text": text.tokenizer}, recipe.data)
    labels = tuple(sorted({example.label for example in examples}))
    encoded = [text.tokenizer.encode(example.text) for example in examples]
    kept = [index for index, ids in enumerate(encoded) if 0 < len(ids) <= recipe.data.max_token_count]
    tell_left_out(len(kept), len(examples), recipe.data)
    require_examples(kept, splits.validation, recipe)
    return ClassificationTask(
        recipe,
        text,
        labels,
        Classifier(recipe.model, text.tokenizer.vocabulary_size, len(labels)),
        [encoded[index] for index in kept],
        torch.tensor([labels.index(examples[index].label) for index in kept]),
        list(splits.validation),
    )
