"""`evaluate --publish`: a bundle with a new card, and other seeds of the very recipe beside its scores."""

from pathlib import Path

import pytest

from service.bundle.store import open_bundle
from tests.run_record import run_record
from tests.unit.training.quick_recipe import Training, quick_recipe
from training.comparison.page import PublishedModel
from training.comparison.results import write_results
from training.data.load import load_examples
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import draft_bundle
from training.export.card import write_card
from training.preparation.prepare import prepare
from training.preparation.provenance import run_sha256
from training.settings.recipe import load_recipe

BUNDLE = ".build/models/quick/1"


def publish(path: Path, seed: int, repository: Path) -> None:
    """An untrained bundle as a run with this seed would publish it."""
    recipe = load_recipe(path).model_copy(update={"seed": seed})
    splits = load_examples(recipe.data, data_folder=None, files_folder=path.parent)
    draft = draft_bundle(prepare(recipe, splits), run_sha256=run_sha256(recipe, splits))
    evaluations = evaluate_variants(draft.opened(), splits)
    draft.publish(write_card(draft, run_record(recipe, splits), evaluations), repository)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Its bundle is published below .build, and one with seed 2 elsewhere."""
    path = tmp_path / "quick.toml"
    path.write_text(quick_recipe(max_examples=100, epochs=1))
    publish(path, 1, tmp_path / ".build/models")
    publish(path, 2, tmp_path / "second")
    return path


def test_a_bundle_is_published_with_its_scores_and_those_of_another_seed(
    recipe: Path, training: Training, tmp_path: Path
) -> None:
    second = PublishedModel.of(open_bundle(tmp_path / "second/quick/1")).trained
    of_another_recipe = second.model_copy(update={"seed": 3, "recipe_sha256": "b" * 64})
    write_results(tmp_path / "others.json", [second, of_another_recipe])
    arguments = ("evaluate", BUNDLE, "--recipe", str(recipe), "--publish", "new", "--others", "others.json")
    code, output, errors = training(*arguments)
    assert (code, errors) == (0, "")
    assert output.splitlines()[-1] == "published new/quick/1"
    card = (tmp_path / "new/quick/1/MODEL_CARD.md").read_text()
    assert "Run 2 times, with seeds 1 and 2; this is seed 1." in card

    code, _, errors = training(*arguments)
    assert code == 2
    assert "cannot publish quick 1" in errors


def test_a_bundle_of_another_seed_than_the_recipe_s_is_no_other_recipe(
    recipe: Path, training: Training, tmp_path: Path
) -> None:
    code, _, errors = training("evaluate", "second/quick/1", "--recipe", str(recipe), "--publish", "new")
    assert (code, errors) == (0, "")
    card = (tmp_path / "new/quick/1/MODEL_CARD.md").read_text()
    assert "One run, seed 2; no other seed of it is on record." in card
    assert '"seed": 2' in card


def test_what_the_card_is_not_about_is_refused_before_anything_is_measured(recipe: Path, training: Training) -> None:
    code, output, errors = training("evaluate", BUNDLE, "--recipe", str(recipe), "--publish", "new", "--beam-size", "2")
    assert (code, output) == (2, "")
    assert "leave out --beam-size" in errors

    recipe.write_text(quick_recipe(max_examples=100, epochs=2))
    code, output, errors = training("evaluate", BUNDLE, "--recipe", str(recipe), "--publish", "new")
    assert (code, output, len(errors.splitlines())) == (2, "", 1)
    assert "made from another recipe or other data" in errors
