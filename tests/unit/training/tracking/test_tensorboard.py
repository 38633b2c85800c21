"""Event files: read back by TensorBoard's own reader."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.data.examples import AnySplits
from training.errors import TrackingError
from training.preparation.prepare import prepare
from training.run.checkpoint import Epoch
from training.run.loop import train
from training.settings.recipe import Recipe
from training.tracking.tensorboard import EventFiles, open_event_files


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, as TensorBoard shows them, in the 32 bits that it keeps."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def float32(value: float) -> float:
    return float(np.float32(value))


def update(events: EventFiles, step: int, loss: float) -> None:
    events.on_update(step, loss, learning_rate=loss / 10, gradient_norm=loss * 10)


def test_tensorboard_reads_every_update_and_every_epoch(tmp_path: Path) -> None:
    with open_event_files(tmp_path, metric="span F1") as events:
        update(events, 1, 0.5)
        update(events, 2, 0.25)
        events.on_epoch(Epoch(1, 0.375, 90.0, 1.5))
    assert read(tmp_path) == {
        "update/loss": [(1, 0.5), (2, 0.25)],
        "update/learning_rate": [(1, float32(0.05)), (2, float32(0.025))],
        "update/gradient_norm": [(1, 5.0), (2, 2.5)],
        "epoch/loss": [(1, 0.375)],
        "epoch/validation_span_F1": [(1, 90.0)],
        "epoch/seconds": [(1, 1.5)],
    }


def test_what_a_stopped_run_wrote_beyond_its_checkpoint_is_forgotten(tmp_path: Path) -> None:
    with open_event_files(tmp_path, metric="accuracy") as stopped:
        for step, loss in enumerate((4.0, 3.0, 9.0), start=1):
            update(stopped, step, loss)
    with open_event_files(tmp_path, metric="accuracy") as resumed:
        update(resumed, 3, 2.0)
        update(resumed, 4, 1.0)
    assert read(tmp_path)["update/loss"] == [(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]


def test_a_run_with_nothing_left_to_do_leaves_no_file(tmp_path: Path) -> None:
    with open_event_files(tmp_path, metric="accuracy"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_was_told_is_kept_when_training_breaks(tmp_path: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), open_event_files(tmp_path, metric="accuracy") as events:
        update(events, 1, 0.5)
        raise KeyboardInterrupt
    assert read(tmp_path)["update/loss"] == [(1, 0.5)]


@pytest.fixture
def full_disk(tmp_path: Path) -> Path:
    """A folder in which whatever file of events this process opens in the next minutes is on a full disk."""
    for second in range(300):
        name = f"events.out.tfevents.{int(time.time()) + second}.{socket.gethostname()}.{os.getpid()}"
        for step in (1, None):
            (tmp_path / f"{name}.{step}").symlink_to("/dev/full")
    return tmp_path


def test_a_full_disk_is_one_line_that_names_the_file(full_disk: Path) -> None:
    wanted = rf"^{full_disk}/events\.out\.tfevents\.\S+: cannot be written: No space left on device$"
    with pytest.raises(TrackingError, match=wanted), open_event_files(full_disk, metric="accuracy") as events:
        events.on_epoch(Epoch(1, 0.375, 90.0, 1.5))
    with pytest.raises(TrackingError, match=wanted), open_event_files(full_disk, metric="accuracy") as events:
        update(events, 1, 0.5)  # held back, and written at the end


def test_what_ended_the_training_is_told_and_not_the_full_disk(full_disk: Path) -> None:
    def stopped() -> None:
        with open_event_files(full_disk, metric="accuracy") as events:
            update(events, 1, 0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()


def test_a_training_run_is_written_as_it_went(
    make_recipe: Callable[..., Recipe], tiny_splits: dict[str, AnySplits], tmp_path: Path
) -> None:
    task = prepare(make_recipe("classification"), tiny_splits["classification"])
    with Progress(disable=True) as progress, open_event_files(tmp_path, metric=task.metric) as events:
        outcome = train(task, tmp_path / "run", run_sha256="a" * 64, progress=progress, observers=[events])
    found = read(tmp_path)
    assert found["epoch/loss"] == [(epoch.number, float32(epoch.loss)) for epoch in outcome.epochs]
    assert found["epoch/validation_accuracy"] == [(epoch.number, float32(epoch.value)) for epoch in outcome.epochs]
    steps = [step for step, _ in found["update/loss"]]
    assert steps == list(range(1, task.batch_count() * len(outcome.epochs) + 1))
