"""A training that lasts takes no more memory than one that is short."""

import gc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress

from training.data.examples import AnySplits
from training.preparation.prepare import prepare
from training.run.checkpoint import Epoch
from training.run.loop import train
from training.settings.recipe import Recipe

EPOCHS, WARM = 8, 3
BLOCKS_PER_EPOCH = 60
"""Pieces of memory that Python may keep of an epoch: its record, and what the interpreter caches. A batch has about
ten, and there are many."""
CASES = [
    pytest.param("classification", {}, id="classification"),
    pytest.param("generation", {}, id="generation"),
    pytest.param("generation", {"windows": {"token_count": 8}}, id="generation in windows, a state carried"),
    pytest.param("labelling", {}, id="labelling"),
    pytest.param("translation", {"model": {"attention": "general"}}, id="translation"),
]


class Meter:
    """Notes at the end of each epoch what is in memory."""

    def __init__(self) -> None:
        self.tensors: list[int] = []
        self.blocks: list[int] = []

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """Nothing."""

    def on_epoch(self, _epoch: Epoch) -> None:
        """Count what no garbage collection frees."""
        gc.collect()
        self.tensors.append(sum(one.numel() for one in gc.get_objects() if issubclass(type(one), torch.Tensor)))
        self.blocks.append(sys.getallocatedblocks())


@pytest.mark.parametrize(("task", "changes"), CASES)
def test_memory_stays_flat_over_epochs(
    make_recipe: Callable[..., Recipe],
    tiny_splits: Mapping[str, AnySplits],
    tmp_path: Path,
    task: str,
    changes: dict[str, dict[str, Any]],
) -> None:
    settings = {
        "epochs": EPOCHS,
        "patience": EPOCHS,
        "batch_tokens": 8,
        "averaging": {"kind": "exponential", "decay": 0.9},
    }
    recipe, meter = make_recipe(task, training=settings, **changes), Meter()
    with Progress(disable=True) as progress:
        train(prepare(recipe, tiny_splits[task]), tmp_path, run_sha256="a", progress=progress, observers=[meter])
    assert len(set(meter.tensors[WARM:])) == 1
    assert meter.blocks[-1] - meter.blocks[WARM] < BLOCKS_PER_EPOCH * (EPOCHS - 1 - WARM)
