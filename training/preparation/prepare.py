"""Turns a recipe and its examples into a task: tokenizers learnt, examples encoded, model built.   Trains nothing."""

from typing import cast

import torch

from training.data.encoding.tokenization import UNKNOWN
from training.data.examples import AnySplits, LabelledSeries, LabelledText, PlainText, Splits, TaggedTokens, TextPair
from training.errors import RecipeError
from training.preparation.pretraining import Pretrained, begin_from
from training.settings.recipe import Recipe
from training.tasks.base import Text
from training.tasks.classification import ClassificationTask, prepare_classification
from training.tasks.generation import TextsTask, prepare_texts
from training.tasks.labelling import LabellingTask, prepare_series, prepare_tagging
from training.tasks.stream import StreamTask, prepare_stream
from training.tasks.translation import TranslationTask, prepare_translation

AnyTask = ClassificationTask | TextsTask | StreamTask | LabellingTask | TranslationTask


def prepare(recipe: Recipe, splits: AnySplits, pretrained: Pretrained | None = None) -> AnyTask:
    """Learn tokenizers, encode the examples and build the model, all decided by the recipe's seed.

    Args:
        recipe: what to train.
        splits: its examples.
        pretrained: the model that `recipe.pretraining` names; its tokenizers are used, and its weights.

    Raises:
        RecipeError: the corpus is for another task, or the model's sizes are not those of the one it begins from.
        DataError: nothing is left to train or validate on.
    """
    if (recipe.pretraining is None) != (pretrained is None):
        raise ValueError(f"recipe {recipe.name}: a pretrained model goes with [pretraining], and only with it")
    torch.manual_seed(recipe.seed)
    if pretrained is None:
        return _prepare(recipe, splits, ())
    if recipe.model.word_dropout > 0 and any(text.tokenizer.id_of(UNKNOWN) is None for text in pretrained.texts):
        raise RecipeError(
            f"recipe {recipe.name}: model.word_dropout needs {UNKNOWN}, the tokenizer of {pretrained.recipe} lacks it"
        )
    task = _prepare(recipe, splits, pretrained.texts)
    begin_from(task.model, recipe.model, pretrained)
    return task


def _prepare(recipe: Recipe, splits: AnySplits, texts: tuple[Text, ...]) -> AnyTask:
    text = texts[0] if texts else None
    kind = type(splits.training[0]) if splits.training else None
    match recipe.task:
        case "classification" if kind is LabelledText:
            return prepare_classification(recipe, cast("Splits[LabelledText]", splits), text)
        case "generation" if kind is PlainText and recipe.windows is not None:
            return prepare_stream(recipe, cast("Splits[PlainText]", splits), recipe.windows, text)
        case "generation" if kind is PlainText:
            return prepare_texts(recipe, cast("Splits[PlainText]", splits), text)
        case "labelling" if kind is TaggedTokens:
            return prepare_tagging(recipe, cast("Splits[TaggedTokens]", splits), text)
        case "labelling" if kind is LabelledSeries:
            return prepare_series(recipe, cast("Splits[LabelledSeries]", splits))
        case "translation" if kind is TextPair:
            return prepare_translation(recipe, cast("Splits[TextPair]", splits), texts)
    found = "no examples" if kind is None else kind.__name__
    raise RecipeError(f"recipe {recipe.name}: {recipe.data.origin} holds {found}, which {recipe.task} cannot use")
