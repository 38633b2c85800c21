"""What the tests of reports share: tiny trained tasks with their bundles, and pictures decoded."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.image import imread
from rich.progress import Progress

from training.data.examples import AnySplits
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.preparation.provenance import run_sha256
from training.reporting.findings import Findings
from training.run.loop import train
from training.settings.recipe import Recipe

FindingsOf = Callable[..., Findings]


@pytest.fixture(scope="session")
def train_tiny(make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> FindingsOf:
    """Trains a tiny task on splits, exports it, scores the bundle; settings as of `make_recipe`."""

    def make(task: str, splits: AnySplits, **changes: dict[str, Any]) -> Findings:
        recipe = make_recipe(task, **changes)
        prepared, sha256 = prepare(recipe, splits), run_sha256(recipe, splits)
        with Progress(disable=True) as progress:
            outcome = train(prepared, tmp_path_factory.mktemp("run"), run_sha256=sha256, progress=progress)
        bundle = draft_bundle(prepared, run_sha256=sha256).opened()
        return Findings(prepared, splits, outcome, bundle, evaluate_variants(bundle, splits))

    return make


@pytest.fixture(scope="session")
def findings_of(train_tiny: FindingsOf, tiny_splits: Mapping[str, AnySplits]) -> Callable[[str, str], Findings]:
    """Findings of a task and a cell, on the tiny splits; trained once."""
    known: dict[tuple[str, str], Findings] = {}

    def find(task: str, cell: str = "lstm") -> Findings:
        if (task, cell) not in known:
            model = {"cell": cell} | ({"attention": "general"} if task == "translation" else {})
            known[task, cell] = train_tiny(task, tiny_splits[task], model=model)
        return known[task, cell]

    return find


@pytest.fixture
def decode_png() -> Callable[[bytes], npt.NDArray[np.float32]]:
    """Pixels [height, width, channels] of a PNG."""

    def decode(png: bytes) -> npt.NDArray[np.float32]:
        return np.asarray(imread(io.BytesIO(png), format="png"), dtype=np.float32)

    return decode
