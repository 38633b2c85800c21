"""The sample models, trained as `make models` does; reused when they are there."""

import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODELS = ROOT / ".build" / "models"


@cache
def trained_models() -> Path:
    """The repository of trained sample models. Training takes minutes the first time, seconds to see it is done."""
    recipes = sorted(str(path) for path in (ROOT / "training" / "recipes").glob("sample-*.toml"))
    command = [sys.executable, "-m", "training", "train", *recipes]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return MODELS


def trained_bundle(name: str) -> Path:
    """Folder of the newest version of a trained sample model."""
    versions = [path for path in (trained_models() / name).iterdir() if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name))
