"""What every task shares: what the loop needs to know of one, and how examples become tensors.   Owns no loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from service.text.tokenizer import Tokenizer
from training.data.encoding.batches import Batch, Padded, Steps, plan_batches, shuffled_batches
from training.data.encoding.tokenization import PAD_ID, train_tokenizer
from training.errors import DataError, RecipeError
from training.models.layers.cross_entropy import Objective
from training.models.layers.vocabulary import Readout
from training.settings.recipe import Recipe, TokenizerSettings
from training.settings.training import TrainingSettings


@dataclass(frozen=True)
class Loss:
    """What a batch costs, as a sum: sums add up over parts of a batch, wherever they are computed."""

    total: Tensor
    """Scalar, in nats, summed over `count`."""
    count: int
    """Examples or tokens that were predicted."""


class Task(Protocol):
    """A model in training, as the loop sees it."""

    @property
    def higher_is_better(self) -> bool:
        """Whether more of `metric` is better."""
        ...

    @property
    def metric(self) -> str:
        """Name of what `validate` returns."""
        ...

    @property
    def recipe(self) -> Recipe:
        """What is being trained."""
        ...

    @property
    def model(self) -> nn.Module:
        """The network; the loop owns its mode and its weights."""
        ...

    def batch_count(self) -> int:
        """Return how many batches one pass over the training examples has."""
        ...

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give one pass over the training examples."""
        ...

    def loss(self, batch: Batch, step: int = 0, /) -> Loss:
        """Return the loss of a batch; `step` counts the updates of the weights so far.

        Where the recipe asks for consistency, the second half of the batch's rows are those of the first once more.
        """
        ...

    def validate(self) -> float:
        """Return the metric on the validation examples, the model in evaluation mode.

        What is carried from one training batch to the next stays as it was.
        """
        ...

    def carried_state(self) -> dict[str, Tensor]:
        """Return what the next batch of this epoch takes over from those before it, besides weights; often nothing."""
        ...

    def restore_carried_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `carried_state` gave after as many batches of this epoch, on any device."""
        ...


class CarriesNothing:
    """Part of a task whose training batches know nothing of one another."""

    def carried_state(self) -> dict[str, Tensor]:
        """As `Task`."""
        return {}

    def restore_carried_state(self, state: dict[str, Tensor]) -> None:
        """As `Task`."""


@dataclass(frozen=True)
class Text:
    """A tokenizer, ready and as the bytes that a bundle ships."""

    raw: bytes
    tokenizer: Tokenizer

    @classmethod
    def learn(cls, texts: Sequence[str], settings: TokenizerSettings, *, of_words: bool = False) -> "Text":
        """Train a tokenizer on texts, or on words; see `train_tokenizer`."""
        raw = train_tokenizer(texts, settings, of_words=of_words)
        return cls(raw, Tokenizer.from_bytes(raw))


def batch_count(recipe: Recipe, columns: Sequence[Sequence[Steps]]) -> int:
    """Return how many batches one pass over encoded examples has; `columns` as in `plan_batches`."""
    order = np.arange(len(columns[0]))
    return len(plan_batches(columns, batch_tokens=recipe.training.batch_tokens, order=order))


def training_batches(recipe: Recipe, columns: Sequence[Sequence[Steps]], epoch: int) -> Iterator[Batch]:
    """Give one pass over encoded training examples, as the recipe's seed and budget say."""
    settings = recipe.training
    return shuffled_batches(columns, batch_tokens=settings.batch_tokens, pad_id=PAD_ID, seed=recipe.seed, epoch=epoch)


def tensors(padded: Padded, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Token ids [rows, time] or readings [rows, time, features], and lengths [rows], on a device (None: the CPU)."""
    return torch.from_numpy(padded.values).to(device), torch.from_numpy(padded.lengths).to(device)


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's weights are, and where its batches have to be."""
    return next(model.parameters()).device


def token_loss(readout: Readout, vectors: Tensor, expected: Tensor, objective: Objective) -> Loss:
    """Cross-entropy over the real tokens of `expected` [rows, time]; `vectors` [rows, time, embedding] predict them."""
    real = expected != PAD_ID
    predicted = expected[real]  # [positions]
    return Loss(readout.loss(vectors[real], predicted, objective), len(predicted))


def objective_of(settings: TrainingSettings) -> Objective:
    """Return what a recipe asks of predictions."""
    return Objective(settings.label_smoothing, settings.consistency)


def given(settings: TokenizerSettings | None) -> TokenizerSettings:
    """Return the settings of a tokenizer that a checked recipe of this task always has."""
    if settings is None:
        raise RecipeError("the recipe lacks a tokenizer")
    return settings


def require_examples(training: Sequence[object], validation: Sequence[object], recipe: Recipe) -> None:
    """Raise DataError where nothing is left to train or to validate on."""
    if not training or not validation:
        limit = recipe.data.max_token_count
        hint = "; [windows] reads texts of any length" if recipe.task == "generation" else ""
        raise DataError(f"{recipe.data.origin}: no training (at most {limit} tokens) or no validation examples{hint}")
