"""The published bundles as tests find them: every version below bundles/. Until the first is there, tests say so."""

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.trained import ROOT

PUBLISHED = ROOT / "bundles"
NONE_YET = "bundles/ holds no bundle yet: they are put there once, with the final models"


def published_folders() -> list[Path]:
    """Folder of every version, in the order of names. One that holds no bundle is among them, and has to fail."""
    return sorted(path for path in PUBLISHED.glob("*/*") if path.is_dir())


def nothing_is_published() -> bool:
    """Whether not even a folder of a model is there."""
    return not any(path.is_dir() for path in PUBLISHED.glob("*"))


def each_published_bundle() -> list[ParameterSet]:
    """A parameter for each version's folder; one that is skipped where there is none."""
    if nothing_is_published():
        return [pytest.param(None, id="none", marks=pytest.mark.skip(NONE_YET))]
    return [pytest.param(folder, id=folder.parent.name) for folder in published_folders()]


needs_bundles = pytest.mark.skipif(nothing_is_published(), reason=NONE_YET)
