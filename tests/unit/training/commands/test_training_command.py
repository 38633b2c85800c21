"""The command line, as a user runs it."""

import os
import re
import signal
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import tiny_bundle
from tests.unit.training.quick_recipe import Training, quick_recipe
from training import pipeline
from training.commands.arguments import default_runs
from training.commands.evaluate import recipe_of
from training.optimization.updates import Learner
from training.tasks.classification import ClassificationTask

RECIPE = quick_recipe()


CACHE = "seqserve/runs in the user's cache"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(
    ("verb", "defaults"),
    [
        pytest.param("export", ["its own", "its own", CACHE], id="export"),
        pytest.param("evaluate", ["the bundle's own"], id="evaluate"),
        pytest.param("report", ["a test example", CACHE], id="report"),
    ],
)
def test_help_says_what_is_taken_where_nothing_is_given(
    verb: str, defaults: list[str], training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, output, _ = training(verb, "--help")
    assert re.findall(r"\[default: \(([^)]*)\)\]", output) == defaults


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        pytest.param({"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere", id="where the user's cache is"),
        pytest.param({}, "/home/ada/.cache", id="where caches are"),
        pytest.param({"XDG_CACHE_HOME": "here"}, "/home/ada/.cache", id="never below where one stands"),
    ],
)
def test_checkpoints_go_to_the_users_cache(
    environment: dict[str, str], cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_runs() == Path(cache, "seqserve/runs")


def test_train_publishes_reports_skips_evaluates_and_draws(recipe: Path, training: Training, tmp_path: Path) -> None:
    code, output, errors = training("train", str(recipe), "--max-epochs", "1")
    assert (code, errors.count("validation accuracy")) == (0, 1)
    assert "accuracy of the commonest label 50.00" in output
    assert (tmp_path / ".build/models/quick/1/manifest.json").is_file()
    report = tmp_path / output.splitlines()[-1].removeprefix("quick: report ")
    assert report.name == "report.html"
    assert report.parent.parent == tmp_path / "runs"
    assert [path.name.startswith("events.out.tfevents") for path in report.parent.glob("events.*")] == [True]

    written = report.read_text()
    report.unlink()
    code, output, _ = training("report", str(recipe), "--max-epochs", "1", "--text", "a good film")
    assert (code, tmp_path / output.strip()) == (0, report)
    assert "a good film" in report.read_text()
    assert "a good film" not in written

    code, output, _ = training("train", str(recipe), "--max-epochs", "1")
    assert code == 0
    assert "nothing to do" in output

    code, output, errors = training("evaluate", ".build/models/quick/1", "--recipe", str(recipe))
    assert code == 0
    assert "quick@1: accuracy" in output
    assert "not those the bundle was made from" in errors
    assert "--max-epochs" in errors

    code, _, _ = training("gates", str(recipe), "a good film", "--output", "g.png", "--max-epochs", "1")
    assert code == 0
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")

    code, output, _ = training("export", str(recipe), "--max-epochs", "1", "--models", "other")
    assert code == 0
    assert (tmp_path / "other/quick/1/manifest.json").is_file()

    code, _, errors = training("train", str(recipe))
    assert code == 2
    assert "made from another recipe or other data" in errors


def test_evaluate_warns_of_another_recipe_or_other_data_and_asks_for_a_recipe_it_cannot_find(
    recipe: Path, training: Training
) -> None:
    assert training("train", str(recipe))[0] == 0
    bundle = ".build/models/quick/1"
    code, _, errors = training("evaluate", bundle, "--recipe", str(recipe))
    assert (code, errors) == (0, "")

    recipe.write_text(RECIPE.replace("seed = 1", "seed = 2"))
    code, output, errors = training("evaluate", bundle, "--recipe", str(recipe))
    assert (code, len(errors.splitlines())) == (0, 1)
    assert "quick@1: accuracy" in output
    said = re.fullmatch(r"warning: .* \(SHA-256 (\w{8}), the bundle's (\w{8})\); .*\n", errors)
    assert said is not None
    assert said[1] != said[2]

    code, output, errors = training("evaluate", bundle)
    assert (code, output, len(errors.splitlines())) == (2, "", 1)
    assert "is of recipe 'quick'" in errors
    assert "--recipe" in errors


@pytest.mark.parametrize(
    ("version", "file"),
    [
        pytest.param(1, "en-it-first.toml", id="of its version"),
        pytest.param(2, "en-it.toml", id="of the newest"),
        pytest.param(9, "en-it.toml", id="exported anew from another, under a version of its own"),
    ],
)
def test_the_recipe_of_a_bundle_is_found_by_version_or_else_by_name(version: int, file: str) -> None:
    manifest, _ = tiny_bundle("translation")
    producer = manifest.producer.model_copy(update={"recipe": "en-it"})
    assert recipe_of(manifest.model_copy(update={"producer": producer, "version": version})).name == file


def test_export_makes_other_variants_of_a_bundle_alone(recipe: Path, training: Training, tmp_path: Path) -> None:
    recipe.write_text(RECIPE + 'export = {weights = "fp16"}\n')
    assert training("train", str(recipe), "--max-epochs", "1")[0] == 0
    recipe.unlink()
    published = tmp_path / ".build/models/quick/1"
    arguments = ["export", "--from-bundle", str(published)]

    code, output, _ = training(*arguments, "--models", "again")
    assert (code, output) == (0, f"{published}: published again/quick/1\n")
    graph = "classifier.fp32.onnx"
    assert (tmp_path / "again/quick/1" / graph).read_bytes() == (published / graph).read_bytes()

    code, _, _ = training(*arguments, "--precisions", "int8,fp16", "--version", "2")
    assert code == 0
    assert {path.name for path in (tmp_path / ".build/models/quick/2").glob("*.onnx")} == {
        "classifier.int8.onnx",
        "classifier.fp16.onnx",
    }

    for refused, complaint in (
        (["--precisions", "fp8"], "precision 'fp8' is unknown: expected some of fp32,int8,fp16"),
        ([], "exists already"),
        (["int8"], "export takes RECIPE.toml alone, or --from-bundle"),
    ):
        code, output, errors = training(*arguments, *refused)
        assert (code, output, len(errors.splitlines())) == (2, "", 1)
        assert complaint in errors


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["train", "missing.toml"], "missing.toml: cannot be read", id="no such recipe"),
        pytest.param(["train", "misspelt.toml"], "misspelt.toml: training: unknown key", id="unknown setting"),
        pytest.param(["train", "real.toml"], "SEQSERVE_DATA", id="real corpus, no folder named"),
        pytest.param(["export", "quick.toml"], "train the recipe first", id="export before training"),
        pytest.param(["export"], "export takes RECIPE.toml alone, or --from-bundle", id="export of nothing"),
        pytest.param(["export", "quick.toml", "--precisions", "int8"], "export takes RECIPE", id="recipe, precisions"),
        pytest.param(["export", "--from-bundle", "nowhere/quick/1"], "is not a folder", id="export of no bundle"),
        pytest.param(["export", "--from-bundle", "b", "--runs", "r"], "--runs goes with", id="bundle, runs"),
        pytest.param(["export", "--from-bundle", "b", "--data", "d"], "--data goes with", id="bundle, data"),
        pytest.param(["export", "--from-bundle", "b", "--max-epochs", "1"], "--max-epochs goes", id="bundle, epochs"),
        pytest.param(["gates", "quick.toml", "a film", "--output", "g.png"], "train the recipe", id="gates too early"),
        pytest.param(["report", "quick.toml"], "train the recipe", id="report too early"),
        pytest.param(["train", "quick.toml", "--mlflow", "sqlite:///x.db"], "mlflow-skinny", id="no MLflow"),
        pytest.param(["evaluate", "nowhere/quick/1"], "is not a folder", id="no such bundle"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    recipe: Path,
    training: Training,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (tmp_path / "misspelt.toml").write_text(RECIPE.replace("epochs", "epoch"))
    (tmp_path / "real.toml").write_text(RECIPE.replace("sample-reviews", "sst2-stsa"))
    code, output, errors = training(*arguments)
    assert code == 2
    assert not output
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
    assert complaint in errors


def test_the_data_folder_is_read_from_the_environment(
    recipe: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQSERVE_DATA", "somewhere")
    recipe.write_text(RECIPE.replace("sample-reviews", "sst2-stsa"))
    code, _, errors = training("train", str(recipe))
    assert code == 2
    assert "somewhere/sst2-stsa" in errors


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Press Ctrl-C when a function is called for the so-many-th time."""
    original, calls = getattr(owner, name), [0]

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, name, wrapper)


NOTHING_YET = "the same command begins anew"


@pytest.mark.parametrize(
    ("owner", "name", "call", "kept"),
    [
        pytest.param(pipeline, "load_examples", 1, f"nothing was trained yet, {NOTHING_YET}", id="data"),
        pytest.param(pipeline, "prepare", 1, f"holds no checkpoint yet; {NOTHING_YET}", id="preparing"),
        pytest.param(Learner, "update", 2, f"holds no checkpoint yet; {NOTHING_YET}", id="first epoch"),
        pytest.param(Learner, "update", 5, "last.pt keeps 1 of 2 epochs and 3 updates", id="training"),
        pytest.param(ClassificationTask, "validate", 2, "last.pt keeps 1 of 2 epochs and 3 updates", id="validation"),
        pytest.param(os, "fsync", 4, "last.pt keeps 1 of 2 epochs and 3 updates", id="saving"),
        pytest.param(pipeline, "draft_bundle", 1, "last.pt keeps 2 of 2 epochs and 6 updates", id="export"),
        pytest.param(pipeline, "evaluate_variants", 1, "last.pt keeps 2 of 2 epochs", id="evaluation"),
    ],
)
def test_ctrl_c_in_any_phase_is_one_line_that_says_what_is_kept_and_the_run_goes_on(
    recipe: Path, training: Training, tmp_path: Path, owner: object, name: str, call: int, kept: str
) -> None:
    with pytest.MonkeyPatch.context() as patches:
        interrupt(patches, owner, name, call)
        code, output, errors = training("train", str(recipe), "--max-epochs", "2")
    said = [line for line in errors.splitlines() if not line.startswith("quick epoch")]
    assert (code, output) == (130, "")
    assert len(said) == 1, errors
    assert said[0].startswith("stopped: ")
    assert kept in said[0]
    assert "the same command" in said[0]
    assert not list(tmp_path.glob("**/*.new"))
    code, _, errors = training("train", str(recipe), "--max-epochs", "2")
    assert (code, errors.count("quick epoch")) == (0, 2 - kept.count("1 of 2") - 2 * kept.count("2 of 2"))
    assert (tmp_path / ".build/models/quick/1/manifest.json").is_file()


def test_ctrl_c_in_another_verb_is_one_line_too(
    recipe: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.commands.evaluate.open_bundle", lambda _: signal.raise_signal(signal.SIGINT))
    code, _, errors = training("evaluate", ".build/models/quick/1")
    assert (code, errors.splitlines()) == (130, ["stopped"])


class PressesCtrlC(MetaPathFinder):
    """Somebody loses patience while the command is being loaded."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "training.commands.app":
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_libraries_are_loaded_is_one_line_too(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "training.commands.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [PressesCtrlC(), *sys.meta_path])
    assert training("train", "quick.toml") == (130, "", "stopped: nothing was read yet\n")


def test_a_checkpoint_of_another_recipe_is_named_with_what_was_expected(
    recipe: Path, training: Training, tmp_path: Path
) -> None:
    assert training("train", str(recipe), "--max-epochs", "1")[0] == 0
    (run,) = (tmp_path / "runs").iterdir()
    recipe.write_text(RECIPE.replace("hidden_size = 8", "hidden_size = 9"))
    training("export", str(recipe), "--max-epochs", "1", "--models", "other")  # names the folder it looks into
    other = run.with_name("other")
    run.rename(other)
    code, _, errors = training("export", str(recipe), "--max-epochs", "1", "--models", "other")
    wanted = Path(errors.removeprefix("error: ").split(": ")[0])
    wanted.parent.mkdir()
    (other / "last.pt").rename(wanted)
    code, _, errors = training("train", str(recipe), "--max-epochs", "1", "--models", "other")
    assert code == 2
    assert str(wanted) in errors
    assert f"made from another recipe or other data (run {run.name[-8:]}, expected {wanted.parent.name[-8:]})" in errors
    assert len(errors.splitlines()) == 1


def test_what_goes_to_no_terminal_is_one_line_per_epoch(recipe: Path, training: Training) -> None:
    name = "quick-" + "x" * 50
    recipe.write_text(RECIPE.replace('"quick"', f'"{name}"'))
    code, _, errors = training("train", str(recipe), "--max-epochs", "2")
    assert code == 0
    assert [line.partition(": loss ")[0] for line in errors.splitlines()] == [f"{name} epoch {n}/2" for n in (1, 2)]
    assert errors.replace("\n", "").isprintable()


def test_another_seed_is_another_run(recipe: Path, training: Training) -> None:
    for seed in ("1", "2"):
        code, _, _ = training("train", str(recipe), "--max-epochs", "1", "--seed", seed, "--models", f"models-{seed}")
        assert code == 0
    assert len(list(Path("runs").iterdir())) == 2
    cards = [Path(f"models-{seed}/quick/1/MODEL_CARD.md").read_text() for seed in "12"]
    assert [re.findall(r"seed (\d)", card) for card in cards] == [["1", "1"], ["2", "2"]]
    trained = (
        r"\n- Trained on 20.*Z at commit \w+(-dirty)?, on .* cores, 1 thread, float32, PyTorch 2.*\n- 1 epochs in \d+ s"
    )
    assert all(re.search(trained, card) for card in cards)
    assert all(re.search(r"\n- Exported on 20.*Z at commit \w+(-dirty)?, with PyTorch 2", card) for card in cards)
    assert all("`python -m training train quick.toml`" in card for card in cards)
