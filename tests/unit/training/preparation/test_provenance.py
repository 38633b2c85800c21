"""What counts as the same run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import pytest

from training.data.examples import AnySplits, PlainText, Splits
from training.preparation.provenance import data_sha256, own_recipe, run_sha256
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]


def test_recipe_and_data_decide_the_run(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    tunes = cast("Splits[PlainText]", tiny_splits["generation"])
    recipe = make_recipe("generation")
    shorter = replace(tunes, training=tunes.training[1:])
    hashes = {
        run_sha256(recipe, tunes),
        run_sha256(make_recipe("generation", training={"epochs": 3}), tunes),
        run_sha256(recipe, shorter),
    }
    assert len(hashes) == 3
    assert run_sha256(make_recipe("generation"), tunes) in hashes


def test_moving_an_example_to_another_split_changes_the_data(tiny_splits: Tiny) -> None:
    tunes = cast("Splits[PlainText]", tiny_splits["generation"])
    moved = Splits(tunes.training[:-1], (tunes.training[-1], *tunes.validation), tunes.test)
    assert data_sha256(moved) != data_sha256(tunes)


def test_what_the_machine_decides_is_not_part_of_the_run(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    tunes = tiny_splits["generation"]
    other = make_recipe("generation", training={"threads": 7, "checkpoint_steps": 3, "checkpoint_minutes": 1.0})
    assert run_sha256(other, tunes) == run_sha256(make_recipe("generation"), tunes)


def test_what_is_exported_and_scored_is_not_part_of_the_run(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    tunes = tiny_splits["generation"]
    export = {"precisions": ["fp32", "int8"], "default": "int8"}
    both = make_recipe("generation", export=export, evaluation={"corpora": ["irish-abc"]})
    assert run_sha256(both, tunes) == run_sha256(make_recipe("generation"), tunes)


@pytest.mark.parametrize(
    ("name", "version", "file"),
    [
        pytest.param("en-it", 1, "en-it-first.toml", id="the first version"),
        pytest.param("en-it", 2, "en-it.toml", id="the second"),
        pytest.param("en-it", 99, None, id="one that never was"),
        pytest.param("nobody", 1, None, id="somebody else's"),
    ],
)
def test_a_recipe_of_the_project_is_found_by_name_and_version(name: str, version: int, file: str | None) -> None:
    found = own_recipe(name, version)
    assert (None if found is None else found.name) == file
