"""The published bundles as tests find them: every version below bundles/."""

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.trained import ROOT

PUBLISHED = ROOT / "bundles"


def published_folders() -> list[Path]:
    """Folder of every version, in the order of names. One that holds no bundle is among them, and has to fail."""
    return sorted(path for path in PUBLISHED.glob("*/*") if path.is_dir())


def newest_published(name: str) -> Path:
    """Folder of the newest version of a published model."""
    return max((path for path in published_folders() if path.parent.name == name), key=lambda path: int(path.name))


def each_published_bundle() -> list[ParameterSet]:
    """A parameter for each version's folder."""
    return [pytest.param(folder, id=folder.parent.name) for folder in published_folders()]
