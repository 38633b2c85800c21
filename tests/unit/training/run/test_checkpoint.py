"""Checkpoints: whole or absent, of this run or refused."""

from pathlib import Path

import pytest
import torch

from training.errors import CheckpointError
from training.run.checkpoint import (
    Beginning,
    Checkpoint,
    Epoch,
    Position,
    ProcessState,
    Validation,
    load_checkpoint,
    locked,
    save_checkpoint,
)

RUN, OTHER = "a" * 64, "b" * 64


def checkpoint() -> Checkpoint:
    epochs = (Epoch(1, 2.5, 40.0, 1.25), Epoch(2, 1.5, 60.0, 1.5))
    own = ProcessState({"cpu": torch.get_rng_state()}, {"carried": torch.ones(2, 3)})
    return Checkpoint(
        RUN,
        epochs,
        {"weight": torch.arange(6.0).reshape(2, 3)},
        validations=(Validation(10, 40.0), Validation(20, 60.0)),
        step=23,
        optimizer={"state": {0: {"step": 3}}},
        averaging={"mean": [torch.zeros(3)], "update_count": 23},
        position=Position(3, 12.5, 40, 80, 1.5, 0.5, 0.25, (own,)),
        conditions={"threads": "2"},
        beginning=Beginning("2025-12-31T00:00:00Z", "abc123", "a machine"),
    )


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run" / "last.pt", checkpoint())
    loaded = load_checkpoint(tmp_path / "run" / "last.pt", run_sha256=RUN)
    assert loaded.epochs == checkpoint().epochs
    assert torch.equal(loaded.weights["weight"], checkpoint().weights["weight"])
    assert loaded.optimizer == checkpoint().optimizer
    assert loaded.validations == checkpoint().validations
    assert (loaded.step, loaded.conditions) == (23, {"threads": "2"})
    assert loaded.beginning == checkpoint().beginning
    assert loaded.position is not None
    assert (loaded.position.batch_count, loaded.position.loss_total) == (3, 12.5)
    assert torch.equal(loaded.position.processes[0].carried["carried"], torch.ones(2, 3))


def test_a_checkpoint_of_before_beginnings_were_kept_is_loaded_and_knows_none(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint())
    older = torch.load(path, weights_only=True)
    del older["beginning"]
    torch.save(older, path)
    loaded = load_checkpoint(path, run_sha256=RUN)
    assert (loaded.step, loaded.conditions, loaded.beginning) == (23, {"threads": "2"}, None)


def test_saving_leaves_nothing_else_in_the_folder(tmp_path: Path) -> None:
    for _ in range(2):
        save_checkpoint(tmp_path / "last.pt", checkpoint())
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", checkpoint())
    with pytest.raises(CheckpointError, match="another recipe or other data"):
        load_checkpoint(tmp_path / "last.pt", run_sha256=OTHER)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(CheckpointError, match="another process is training this run"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_a_missing_checkpoint_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train the recipe first"):
        load_checkpoint(tmp_path / "last.pt", run_sha256=RUN)


@pytest.mark.parametrize("length", [0, 10, 400])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, length: int) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="not a checkpoint") as caught:
        load_checkpoint(path, run_sha256=RUN)
    assert "\n" not in str(caught.value)


class Intruder:
    """Unpickled, it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("intruded",))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"run_sha256": RUN, "epochs": [], "weights": Intruder()}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "last.pt", run_sha256=RUN)


def test_a_disk_that_is_full_is_named_and_the_checkpoint_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, checkpoint())
    (tmp_path / ".last.pt.new").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written: No space left on device; the last check"):
        save_checkpoint(path, checkpoint())
    assert load_checkpoint(path, run_sha256=RUN).step == 23
    assert [found.name for found in tmp_path.iterdir()] == ["last.pt"]


def test_a_first_checkpoint_that_cannot_be_written_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file and no folder")
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written: .*; there is no checkpoint yet"):
        save_checkpoint(tmp_path / "run" / "last.pt", checkpoint())
