"""Every task asks two readings of a batch to agree, where its recipe says so."""

from collections.abc import Callable, Mapping

import pytest
import torch

from training.data.examples import AnySplits
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]


@pytest.fixture
def loss_of(make_recipe: MakeRecipe, tiny_splits: Tiny) -> Callable[[str, float, float], float]:
    """The loss of a batch that is read twice, by task, consistency and dropout; the masks are always the same."""

    def loss_of(task: str, consistency: float, dropout: float) -> float:
        windows = {"windows": {"token_count": 8}} if task == "windows" else {}
        kind = "generation" if windows else task
        recipe = make_recipe(kind, model={"dropout": dropout}, training={"consistency": consistency}, **windows)
        own = prepare(recipe, tiny_splits[kind])
        own.model.train()
        torch.manual_seed(1)
        return own.loss(next(own.batches(1)).twice()).total.item()

    return loss_of


@pytest.mark.parametrize("task", ["classification", "generation", "windows", "labelling", "readings", "translation"])
def test_readings_through_different_masks_cost_what_they_differ_by(
    loss_of: Callable[[str, float, float], float], task: str
) -> None:
    assert loss_of(task, 0.0, 0.5) < loss_of(task, 50.0, 0.5) < loss_of(task, 100.0, 0.5)
    assert loss_of(task, 100.0, 0.0) == pytest.approx(loss_of(task, 0.0, 0.0), rel=1e-6)


def test_a_recipe_that_does_not_ask_for_it_keeps_the_number_of_its_run(make_recipe: MakeRecipe) -> None:
    assert "consistency" not in make_recipe("classification").model_dump_json()
    assert "consistency" in make_recipe("classification", training={"consistency": 1.0}).model_dump_json()
