"""Turns a recipe and its examples into a task: tokenizers learnt, examples encoded, model built.   Trains nothing."""

from collections.abc import Sequence
from typing import cast

import torch

from training.data.examples import AnySplits, LabelledText, PlainText, Splits, TextPair
from training.data.lengths import refuse_too_long, tell_left_out
from training.data.load import select_examples
from training.data.tokenization import BOS_ID, EOS_ID
from training.errors import DataError, RecipeError
from training.models.classifier import Classifier
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq
from training.settings import Recipe, TokenizerSettings
from training.tasks import AnyTask, ClassificationTask, GenerationTask, Text, TranslationTask


def prepare(recipe: Recipe, splits: AnySplits) -> AnyTask:
    """Learn tokenizers, encode the examples and build the model, all decided by the recipe's seed.

    Raises:
        RecipeError: the corpus is for another task, or the model's sizes do not fit together.
        DataError: nothing is left to train or validate on.
    """
    if recipe.model.attention == "dot" and recipe.model.bidirectional:
        raise RecipeError(f"recipe {recipe.name}: dot attention cannot compare both directions with one; take general")
    torch.manual_seed(recipe.seed)
    kind = type(splits.training[0]) if splits.training else None
    match recipe.task:
        case "classification" if kind is LabelledText:
            return _prepare_classification(recipe, cast("Splits[LabelledText]", splits))
        case "generation" if kind is PlainText:
            return _prepare_generation(recipe, cast("Splits[PlainText]", splits))
        case "translation" if kind is TextPair:
            return _prepare_translation(recipe, cast("Splits[TextPair]", splits))
    found = "no examples" if kind is None else kind.__name__
    raise RecipeError(f"recipe {recipe.name}: {recipe.data.origin} holds {found}, which {recipe.task} cannot use")


def _prepare_classification(recipe: Recipe, splits: Splits[LabelledText]) -> ClassificationTask:
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = Text.learn([example.text for example in examples], _given(recipe.tokenizer))
    refuse_too_long(splits, {"text": text.tokenizer}, recipe.data)
    labels = tuple(sorted({example.label for example in examples}))
    encoded = [text.tokenizer.encode(example.text) for example in examples]
    kept = [index for index, ids in enumerate(encoded) if 0 < len(ids) <= recipe.data.max_token_count]
    tell_left_out(len(kept), len(examples), recipe.data)
    _require(kept, splits.validation, recipe)
    return ClassificationTask(
        recipe,
        text,
        labels,
        Classifier(recipe.model, text.tokenizer.vocabulary_size, len(labels)),
        [encoded[index] for index in kept],
        torch.tensor([labels.index(examples[index].label) for index in kept]),
        list(splits.validation),
    )


def _prepare_generation(recipe: Recipe, splits: Splits[PlainText]) -> GenerationTask:
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    text = Text.learn([example.text for example in examples], _given(recipe.tokenizer))
    refuse_too_long(splits, {"text": text.tokenizer}, recipe.data)
    training, validation = (
        [[BOS_ID, *text.tokenizer.encode(example.text), EOS_ID] for example in part]
        for part in (examples, splits.validation)
    )
    kept = [ids for ids in training if len(ids) <= recipe.data.max_token_count]
    tell_left_out(len(kept), len(examples), recipe.data)
    _require(kept, validation, recipe)
    model = LanguageModel(recipe.model, text.tokenizer.vocabulary_size)
    return GenerationTask(recipe, text, model, kept, validation)


def _prepare_translation(recipe: Recipe, splits: Splits[TextPair]) -> TranslationTask:
    examples = select_examples(splits, recipe.data, seed=recipe.seed).training
    source = Text.learn([example.source for example in examples], _given(recipe.source_tokenizer))
    target = Text.learn([example.target for example in examples], _given(recipe.target_tokenizer))
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
    _require(kept, splits.validation, recipe)
    return TranslationTask(
        recipe,
        source,
        target,
        Seq2Seq(recipe.model, source.tokenizer.vocabulary_size, target.tokenizer.vocabulary_size),
        [sources[index] for index in kept],
        [targets[index] for index in kept],
        list(splits.validation),
    )


def _given(settings: TokenizerSettings | None) -> TokenizerSettings:
    if settings is None:  # recipes are checked: each task has the tokenizers it needs
        raise RecipeError("the recipe lacks a tokenizer")
    return settings


def _require(training: Sequence[object], validation: Sequence[object], recipe: Recipe) -> None:
    if not training or not validation:
        limit = recipe.data.max_token_count
        raise DataError(f"{recipe.data.origin}: no training (at most {limit} tokens) or no validation examples")
