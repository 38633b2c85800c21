"""What a whole training process does with its disk and its memory. Real processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.trained import ROOT
from tests.training_process import RUN
from tests.unit.training.quick_recipe import quick_recipe
from training.run.checkpoint import load_checkpoint

MIB = 1 << 20


def train(folder: Path, settings: dict[str, Any], *moment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.training_process", str(folder), json.dumps(settings), *moment]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)


def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_intact(tmp_path: Path) -> None:
    settings = {"checkpoint_steps": 2}
    finished = train(tmp_path, settings, "disk full after two checkpoints")
    errors = [line for line in finished.stderr.splitlines() if not line.startswith("tiny epoch")]
    assert finished.returncode == 2
    assert len(errors) == 1
    assert "last.pt: cannot be written: File too large; the last checkpoint is intact" in errors[0]
    assert load_checkpoint(tmp_path / "last.pt", run_sha256=RUN).step == 4
    assert not list(tmp_path.glob("*.new"))
    assert train(tmp_path, settings).returncode == 0


def test_sigterm_is_one_line_that_says_what_is_kept(tmp_path: Path) -> None:
    """As a cluster or torchrun stops a run; Ctrl-C sends SIGINT and goes the same way."""
    (tmp_path / "long.toml").write_text(quick_recipe(name="long", epochs=10000))
    command = [sys.executable, "-m", "training", "train", "long.toml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("SEQSERVE_RUNS", None)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        rest = process.stderr.read().splitlines()
    assert line.startswith("long epoch 1/10000")
    assert process.returncode == 130
    assert [text for text in rest if not text.startswith("long epoch")] == rest[-1:]
    assert re.fullmatch(
        rf"stopped: {re.escape(str(tmp_path / 'cache/seqserve/runs'))}/long-1-[0-9a-f]{{8}}/last\.pt "
        r"keeps \d+ of 10000 epochs and \d+ updates; "
        r"the same command goes on from there",
        rest[-1],
    )


def test_memory_stays_flat_over_epochs(tmp_path: Path) -> None:
    """Keeping the graph of each update's loss, for instance, would add 40 MiB per epoch here."""
    settings = {"epochs": 14, "patience": 14, "batch_tokens": 512, "hidden_size": 64, "copies": 40}
    assert train(tmp_path, {**settings, "averaging": {"kind": "last", "count": 2}}).returncode == 0
    resident = json.loads((tmp_path / "curve.json").read_text())["resident_bytes"]
    assert len(resident) == 14
    assert max(resident[6:]) - max(resident[:6]) < 8 * MIB, [size // MIB for size in resident]
