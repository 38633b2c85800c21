"""Turns a recipe and its examples into a task: tokenizers learnt, examples encoded, model built.   Trains nothing."""

from typing import cast

import torch

from training.data.examples import AnySplits, LabelledSeries, LabelledText, PlainText, Splits, TaggedTokens, TextPair
from training.errors import RecipeError
from training.settings import Recipe
from training.tasks.classification import ClassificationTask, prepare_classification
from training.tasks.generation import GenerationTask, prepare_generation
from training.tasks.labelling import LabellingTask, prepare_series, prepare_tagging
from training.tasks.translation import TranslationTask, prepare_translation

AnyTask = ClassificationTask | GenerationTask | LabellingTask | TranslationTask


def prepare(recipe: Recipe, splits: AnySplits) -> AnyTask:
    """Learn tokenizers, encode the examples and build the model, all decided by the recipe's seed.

    Raises:
        RecipeError: the corpus is for another task.
        DataError: nothing is left to train or validate on.
    """
    torch.manual_seed(recipe.seed)
    kind = type(splits.training[0]) if splits.training else None
    match recipe.task:
        case "classification" if kind is LabelledText:
            return prepare_classification(recipe, cast("Splits[LabelledText]", splits))
        case "generation" if kind is PlainText:
            return prepare_generation(recipe, cast("Splits[PlainText]", splits))
        case "labelling" if kind is TaggedTokens:
            return prepare_tagging(recipe, cast("Splits[TaggedTokens]", splits))
        case "labelling" if kind is LabelledSeries:
            return prepare_series(recipe, cast("Splits[LabelledSeries]", splits))
        case "translation" if kind is TextPair:
            return prepare_translation(recipe, cast("Splits[TextPair]", splits))
    found = "no examples" if kind is None else kind.__name__
    raise RecipeError(f"recipe {recipe.name}: {recipe.data.origin} holds {found}, which {recipe.task} cannot use")
