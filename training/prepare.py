"""Turns a recipe and its examples into a task: tokenizers learnt, examples encoded, model built.   Trains nothing."""

from typing import cast

import torch

from training.data.examples import AnySplits, LabelledText, PlainText, Splits, TextPair
from training.errors import RecipeError
from training.settings import Recipe
from training.tasks.classification import ClassificationTask, prepare_classification
from training.tasks.generation import TextsTask, prepare_texts
from training.tasks.stream import StreamTask, prepare_stream
from training.tasks.translation import TranslationTask, prepare_translation

AnyTask = ClassificationTask | TextsTask | StreamTask | TranslationTask


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
            return prepare_classification(recipe, cast("Splits[LabelledText]", splits))
        case "generation" if kind is PlainText and recipe.windows is not None:
            return prepare_stream(recipe, cast("Splits[PlainText]", splits), recipe.windows)
        case "generation" if kind is PlainText:
            return prepare_texts(recipe, cast("Splits[PlainText]", splits))
        case "translation" if kind is TextPair:
            return prepare_translation(recipe, cast("Splits[TextPair]", splits))
    found = "no examples" if kind is None else kind.__name__
    raise RecipeError(f"recipe {recipe.name}: {recipe.data.origin} holds {found}, which {recipe.task} cannot use")
