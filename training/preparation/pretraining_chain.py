"""Follows [pretraining] from recipe to recipe: what a model begins from, and what that began from.   Trains nothing."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from training.data.examples import LabelledText, PlainText, Splits, TaggedTokens, TextPair
from training.data.load import load_examples
from training.errors import RecipeError
from training.preparation.pretraining import require_same_layers
from training.settings.recipe import Recipe, Task, load_recipe
from training.tasks.base import Text
from training.tasks.generation import learn_text
from training.tasks.labelling import learn_words
from training.tasks.translation import learn_texts

_BEGINS: Mapping[Task, tuple[Task, ...]] = MappingProxyType(
    {
        "classification": ("generation", "classification"),
        "generation": ("generation", "classification"),
        "labelling": ("generation", "classification", "labelling"),
        "translation": ("translation",),
    }
)
"""Tasks of the models that one of a task can begin from. A tagger's tokenizer reads single words: for taggers alone."""


def pretraining_chain(recipe: Recipe, folder: Path) -> list[tuple[Recipe, Path]]:
    """Read the recipes that a recipe begins from, the nearest first, each with its folder.

    Args:
        recipe: where to begin.
        folder: of its file.

    Raises:
        RecipeError: a recipe is missing or wrong, is for another task, has other layers or a direction too many, or
            begins from itself by way of others.
    """
    chain: list[tuple[Recipe, Path]] = []
    paths: list[Path] = []
    while recipe.pretraining is not None:
        path = folder / recipe.pretraining.recipe
        paths.append(path.resolve())
        if path.resolve() in paths[:-1]:
            names = " -> ".join(one.name for one in paths)
            raise RecipeError(f"recipe {recipe.name}: pretraining.recipe goes in a circle: {names}")
        found = load_recipe(path)
        if found.task not in _BEGINS[recipe.task]:
            tasks = " or ".join(_BEGINS[recipe.task])
            raise RecipeError(
                f"{path}: {recipe.name} begins from a recipe for {tasks}, and this one is for {found.task}"
            )
        if found.model.bidirectional:
            _require_both_directions(recipe, path)
        require_same_layers(recipe.model, found.model, found.name, whole=found.task == "translation")
        recipe, folder = found, path.parent
        chain.append((recipe, folder))
    return chain


def _require_both_directions(recipe: Recipe, begun: Path) -> None:
    """Raise RecipeError where a recipe cannot begin from a model that reads in both directions."""
    if not recipe.model.bidirectional:
        raise RecipeError(f"{begun}: expected a model of one direction, for {recipe.name} to begin from, not of both")
    pretraining = recipe.pretraining
    if pretraining is not None and (pretraining.learning_rate_decay > 1 or pretraining.gradual_unfreezing):
        raise RecipeError(
            f"recipe {recipe.name}: pretraining.learning_rate_decay and gradual_unfreezing are for what begins from a "
            f"model of one direction, and {begun.name} has both"
        )


def pretraining_texts(recipe: Recipe, *, data_folder: Path | None, files_folder: Path) -> tuple[Text, ...]:
    """Learn the tokenizers that a recipe takes over, of a translator two; none if it has its own.

    Raises:
        RecipeError, DataError: as `pretraining_chain`, `load_examples`, `learn_text`, `learn_words` and `learn_texts`.
    """
    chain = pretraining_chain(recipe, files_folder)
    if not chain:
        return ()
    first, folder = chain[-1]
    splits = load_examples(first.data, data_folder=data_folder, files_folder=folder)
    if all(isinstance(example, PlainText | LabelledText) for example in splits.training):
        return (learn_text(first, cast("Splits[Any]", splits)),)
    if all(isinstance(example, TaggedTokens) for example in splits.training):
        return (learn_words(first, cast("Splits[TaggedTokens]", splits)),)
    if all(isinstance(example, TextPair) for example in splits.training):
        return learn_texts(first, cast("Splits[TextPair]", splits))
    raise RecipeError(f"recipe {first.name}: {first.data.origin} holds no text")
