"""Follows [pretraining] from recipe to recipe: what a model begins from, and what that began from.   Trains nothing."""

from pathlib import Path
from typing import Any, cast

from training.data.examples import LabelledText, PlainText, Splits
from training.data.load import load_examples
from training.errors import RecipeError
from training.preparation.pretraining import require_same_layers
from training.settings.recipe import Recipe, load_recipe
from training.tasks.base import Text
from training.tasks.generation import learn_text

_BEGINS = ("generation", "classification")
"""Tasks of the models that another can begin from."""


def pretraining_chain(recipe: Recipe, folder: Path) -> list[tuple[Recipe, Path]]:
    """Read the recipes that a recipe begins from, the nearest first, each with its folder.

    Args:
        recipe: where to begin.
        folder: of its file.

    Raises:
        RecipeError: a recipe is missing or wrong, is for another task, has other layers or both directions, or begins
            from itself by way of others.
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
        if found.task not in _BEGINS:
            tasks = " or ".join(_BEGINS)
            raise RecipeError(
                f"{path}: {recipe.name} begins from a recipe for {tasks}, and this one is for {found.task}"
            )
        if found.model.bidirectional:
            raise RecipeError(
                f"{path}: expected a model of one direction, for {recipe.name} to begin from, not of both"
            )
        require_same_layers(recipe.model, found.model, found.name)
        recipe, folder = found, path.parent
        chain.append((recipe, folder))
    return chain


def pretraining_text(recipe: Recipe, *, data_folder: Path | None, files_folder: Path) -> Text | None:
    """Learn the tokenizer that a recipe takes over; None if it has its own.

    Raises:
        RecipeError, DataError: as `pretraining_chain`, `load_examples` and `learn_text`.
    """
    chain = pretraining_chain(recipe, files_folder)
    if not chain:
        return None
    first, folder = chain[-1]
    splits = load_examples(first.data, data_folder=data_folder, files_folder=folder)
    if not all(isinstance(example, PlainText | LabelledText) for example in splits.training):
        raise RecipeError(f"recipe {first.name}: {first.data.origin} holds neither plain text nor labelled text")
    return learn_text(first, cast("Splits[Any]", splits))
