"""What the training loop needs to know of each task: its batches, its loss, its validation metric.   Owns no loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from service.text.tokenizer import Tokenizer
from training.data.batches import Batch, Padded, TokenIds, ordered_batches, plan_batches, shuffled_batches
from training.data.examples import LabelledText, TextPair, group_references
from training.data.tokenization import BOS_ID, EOS_ID, PAD_ID, train_tokenizer
from training.models.classifier import Classifier
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq, translate_greedily
from training.scores import accuracy, bleu, perplexity
from training.settings import Recipe, TokenizerSettings

_VALIDATION_SOURCE_COUNT = 400
"""Sources translated after each epoch, at most: enough to tell two epochs apart."""


class Task(Protocol):
    """A model in training, as the loop sees it."""

    metric: ClassVar[str]
    higher_is_better: ClassVar[bool]

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

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar in nats."""
        ...

    def validate(self) -> float:
        """Return the metric on the validation examples, the model in evaluation mode."""
        ...


@dataclass(frozen=True)
class Text:
    """A tokenizer, ready and as the bytes that a bundle ships."""

    raw: bytes
    tokenizer: Tokenizer

    @classmethod
    def learn(cls, texts: Sequence[str], settings: TokenizerSettings) -> "Text":
        """Train a tokenizer on texts."""
        raw = train_tokenizer(texts, settings)
        return cls(raw, Tokenizer.from_bytes(raw))


@dataclass(frozen=True)
class ClassificationTask:
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
        return _batch_count(self.recipe, [self.sequences])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return _training_batches(self.recipe, [self.sequences], epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the labels."""
        logits, _ = self.model(*_tensors(batch.columns[0]))
        expected = self.label_ids[torch.from_numpy(batch.indices)]
        return functional.cross_entropy(logits, expected, label_smoothing=self.recipe.training.label_smoothing)

    def validate(self) -> float:
        """Accuracy in percent."""
        limit = self.recipe.data.max_token_count
        sequences = [self.text.tokenizer.encode(example.text)[:limit] for example in self.validation]
        predicted: dict[int, str] = {}
        for batch in ordered_batches([sequences], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID):
            logits, _ = self.model(*_tensors(batch.columns[0]))
            best = logits.argmax(dim=-1).tolist()
            predicted.update(zip(batch.indices.tolist(), (self.labels[index] for index in best), strict=True))
        expected = [example.label for example in self.validation]
        return accuracy([predicted[index] for index in range(len(expected))], expected).value


@dataclass(frozen=True)
class GenerationTask:
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
        return _batch_count(self.recipe, [self.sequences])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return _training_batches(self.recipe, [self.sequences], epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of each next token."""
        return self._cross_entropy(batch, "mean", self.recipe.training.label_smoothing)

    def validate(self) -> float:
        """Perplexity per token."""
        batches = ordered_batches([self.validation], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID)
        likelihoods = [-self._cross_entropy(batch, "sum", 0.0).item() for batch in batches]
        return perplexity(likelihoods, sum(len(sequence) - 1 for sequence in self.validation)).value

    def _cross_entropy(self, batch: Batch, reduction: str, label_smoothing: float) -> Tensor:
        token_ids, _ = _tensors(batch.columns[0])
        logits = self.model(token_ids[:, :-1])
        return _token_loss(logits, token_ids[:, 1:], reduction=reduction, label_smoothing=label_smoothing)


@dataclass(frozen=True)
class TranslationTask:
    """Many to many through an encoder and a decoder."""

    metric: ClassVar[str] = "BLEU"
    higher_is_better: ClassVar[bool] = True

    recipe: Recipe
    source: Text
    target: Text
    model: Seq2Seq
    sources: list[list[int]]  # ... eos
    targets: list[list[int]]  # bos ... eos
    validation: list[TextPair]

    def batch_count(self) -> int:
        """As `Task`."""
        return _batch_count(self.recipe, [self.sources, self.targets])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return _training_batches(self.recipe, [self.sources, self.targets], epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of each next target token under teacher forcing."""
        settings = self.recipe.training
        source_ids, source_lengths = _tensors(batch.columns[0])
        target_ids, _ = _tensors(batch.columns[1])
        inputs = target_ids[:, :-1]
        if settings.teacher_forcing_ratio < 1:
            inputs = self._mix_in_own_tokens(source_ids, source_lengths, inputs, settings.teacher_forcing_ratio)
        logits = self.model(source_ids, source_lengths, inputs)
        return _token_loss(logits, target_ids[:, 1:], reduction="mean", label_smoothing=settings.label_smoothing)

    def validate(self) -> float:
        """BLEU of greedy translations."""
        limit = self.recipe.data.max_token_count
        groups = group_references(self.validation)[:_VALIDATION_SOURCE_COUNT]
        sources = [[*self.source.tokenizer.encode(group.source)[: limit - 1], EOS_ID] for group in groups]
        produced: dict[int, str] = {}
        for batch in ordered_batches([sources], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID):
            translations = translate_greedily(
                self.model,
                *_tensors(batch.columns[0]),
                bos_id=BOS_ID,
                eos_id=EOS_ID,
                max_output_token_count=self.recipe.data.max_output_token_count,
            )
            texts = (self.target.tokenizer.decode(ids) for ids in translations)
            produced.update(zip(batch.indices.tolist(), texts, strict=True))
        hypotheses = [produced[index] for index in range(len(groups))]
        return bleu(hypotheses, [group.references for group in groups]).value

    def _mix_in_own_tokens(self, source_ids: Tensor, lengths: Tensor, inputs: Tensor, ratio: float) -> Tensor:
        """Replace some true previous tokens by those the model would have chosen there, in one parallel pass.

        Source: Mihaylova & Martins 2019, arXiv:1906.07651; the schedule is constant.
        """
        with torch.no_grad():
            chosen = self.model(source_ids, lengths, inputs).argmax(dim=-1)  # [rows, time]
        own = torch.cat([inputs[:, :1], chosen[:, :-1]], dim=1)
        keep = (torch.rand(inputs.shape) < ratio) | (inputs == PAD_ID)
        return torch.where(keep, inputs, own)


AnyTask = ClassificationTask | GenerationTask | TranslationTask


def _batch_count(recipe: Recipe, columns: Sequence[Sequence[TokenIds]]) -> int:
    order = np.arange(len(columns[0]))
    return len(plan_batches(columns, batch_tokens=recipe.training.batch_tokens, order=order))


def _training_batches(recipe: Recipe, columns: Sequence[Sequence[TokenIds]], epoch: int) -> Iterator[Batch]:
    settings = recipe.training
    return shuffled_batches(columns, batch_tokens=settings.batch_tokens, pad_id=PAD_ID, seed=recipe.seed, epoch=epoch)


def _tensors(padded: Padded) -> tuple[Tensor, Tensor]:
    """Token ids [rows, time] and lengths [rows]."""
    return torch.from_numpy(padded.token_ids), torch.from_numpy(padded.lengths)


def _token_loss(logits: Tensor, expected: Tensor, *, reduction: str, label_smoothing: float) -> Tensor:
    """Cross-entropy over real tokens of logits [rows, time, vocabulary] and `expected` [rows, time]."""
    return functional.cross_entropy(
        logits.flatten(0, 1),
        expected.flatten(),
        ignore_index=PAD_ID,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
