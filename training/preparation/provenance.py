"""What a run is made from, as one number: the recipe and the examples.   The same number, the same model."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from training.data.examples import AnySplits
from training.settings.recipe import Recipe, load_recipe
from training.settings.training import MACHINE_SETTINGS

OWN_RECIPES = Path(__file__).parents[1] / "recipes"


def data_sha256(splits: AnySplits) -> str:
    """Return the SHA-256 of all examples in order, split by split, as JSON lines. Where they were read is left out."""
    digest = hashlib.sha256()
    for name in ("training", "validation", "test"):
        digest.update(f"{name}\n".encode())
        for example in getattr(splits, name):
            content = {key: value for key, value in vars(example).items() if key != "origin"}
            digest.update(json.dumps(content, ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def run_sha256(recipe: Recipe, splits: AnySplits, *, pretraining: str | None = None) -> str:
    """Return the SHA-256 of the recipe, every default written out, and of the examples.

    Comments and order in the TOML file do not count, nor do `[export]` and `[evaluation]`, which change no weight, nor
    what `[training]` says of the machine (`MACHINE_SETTINGS`); a setting given on the command line does.

    Args:
        recipe: of the run.
        splits: its examples.
        pretraining: the same number of the run whose weights it begins from.
    """
    written = recipe.model_dump_json(exclude={"evaluation": True, "export": True, "training": set(MACHINE_SETTINGS)})
    lines = [written, data_sha256(splits), *([pretraining] if pretraining else [])]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def own_recipe(name: str, version: int) -> Path | None:
    """Find a recipe among those that come with the project; several versions of one name have files of their own."""
    found = (path for path in sorted(OWN_RECIPES.glob("*.toml")) if path.stem.startswith(name))
    return next((path for path in found if _is_of(load_recipe(path), name, version)), None)


def _is_of(recipe: Recipe, name: str, version: int) -> bool:
    return (recipe.name, recipe.version) == (name, version)


def source_commit() -> str:
    """Return the commit of the checkout that this code is in, or `unknown` outside of one.

    `-dirty` behind it says that code or recipes were changed since.
    """
    git = shutil.which("git")
    if git is None:
        return "unknown"
    root = Path(__file__).parents[2]
    found = _git(git, root, "rev-parse", "HEAD")
    changed = _git(git, root, "diff", "--quiet", "HEAD", "--", "service", "training").returncode == 1
    return "unknown" if found.returncode else found.stdout.strip() + "-dirty" * changed


def _git(git: str, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [git, "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no outside input
