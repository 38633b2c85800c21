"""The sample models, trained as `make models` does; reused when they are there."""

import subprocess
import sys
from functools import cache
from pathlib import Path

from service.bundle.store import OpenedBundle
from training.export.bundle import draft_bundle
from training.pipeline import open_run, restore_run
from training.settings.recipe import ExportSettings, load_recipe

ROOT = Path(__file__).parent.parent
MODELS, RUNS = ROOT / ".build" / "models", ROOT / ".build" / "runs"


@cache
def trained_models() -> Path:
    """The repository of trained sample models. Training takes minutes the first time, seconds to see it is done."""
    recipes = sorted(str(path) for path in (ROOT / "training" / "recipes").glob("sample-*.toml"))
    command = [sys.executable, "-m", "training", "train", "--runs", str(RUNS), *recipes]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return MODELS


def trained_bundle(name: str) -> Path:
    """Folder of the newest version of a trained sample model."""
    versions = [path for path in (trained_models() / name).iterdir() if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name))


def exported_in_both(name: str) -> OpenedBundle:
    """A trained sample model, exported anew in fp32 and in int8. It is trained already."""
    recipe = load_recipe(ROOT / "training" / "recipes" / f"{name}.toml")
    wanted = recipe.model_copy(update={"export": ExportSettings(precisions=["fp32", "int8"])})
    run = open_run(wanted, runs=RUNS, data_folder=None, files_folder=ROOT)
    task, _ = restore_run(run)
    return draft_bundle(task, run_sha256=run.sha256).opened()
