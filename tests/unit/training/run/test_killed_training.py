"""A run that is killed goes on from its last checkpoint to the same weights, bit for bit. Real processes, SIGKILL."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trained import ROOT
from tests.training_process import RUN
from training.run.checkpoint import Checkpoint, load_checkpoint

SETTINGS = {
    "checkpoint_steps": 2,
    "accumulate": 2,
    "averaging": {"kind": "exponential", "decay": 0.9},
    "teacher_forcing_ratio": 0.5,
    "teacher_forcing_schedule": "linear",
    "teacher_forcing_steps": 5,
}


def train(folder: Path, moment: str | None = None) -> int:
    command = [sys.executable, "-m", "tests.training_process", str(folder), json.dumps(SETTINGS)]
    finished = subprocess.run(
        [*command, *([] if moment is None else [moment])], cwd=ROOT, capture_output=True, check=False, timeout=120
    )
    assert finished.returncode in {0, -signal.SIGKILL}, finished.stderr.decode()
    return finished.returncode


def kept(folder: Path, name: str) -> Checkpoint:
    return load_checkpoint(folder / name, run_sha256=RUN)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder) == 0
    return folder


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_weights(whole: Path, tmp_path: Path) -> None:
    steps = [0]
    for moment in (
        "while writing the first checkpoint",
        "at the fourth update",
        "while writing the third checkpoint",
        "between the two checkpoints",
        "while validating",
        "at the second update",
        "at the seventh update",
    ):
        assert train(tmp_path, moment) == -signal.SIGKILL
        steps.append(kept(tmp_path, "last.pt").step if (tmp_path / "last.pt").exists() else 0)
    assert steps == [0, 0, 2, 4, 4, 4, 5, 10]
    assert train(tmp_path) == 0
    for name in ("last.pt", "best.pt"):
        resumed, straight = kept(tmp_path, name), kept(whole, name)
        assert resumed.step == straight.step
        assert resumed.validations == straight.validations
        assert [epoch.loss for epoch in resumed.epochs] == [epoch.loss for epoch in straight.epochs]
        assert resumed.weights.keys() == straight.weights.keys()
        for key, weight in straight.weights.items():
            assert torch.equal(resumed.weights[key], weight), (name, key)


def test_only_the_updates_since_the_last_checkpoint_are_lost(tmp_path: Path) -> None:
    assert train(tmp_path, "at the fourth update") == -signal.SIGKILL
    last = kept(tmp_path, "last.pt")
    assert last.step == 2
    assert last.position is not None
    assert last.position.batch_count == 4
