"""The README's tree is the tree, and its Python example runs."""

import re
from pathlib import Path

import pytest

from tests.trained import ROOT

PACKAGES = ("seqserve", "service", "training", "tests")
UNLISTED = {"__pycache__", "unit"}


def listed_paths() -> set[Path]:
    """Every path of the tree, folders by their indentation."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    block = next(block for block in blocks if "app.py" in block)
    found, folder = set(), Path()
    for line in block.splitlines():
        name = line.split()[0]
        if line.startswith("  "):
            found.add(folder / name)
        else:
            folder = Path(name)
            found.add(folder)
    return found


def test_everything_in_the_readme_tree_exists() -> None:
    missing = [str(path) for path in sorted(listed_paths()) if not (ROOT / path).exists()]
    assert missing == []


def test_every_tracked_top_level_name_and_every_subpackage_is_in_the_readme_tree() -> None:
    ignored = set((ROOT / ".gitignore").read_text().replace("/", "").split())
    ignored |= {".git", ".gitignore", ".gitattributes", ".dockerignore"}
    top = {
        Path(path.name) for path in ROOT.iterdir() if path.name not in ignored and not path.name.endswith(".egg-info")
    }
    below = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).iterdir()
        if path.is_dir() and path.name not in UNLISTED
    }
    assert sorted(map(str, (top | below) - listed_paths())) == []


@pytest.mark.parametrize("package", ["service", "training"])
def test_every_module_at_the_top_of_a_half_is_in_the_readme_tree(package: str) -> None:
    modules = {Path(package) / path.name for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"}
    assert sorted(map(str, modules - listed_paths())) == []
