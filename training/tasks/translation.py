"""Many to many through an encoder and a decoder: a text and its translation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from training.data.encoding.batches import Batch, ordered_batches
from training.data.encoding.lengths import refuse_too_long, tell_left_out
from training.data.encoding.tokenization import BOS_ID, EOS_ID, PAD_ID
from training.data.examples import Splits, TextPair, group_references
from training.data.load import select_examples
from training.data.stable import evenly_spaced
from training.models.seq2seq import Seq2Seq, translate_greedily
from training.scoring.scores import bleu
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
from training.tasks.teacher_forcing import teacher_forcing_ratio

_VALIDATION_SOURCE_COUNT = 400
"""Sources translated after each epoch, at most: enough to tell two epochs apart."""


@dataclass(frozen=True)
class TranslationTask(CarriesNothing):
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
        return batch_count(self.recipe, [self.sources, self.targets])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return training_batches(self.recipe, [self.sources, self.targets], epoch)

    def loss(self, batch: Batch, step: int = 0, /) -> Loss:
        """Cross-entropy of each next target token under teacher forcing."""
        settings, device = self.recipe.training, device_of(self.model)
        source_ids, source_lengths = tensors(batch.columns[0], device)
        target_ids, _ = tensors(batch.columns[1], device)
        inputs = target_ids[:, :-1]
        ratio = teacher_forcing_ratio(settings, step)
        if ratio < 1:
            inputs = self._mix_in_own_tokens(source_ids, source_lengths, inputs, ratio)
        vectors = self.model.vectors(source_ids, source_lengths, inputs)
        return token_loss(self.model.readout, vectors, target_ids[:, 1:], objective_of(settings))

    def validate(self) -> float:
        """BLEU of greedy translations of sources from all over the split: in some corpora the short ones come first."""
        limit = self.recipe.data.max_token_count
        groups = evenly_spaced(group_references(self.validation), _VALIDATION_SOURCE_COUNT)
        sources = [[*self.source.tokenizer.encode(group.source)[: limit - 1], EOS_ID] for group in groups]
        produced: dict[int, str] = {}
        for batch in ordered_batches([sources], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID):
            translations = translate_greedily(
                self.model,
                *tensors(batch.columns[0], device_of(self.model)),
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

        What it would have chosen is drawn with dropout, as the training pass after it is. The first token (bos) and
        padding stay.

        Args:
            source_ids: [rows, source time].
            lengths: of the sources, [rows].
            inputs: true previous tokens, [rows, time]. In its place at t stands the model's choice at t - 1.
            ratio: probability that a true token stays, in [0, 1].

        Returns:
            Token ids, [rows, time].

        Source: Mihaylova & Martins 2019, arXiv:1906.07651.
        """
        with torch.no_grad():
            chosen = self.model(source_ids, lengths, inputs).argmax(dim=-1)  # [rows, time]
        own = torch.cat([inputs[:, :1], chosen[:, :-1]], dim=1)
        keep = (torch.rand(inputs.shape, device=inputs.device) < ratio) | (inputs == PAD_ID)
        return torch.where(keep, inputs, own)


def prepare_translation(recipe: Recipe, splits: Splits[TextPair], texts: tuple[Text, ...] = ()) -> TranslationTask:
    """Learn the tokenizers if there are none yet, encode the examples, build the model.   Errors as `prepare`."""
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    source, target = texts or learn_texts(recipe, splits)
    refuse_too_long(splits, {"source": source.tokenizer, "target": target.tokenizer}, recipe.data)
    sources = [[*source.tokenizer.encode(example.source), EOS_ID] for example in examples]
    targets = [[BOS_ID, *target.tokenizer.encode(example.target), EOS_ID] for example in examples]
    kept = [
        index
        for index in range(len(examples))
        if len(sources[index]) <= recipe.data.max_token_count
        and len(targets[index]) <= recipe.data.max_output_token_count + 1
    ]
    tell_left_out(len(kept), len(examples), recipe.data)
    require_examples(kept, splits.validation, recipe)
    return TranslationTask(
        recipe,
        source,
        target,
        Seq2Seq(recipe.model, source.tokenizer.vocabulary_size, target.tokenizer.vocabulary_size),
        [sources[index] for index in kept],
        [targets[index] for index in kept],
        list(splits.validation),
    )


def learn_texts(recipe: Recipe, splits: Splits[TextPair]) -> tuple[Text, Text]:
    """Learn a tokenizer for each side, or one for both.

    Raises:
        DataError: there is no text to learn from.
    """
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    sources, targets = [example.source for example in examples], [example.target for example in examples]
    if recipe.tokenizer is not None:
        text = Text.learn([*sources, *targets], recipe.tokenizer)
        return text, text
    return Text.learn(sources, given(recipe.source_tokenizer)), Text.learn(targets, given(recipe.target_tokenizer))
