"""Comparisons change one thing at a time, are measured once, and go into a page beside the published models."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.bundle.store import open_bundle
from tests.run_record import run_record
from tests.trained import ROOT
from tests.unit.training.conftest import MakeRecipe
from training.__main__ import main
from training.comparison.page import PublishedModel, write_page
from training.comparison.plan import load_comparison
from training.comparison.results import Begun, Measurement, TrainedModel, read_results, write_results
from training.data.examples import AnySplits
from training.errors import DataError, RecipeError
from training.evaluation.evaluate import evaluate_variants
from training.evaluation.spread import spread
from training.export.bundle import draft_bundle
from training.export.card import write_card
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

TOML = """
title = "Names"
base = "LSTM"
seeds = [1, 2]
[recipe]
name = "compare-names"
version = 1
task = "translation"
seed = 7
data = {files = {format = "tsv", training = "pairs.tsv", validation = "pairs.tsv", test = "pairs.tsv", source = 1,
    target = 2}}
tokenizer = {kind = "characters"}
model = {cell = "lstm", embedding_size = 4, hidden_size = 4, attention = "general"}
training = {epochs = 1, threads = 1}
[rows]
"GRU" = {change = {model = {cell = "gru"}}}
"no attention" = {leave_out = ["model.attention"]}
""".replace("\n    ", " ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "pairs.tsv").write_text("ab\tba\nbc\tcb\n")
    path = tmp_path / "names.toml"
    path.write_text(TOML)
    return path


def measured(row: str, seed: int, value: float) -> Measurement:
    return Measurement(
        comparison="Names",
        row=row,
        seed=seed,
        run_sha256="a" * 64,
        measure="BLEU",
        value=value,
        decimals=1,
        parameter_count=1234,
        seconds=90.0,
        speed=456.0,
        machine="a processor",
    )


def test_a_row_is_the_base_but_for_its_change(path: Path) -> None:
    recipes = load_comparison(path).recipes()
    assert list(recipes) == ["LSTM", "GRU", "no attention"]
    base, gru, none = recipes.values()
    assert gru == base.model_copy(update={"model": base.model.model_copy(update={"cell": "gru"})})
    assert none == base.model_copy(update={"model": base.model.model_copy(update={"attention": None})})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param('cell = "gru"', 'cell = "elman"', "Names, row 'GRU': model.cell: Input should be", id="wrong row"),
        pytest.param(
            "model.attention", "model.pooling", "the recipe has no key 'model.pooling'", id="nothing to leave"
        ),
        pytest.param('base = "LSTM"', 'base = "GRU"', "a row has the name of the base", id="two of one name"),
        pytest.param("seeds", "seed", "unknown key 'seed': did you mean 'seeds'", id="misspelt"),
        pytest.param("[rows]", "[rows", "not valid TOML", id="no TOML"),
    ],
)
def test_a_wrong_comparison_is_an_error(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(TOML.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_comparison(path).recipes()


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "training/comparisons").glob("*.toml")))
def test_the_comparisons_of_the_project_are_sound(name: str) -> None:
    comparison = load_comparison(ROOT / "training/comparisons" / f"{name}.toml")
    assert len(comparison.seeds) == 3
    assert len({recipe.model_dump_json() for recipe in comparison.recipes().values()}) == 1 + len(comparison.rows)


@pytest.fixture
def training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command line: exit code and stdout."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["training", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        code = exit_.value.code
        return code if isinstance(code, int) else 0, capsys.readouterr().out

    return run


def test_each_run_is_measured_once_and_the_page_shows_them(
    path: Path, training: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    arguments = ("compare", str(path), "--results", "results.json", "--runs", "runs")
    code, output = training(*arguments)
    assert (code, len(output.splitlines())) == (0, 6)
    results = read_results(tmp_path / "results.json", Measurement)
    assert [(one.row, one.seed) for one in results] == [
        (row, seed) for seed in (1, 2) for row in ("LSTM", "GRU", "no attention")
    ]
    assert all(one.speed > 0 and one.measure == "BLEU" for one in results)
    assert all(one.begun_time and one.commit for one in results)

    write_results(tmp_path / "results.json", results[:-1])
    code, output = training(*arguments)
    assert (code, len(output.splitlines())) == (0, 1)

    changed = results[0].model_copy(update={"run_sha256": "b" * 64, "value": -1.0})
    write_results(tmp_path / "results.json", [changed, *results[1:]])
    assert training(*arguments)[0] == 0
    assert {one.run_sha256 for one in read_results(tmp_path / "results.json", Measurement)} == {
        one.run_sha256 for one in results
    }, "what was measured of another recipe is replaced"

    code, output = training("models", "--results", "results.json", "--output", "models.md")
    assert (code, output.strip()) == (0, "models.md")
    page = (tmp_path / "models.md").read_text()
    assert "### Names" in page
    assert page.count("| 2 |") == 3


def test_a_table_has_mean_and_deviation_over_seeds() -> None:
    slower = measured("LSTM", 2, 31.0).model_copy(update={"seconds": 92.0, "speed": 3456.0})
    page = write_page([], [], [measured("LSTM", 1, 30.0), slower, measured("GRU", 1, 29.0)])
    assert "| LSTM | 30.5 ± 0.7 | 2 | 1,234 | 91 ± 1 | 1,956 ± 2,121 |" in page
    assert "| GRU | 29.0 | 1 | 1,234 | 90 | 456 |" in page


def test_a_table_says_when_and_at_which_commit_as_far_as_that_is_on_record() -> None:
    page = write_page([], [], [measured("LSTM", 1, 30.0)])
    assert "training compare training/comparisons/*.toml` makes them" in page
    assert "\nOn a processor. When, and at which commit: not recorded.\n" in page
    known = [
        measured("LSTM", seed, 30.0).model_copy(update={"begun_time": time, "commit": commit})
        for seed, time, commit in ((1, "2026-01-02T00:00:00Z", "b2-dirty"), (2, "2026-01-01T00:00:00Z", "a1"))
    ]
    assert (
        "\nOn a processor. Runs began from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z, at commit a1, b2-dirty "
        "(`-dirty`: with changes not committed yet); of 1 of the 3 runs not recorded.\n"
    ) in write_page([], [], [*known, measured("GRU", 1, 29.0)])


def test_a_single_value_has_no_deviation() -> None:
    assert (spread([1.0], 2), spread([1.0, 2.0], 2)) == ("1.00", "1.50 ± 0.71")


def test_a_file_that_holds_no_measurements_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('[{"row": "LSTM"}]')
    with pytest.raises(DataError, match=r"results\.json: 0\.comparison: Field required"):
        read_results(tmp_path / "results.json", Measurement)


def published(folder: Path, recipe: Recipe, splits: AnySplits, *, card: str | None = None) -> PublishedModel:
    draft = draft_bundle(prepare(recipe, splits), run_sha256="a" * 64)
    written = write_card(draft, run_record(recipe, splits, seconds=200.0), evaluate_variants(draft.opened(), splits))
    return PublishedModel.of(open_bundle(draft.publish(card or written, folder)))


@pytest.fixture
def two_seeds(
    make_recipe: MakeRecipe, tiny_splits: dict[str, AnySplits], tmp_path: Path
) -> tuple[TrainedModel, TrainedModel]:
    """Of one recipe."""
    recipe, splits = make_recipe("classification"), tiny_splits["classification"]
    first, second = (
        published(tmp_path / str(seed), recipe.model_copy(update={"seed": seed}), splits) for seed in (1, 2)
    )
    return first.trained, second.trained


def test_the_page_shows_of_a_model_what_its_card_says(two_seeds: tuple[TrainedModel, TrainedModel]) -> None:
    first, second = two_seeds
    page, _, _ = write_page([first], [second], []).partition("## Runs whose cards")
    rows = [line for line in page.splitlines() if line.startswith("| `tiny-classification` 1 |")]
    assert len(rows) == 1
    assert f"| accuracy {first.score[1]} | the commonest label 50.00 |" in rows[0]
    assert "(2) |" in rows[0]
    assert rows[0].endswith("| 3 min |")


def test_a_further_seed_of_a_published_model_is_listed_with_what_its_card_says(
    two_seeds: tuple[TrainedModel, TrainedModel],
) -> None:
    first, second = two_seeds
    page = write_page([first], [second], [])
    rows = page.partition("## Runs whose cards are no part of the project")[2].splitlines()
    (row,) = (row for row in rows if row.startswith("| `tiny"))
    assert row.startswith("| `tiny-classification` 1 | 2 | accuracy: percent of ")
    assert "Runs whose cards" not in write_page([first], [], [])


def test_the_time_of_what_a_model_begins_from_is_read_off_its_card(
    make_recipe: MakeRecipe, tiny_splits: dict[str, AnySplits], tmp_path: Path
) -> None:
    recipe, splits = make_recipe("classification"), tiny_splits["classification"]
    draft, record = draft_bundle(prepare(recipe, splits), run_sha256="a" * 64), run_record(recipe, splits, seconds=50.0)
    other = recipe.model_copy(update={"name": "for-itself"})
    earlier = recipe.model_copy(update={"version": 4})
    begun = [
        (one, run_record(one, splits, seconds=seconds).checkpoint) for one, seconds in ((earlier, 7.0), (other, 600.0))
    ]
    card = write_card(draft, replace(record, pretraining=begun), evaluate_variants(draft.opened(), splits))
    model = PublishedModel.of(open_bundle(draft.publish(card, tmp_path))).trained
    assert model.begins_from == (
        Begun(name=recipe.name, version=4, seconds=7),
        Begun(name="for-itself", seconds=600),
    )
    assert " | 50 s, and 7 s for version 4, and 10 min for `for-itself` |" in write_page([model], [], [])


def test_another_version_is_no_further_seed(
    make_recipe: MakeRecipe, tiny_splits: dict[str, AnySplits], tmp_path: Path
) -> None:
    first = published(tmp_path, make_recipe("classification"), tiny_splits["classification"]).trained
    second = first.model_copy(update={"version": 2, "begins_from": (Begun(name=first.name, version=1, seconds=3600),)})
    page, _, others = write_page([second], [first], []).partition("## Trained, not published")
    assert [line.split(" | ")[3] for line in page.splitlines() if line.startswith(f"| `{first.name}` 2 |")] == ["1"]
    assert " | 3 min, and 60 min for version 1 |" in page
    assert f"| `{first.name}` 1 |" in others


def test_of_what_is_not_published_the_page_tells_how_it_was_measured_and_trained_or_that_nobody_knows(
    make_recipe: MakeRecipe, tiny_splits: dict[str, AnySplits], tmp_path: Path
) -> None:
    recipe, splits = make_recipe("translation"), tiny_splits["translation"]
    second = published(tmp_path, recipe.model_copy(update={"seed": 2}), splits).trained
    before = second.model_copy(update={"seed": 1, "methods": (), "trained": "", "command": ""})
    page = write_page([], [second, before], [])
    rows = [line for line in page.splitlines() if line.startswith("| `tiny-translation` 1 | ")][1:]
    assert rows[0] == "| `tiny-translation` 1 | 1 | not recorded | not recorded | not recorded |"
    assert rows[1].startswith("| `tiny-translation` 1 | 2 | BLEU: sacrebleu nrefs:")
    assert "\\|tok:13a\\|" in rows[1]
    assert rows[1].endswith(
        "| (date not recorded) at commit (not recorded), on (machine not recorded), threads not recorded, float32, "
        "PyTorch not recorded | `SEQSERVE_DATA=DIR python -m training train tiny-translation.toml` |"
    )


def test_pages_with_markers_get_tables_of_the_models_in_bundles(
    make_recipe: MakeRecipe,
    tiny_splits: dict[str, AnySplits],
    training: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    model = published(tmp_path / "bundles", make_recipe("classification"), tiny_splits["classification"])
    score = model.trained.score[1]
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("a\n<!-- models: begin -->\nold\n<!-- models: end -->\nb\n")
    (tmp_path / "bundles" / "README.md").write_text("c\n<!-- licences: begin -->\n<!-- licences: end -->\nd\n")
    assert training("models") == (0, "docs/models.md\nREADME.md\nbundles/README.md\n")
    link, size = "tiny-classification/1/MODEL_CARD.md", f"{model.trained.size_bytes / 1e6:.1f}"
    assert (tmp_path / "README.md").read_text() == (
        "a\n<!-- models: begin -->\n"
        "| model | task, and what it was learnt from | score | without a network | MB |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| [`tiny-classification`](bundles/{link}) | classification: origin not recorded | accuracy {score} "
        f"| the commonest label 50.00 | {size} |\n"
        "<!-- models: end -->\nb\n"
    )
    row = f"| [`tiny-classification`]({link}) | `tiny` | not recorded | not recorded |"
    assert row in (tmp_path / "bundles" / "README.md").read_text().splitlines()


def test_what_further_folders_held_is_kept(
    make_recipe: MakeRecipe, tiny_splits: dict[str, AnySplits], training: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    recipe, splits = make_recipe("classification"), tiny_splits["classification"]
    other = recipe.model_copy(update={"seed": 2})
    third = recipe.model_copy(update={"name": "for-itself"})
    for folder, one in (("bundles", recipe), ("more", other), ("more", third)):
        published(tmp_path / folder, one, splits)
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "models.md"
    assert training("models", "bundles", "more")[0] == 0
    written = page.read_text()
    assert "(2) |" in written
    assert "| `for-itself` 1 |" in written.partition("## Trained, not published")[2]
    assert training("models") == (0, "docs/models.md\n")
    assert page.read_text() == written


def test_models_of_another_folder_leave_the_tables_alone(
    training: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("<!-- models: begin -->\nold\n<!-- models: end -->\n")
    assert training("models", "elsewhere") == (0, "docs/models.md\n")
    assert "old" in (tmp_path / "README.md").read_text()


def test_a_card_without_scores_is_an_error(
    make_recipe: MakeRecipe, tiny_splits: dict[str, AnySplits], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="expected a card with scores"):
        published(tmp_path, make_recipe("classification"), tiny_splits["classification"], card="# nothing")
