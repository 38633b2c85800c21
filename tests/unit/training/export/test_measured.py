"""A bundle's card is brought up to date by what was measured; nothing else of the bundle changes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.bundle.store import OpenedBundle, open_bundle
from tests.run_record import run_record
from training.data.examples import AnySplits
from training.errors import ExportError
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import draft_bundle
from training.export.card import TERMS, write_card
from training.export.measured import Measured, publish_measured, with_measurements
from training.export.rebuild import publish_rebuilt
from training.export.sections.scores import OtherRun
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

CARD = "MODEL_CARD.md"


@pytest.fixture
def published(make_recipe: Callable[..., Recipe], tiny_splits: Mapping[str, AnySplits], tmp_path: Path) -> OpenedBundle:
    """An untrained classifier, with its weights."""
    recipe, splits = asked(make_recipe), tiny_splits["classification"]
    draft = draft_bundle(prepare(recipe, splits), run_sha256="a" * 64)
    card = write_card(draft, run_record(recipe, splits), evaluate_variants(draft.opened(), splits))
    return open_bundle(draft.publish(card, tmp_path / "models"))


@pytest.fixture
def measured(
    published: OpenedBundle, make_recipe: Callable[..., Recipe], tiny_splits: Mapping[str, AnySplits]
) -> Measured:
    recipe, splits = asked(make_recipe), tiny_splits["classification"]
    return Measured(recipe, splits, evaluate_variants(published, splits), [OtherRun(9, {"accuracy": "50.00"})])


def asked(make_recipe: Callable[..., Recipe]) -> Recipe:
    return make_recipe("classification", export={"precisions": ["fp32", "int8"], "weights": "fp16"})


def sections(card: str) -> dict[str, str]:
    return dict(re.findall(r"^## (.*?)\n\n(.*?)(?=\n\n## |\Z)", card, re.DOTALL | re.MULTILINE))


def test_everything_but_the_card_is_published_as_it_was(
    published: OpenedBundle, measured: Measured, tmp_path: Path
) -> None:
    again = open_bundle(publish_measured(published, measured, tmp_path / "other"))
    assert list(again.manifest.files) == list(published.manifest.files)
    same = {name: entry for name, entry in published.manifest.files.items() if name != CARD}
    assert {name: entry for name, entry in again.manifest.files.items() if name != CARD} == same
    assert again.manifest.model_copy(update={"files": {}}) == published.manifest.model_copy(update={"files": {}})


def test_the_card_has_the_new_scores_and_keeps_what_is_of_the_run(published: OpenedBundle, measured: Measured) -> None:
    before = published.files[CARD].decode()
    known = "- Trained on (date not recorded)"
    older = before.replace(known, "- Trained on a day").replace("accuracy | fp32 | ", "accuracy | fp32 | 1")
    older = older.replace("; no validation or test", "; none").replace('"seed": 3', '"seed": 4')
    older = older.replace("Every text gets one of its", "Each has one of").replace("licence: ", "licence: once ")
    now, then = sections(with_measurements(older, published.manifest, measured)), sections(older)
    assert now.keys() == then.keys()
    assert {title for title in now if now[title] != then[title]} == {"Data", TERMS, "Scores", "Limits", "Recipe"}
    assert {title for title in now if now[title] != sections(before)[title]} == {"Training", "Scores"}
    assert "with seeds 3 and 9; this is seed 3" in now["Scores"]


def test_the_card_has_what_the_recipe_notes_by_now(published: OpenedBundle, measured: Measured) -> None:
    settings = measured.recipe.evaluation.model_copy(update={"notes": ["Ask so."]})
    noted = replace(measured, recipe=measured.recipe.model_copy(update={"evaluation": settings}))
    card = with_measurements(published.files[CARD].decode(), published.manifest, noted)
    assert sections(card)["Limits"].endswith("\n\nAsk so.")
    assert '"Ask so."' in sections(card)["Recipe"]


def test_scores_of_a_bundle_that_was_exported_anew_become_its_own(
    published: OpenedBundle, measured: Measured, tmp_path: Path
) -> None:
    again = open_bundle(publish_rebuilt(published.path, tmp_path / "other", precisions=["fp16"], version=2))
    before = again.files[CARD].decode()
    assert "below are those of tiny-classification@1\n- Not measured: fp16\n" in before
    anew = replace(measured, evaluations=evaluate_variants(again, measured.splits))
    card = with_measurements(before, again.manifest, anew)
    assert "## Scores\n" in card
    assert "| accuracy | fp16 | " in card
    assert "those of tiny-classification@1" not in card
    assert "Not measured" not in card
    assert "golden runs were made anew\n" in card


def test_a_version_that_is_there_stays(published: OpenedBundle, measured: Measured, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="exists already"):
        publish_measured(published, measured, tmp_path / "models")
