"""Every kind of bundle can be timed on its own examples, and on no others."""

import pytest

from tests.unit.training.conftest import MakeRecipe
from training.data.examples import AnySplits
from training.errors import DataError
from training.evaluation.speed import measure_speed
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare

Tiny = dict[str, AnySplits]
TASKS = ["classification", "generation", "labelling", "readings", "translation"]


@pytest.mark.parametrize("task", TASKS)
def test_a_bundle_of_every_task_is_timed(make_recipe: MakeRecipe, tiny_splits: Tiny, task: str) -> None:
    bundle = draft_bundle(prepare(make_recipe(task), tiny_splits[task]), run_sha256="a" * 64).opened()
    assert measure_speed(bundle, tiny_splits[task]) > 1


def test_examples_of_another_task_are_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    bundle = draft_bundle(
        prepare(make_recipe("classification"), tiny_splits["classification"]), run_sha256="a" * 64
    ).opened()
    with pytest.raises(DataError, match="no test examples for this bundle"):
        measure_speed(bundle, tiny_splits["translation"])
