"""Many to many, aligned: a label for each word of a sentence, or for each row of a series of readings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from service.bundle.manifest import FeatureInput
from training.data.encoding.batches import Batch, FloatArray, Steps, ordered_batches, pad
from training.data.encoding.lengths import refuse_too_long, tell_left_out
from training.data.encoding.sequences import (
    LabelledSteps,
    check_reads,
    learn_features,
    logits_at_labels,
    read_series,
    read_words,
)
from training.data.encoding.tokenization import PAD_ID
from training.data.examples import LabelledSeries, Splits, TaggedTokens
from training.data.labels import Labelled, Scheme, known_labels, require_known_labels, scheme_of
from training.data.load import select_examples
from training.errors import DataError
from training.models.labeller import Labeller
from training.models.layers.cross_entropy import cross_entropy
from training.scoring.label_scores import label_log_loss, word_scores
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

_IGNORED = -100
"""In the place of a label: the loss leaves the step out."""


@dataclass(frozen=True)
class LabellingTask(CarriesNothing):
    """Many to many, aligned."""

    recipe: Recipe
    reads: Text | FeatureInput
    """The tokenizer of words, or what the readings are."""
    labels: tuple[str, ...]
    scheme: Scheme
    model: Labeller
    sequences: list[Steps]
    label_ids: list[list[int]]  # per sequence [time], _IGNORED where there is no label
    validation: list[LabelledSteps]

    @property
    def metric(self) -> str:
        """What early stopping goes by.

        Of readings the log loss: probabilities are what is served, and a ranking such as ROC-AUC does not notice when
        they are too sure of themselves.
        """
        if isinstance(self.reads, FeatureInput):
            return "log loss"
        return "span F1" if self.scheme == "bio" else "accuracy"

    @property
    def higher_is_better(self) -> bool:
        """As `Task`."""
        return not isinstance(self.reads, FeatureInput)

    def batch_count(self) -> int:
        """As `Task`."""
        return batch_count(self.recipe, [self.sequences])

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As `Task`."""
        return training_batches(self.recipe, [self.sequences], epoch)

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        """Cross-entropy of the labels, over the steps that have one."""
        logits = self.model.label(*tensors(batch.columns[0], device_of(self.model)))  # [rows, time, labels]
        padded = pad([self.label_ids[index] for index in batch.indices], pad_id=_IGNORED)
        expected = torch.from_numpy(padded.values).to(logits.device)  # [rows, time]
        labelled = expected != _IGNORED
        total = cross_entropy(logits[labelled], expected[labelled], objective_of(self.recipe.training))
        return Loss(total, int(labelled.sum()))

    def validate(self) -> float:
        """The metric. One direction reads each sequence whole; both read pieces of what the service takes at most."""
        longest = None if self.model.state_size is not None else self.recipe.data.max_token_count
        logits = logits_at_labels(self.validation, longest, self._label)
        expected = [sequence.labels for sequence in self.validation]
        if isinstance(self.reads, FeatureInput):
            shares = torch.from_numpy(np.concatenate(logits)).double().softmax(dim=-1).numpy()
            return label_log_loss(shares, [label for labels in expected for label in labels], self.labels).value
        predicted = [[self.labels[index] for index in of_one.argmax(axis=-1)] for of_one in logits]
        return word_scores(predicted, expected, self.scheme)[0].value

    def _label(self, sequences: Sequence[Steps]) -> list[FloatArray]:
        """Logits [time, labels] of each sequence."""
        logits: dict[int, FloatArray] = {}
        for batch in ordered_batches([sequences], batch_tokens=self.recipe.training.batch_tokens, pad_id=PAD_ID):
            found = self.model.label(*tensors(batch.columns[0], device_of(self.model))).cpu().numpy()
            for index, row, length in zip(batch.indices, found, batch.columns[0].lengths, strict=True):
                logits[int(index)] = row[:length]
        return [logits[index] for index in range(len(sequences))]


def prepare_tagging(recipe: Recipe, splits: Splits[TaggedTokens], text: Text | None = None) -> LabellingTask:
    """Learn the tokenizer if there is none yet, encode words, build the model.   Errors as `prepare`.

    Sentences of more tokens than the recipe allows are left out of training.
    """
    check_reads(recipe, "words")
    labels, scheme = _labels(recipe, splits)
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = text or learn_words(recipe, splits)
    refuse_too_long(splits, {"words": text.tokenizer}, recipe.data)
    training, validation = (
        [
            read_words(text.tokenizer, recipe.labelling.label_position, example, f"{part} example {number}")
            for number, example in enumerate(of_part, start=1)
        ]
        for part, of_part in (("training", examples), ("validation", splits.validation))
    )
    kept = [sequence for sequence in training if len(sequence.steps) <= recipe.data.max_token_count]
    tell_left_out(len(kept), len(training), recipe.data)
    model = Labeller.of_words(recipe.model, text.tokenizer.vocabulary_size, len(labels))
    return _task(recipe, text, labels, scheme, model, kept, validation)


def learn_words(recipe: Recipe, splits: Splits[TaggedTokens]) -> Text:
    """Learn a tokenizer of words. Where each character is a word of its own, no word needs a mark where it begins.

    Raises:
        DataError: there is no word to learn from.
    """
    settings = given(recipe.tokenizer)
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    of_words = settings.kind != "characters" or recipe.labelling.split == "whitespace"
    return Text.learn([word for example in examples for word in example.tokens], settings, of_words=of_words)


def prepare_series(recipe: Recipe, splits: Splits[LabelledSeries]) -> LabellingTask:
    """Learn scaling and imputation, scale, cut into windows, build the model.   Errors as `prepare`.

    Training reads windows, each from an empty memory: a series of thousands of steps is neither left out nor learnt
    from in one piece.
    """
    check_reads(recipe, "readings")
    labels, scheme = _labels(recipe, splits)
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    refuse_too_long(splits, {}, recipe.data)
    features = learn_features(examples)
    training, validation = (
        [
            read_series(features.features, series, f"{part} series {number}")
            for number, series in enumerate(of_part, start=1)
        ]
        for part, of_part in (("training", examples), ("validation", splits.validation))
    )
    windows = [window for series in training for window in series.pieces(recipe.labelling.window_length)]
    model = Labeller.of_features(recipe.model, len(features.features), len(labels))
    return _task(recipe, features, labels, scheme, model, windows, validation)


def _labels(recipe: Recipe, splits: Splits[Labelled]) -> tuple[tuple[str, ...], Scheme]:
    """All labels of the training part, whichever of its examples the recipe keeps, and what they mark."""
    labels = known_labels(require_known_labels(splits).training)
    if len(labels) < 2:
        raise DataError(f"{recipe.data.origin}: expected two labels or more in the training part, found {len(labels)}")
    return labels, scheme_of(splits.training, recipe.labelling.scheme)


def _task(
    recipe: Recipe,
    reads: Text | FeatureInput,
    labels: tuple[str, ...],
    scheme: Scheme,
    model: Labeller,
    training: Sequence[LabelledSteps],
    validation: list[LabelledSteps],
) -> LabellingTask:
    kept = [sequence for sequence in training if sequence.labels]
    require_examples(kept, [sequence for sequence in validation if sequence.labels], recipe)
    ids = {label: index for index, label in enumerate(labels)}
    label_ids = []
    for sequence in kept:
        of_steps = [_IGNORED] * len(sequence.steps)
        for position, label in zip(sequence.positions, sequence.labels, strict=True):
            of_steps[position] = ids[label]
        label_ids.append(of_steps)
    return LabellingTask(recipe, reads, labels, scheme, model, [one.steps for one in kept], label_ids, validation)
