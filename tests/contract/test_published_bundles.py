"""The published bundles are sound, small and complete, can be made again, and are what pages say of them."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.bundle.store import CARD_NAME, WEIGHTS_NAME, OpenedBundle, open_bundle
from tests.published import PUBLISHED, each_published_bundle, published_folders
from tests.trained import ROOT
from training.commands.evaluate import recipe_of
from training.comparison.page import PublishedModel, write_page
from training.comparison.results import Measurement, TrainedModel, read_results
from training.comparison.tables import filled
from training.export.origins import ORIGINS
from training.export.rebuild import PRECISIONS, publish_rebuilt
from training.export.weights import stored_precision
from training.settings.recipe import load_recipe
from training.settings.training import MACHINE_SETTINGS

MODELS = {"en-it", "imdb", "melody", "multi30k-en-de", "names", "pos-tags", "rain-tomorrow", "shakespeare"}
MOST_BYTES = 80_000_000
SECTIONS = (
    *("Model", "Data", "Training", "Licence and attribution", "Scores", "Variants", "Limits", "Known failures"),
    "Recipe",
)


@pytest.fixture(scope="module")
def bundles() -> list[OpenedBundle]:
    return [open_bundle(folder) for folder in published_folders()]


def test_the_published_models_are_those_that_were_promised() -> None:
    assert {folder.parent.name for folder in published_folders()} == MODELS


def test_all_of_them_are_small_enough_to_be_cloned() -> None:
    assert sum(path.stat().st_size for path in PUBLISHED.rglob("*") if path.is_file()) <= MOST_BYTES


@pytest.mark.parametrize("folder", each_published_bundle())
def test_the_service_finds_a_published_bundle_sound(folder: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(folder)])
    assert done.exit_code == 0, done.output
    assert f"{folder.parent.name}@{folder.name} " in done.output
    assert "int8: proven on cpu; 96 answers alone and in a crowd are the same bit for bit" in done.output


@pytest.mark.parametrize("folder", each_published_bundle())
def test_a_published_bundle_serves_int8_and_carries_its_weights_in_float16(folder: Path) -> None:
    assert open_bundle(folder).manifest.default_precision == "int8"
    assert stored_precision(folder / WEIGHTS_NAME) == "fp16"


@pytest.mark.parametrize("folder", each_published_bundle())
def test_a_card_has_every_section_and_the_licence_of_every_corpus(folder: Path) -> None:
    bundle = open_bundle(folder)
    card = bundle.files[CARD_NAME].decode()
    bodies = {title: card.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip() for title in SECTIONS}
    assert [title for title, body in bodies.items() if not body] == []
    model = PublishedModel.of(bundle)
    assert {corpus for corpus, _, _ in model.licences} <= set(ORIGINS)
    assert len(model.licences) >= 1
    _, *terms = bodies["Licence and attribution"].split("\n\n")
    assert set(terms) == {ORIGINS[corpus].terms for corpus, _, _ in model.licences}


@pytest.mark.parametrize("folder", each_published_bundle())
def test_a_card_s_recipe_is_the_project_s(folder: Path) -> None:
    """But for what a machine decides, which makes no other recipe."""
    card = (folder / CARD_NAME).read_text()
    written = json.loads(card.partition("```json\n")[2].partition("\n```")[0])
    own = load_recipe(recipe_of(open_bundle(folder).manifest)).model_dump(mode="json")
    for recipe in (written, own):
        recipe["training"] |= dict.fromkeys(MACHINE_SETTINGS)
    assert written == own


@pytest.mark.parametrize("folder", each_published_bundle())
def test_a_bundle_is_made_again_from_itself_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    published, again = open_bundle(folder), open_bundle(publish_rebuilt(folder, tmp_path))
    recorded = {variant.golden.file for variant in published.manifest.variants.values()}
    files, own = again.manifest.files, published.manifest.files
    assert files.keys() == own.keys()
    assert [name for name in own.keys() - {CARD_NAME} - recorded if files[name] != own[name]] == []


@pytest.mark.parametrize("folder", each_published_bundle())
def test_every_variant_is_made_of_a_bundle_alone_and_proven_on_a_cpu_unless_it_is_for_cuda(
    folder: Path, tmp_path: Path
) -> None:
    again = publish_rebuilt(folder, tmp_path, precisions=PRECISIONS)
    assert open_bundle(again).manifest.variants.keys() == set(PRECISIONS)
    done = CliRunner().invoke(app, ["check", str(again)])
    assert done.exit_code == 0, done.output
    found = dict(line.split(": ", 1) for line in done.output.splitlines() if line.startswith(PRECISIONS))
    assert found["fp32"].startswith("proven on cpu; 96 answers")
    assert found["int8"].startswith("proven on cpu; 96 answers")
    assert found["fp16"] == "not proven on cpu, it is for cuda alone"


@pytest.mark.parametrize("page", ["README.md", "bundles/README.md"])
def test_the_tables_of_models_are_what_the_cards_say(bundles: list[OpenedBundle], page: str) -> None:
    path = ROOT / page
    models = [PublishedModel.of(bundle) for bundle in bundles]
    within = path.parent == PUBLISHED
    assert path.read_text() == filled(path.read_text(), models, within=within), "run: python -m training models"


def test_the_terms_that_every_published_model_is_passed_on_under_are_told() -> None:
    table = (PUBLISHED / "README.md").read_text().partition("| model | passed on under |\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \| \w", table, re.MULTILINE)) == MODELS


def test_the_page_of_models_is_what_the_cards_say(bundles: list[OpenedBundle]) -> None:
    docs = ROOT / "docs"
    others = read_results(docs / "other-models.json", TrainedModel)
    measurements = read_results(docs / "comparisons.json", Measurement)
    page = write_page([PublishedModel.of(bundle).trained for bundle in bundles], others, measurements)
    assert (docs / "models.md").read_text() == page, "run: python -m training models"
