"""Trains a tiny translator in a process of its own, which kills itself where it is told to.

    python -m tests.training_process FOLDER SETTINGS [MOMENT]

SETTINGS are changes to [training] as JSON, and to the model and the data as `tiny_recipe` and `tiny_splits` say. Writes
the losses of all updates, and the memory held after each epoch, into FOLDER/curve.json, and speaks as the training
command does. Under torchrun, all processes train together.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress

import training.run.checkpoint
import training.run.loop
from training.data.examples import Splits, TextPair
from training.errors import TrainingError
from training.optimization.distributed import Processes, joined_processes
from training.optimization.updates import Learner
from training.preparation.prepare import prepare
from training.run.checkpoint import Checkpoint, Epoch
from training.run.loop import new_progress, train
from training.settings.recipe import Recipe
from training.tasks.translation import TranslationTask

RUN = "a" * 64
PAIRS = tuple(
    TextPair(f"the {colour} {animal} {verb}", f"il {thing} {shade} {does}")
    for animal, thing in (("cat", "gatto"), ("dog", "cane"), ("horse", "cavallo"), ("bird", "uccello"))
    for colour, shade in (("black", "nero"), ("red", "rosso"), ("white", "bianco"))
    for verb, does in (("sleeps", "dorme"), ("eats", "mangia"))
)


def tiny_splits(*, copies: int = 1) -> Splits[TextPair]:
    """Pairs to learn from, so many times each, and others to validate on."""
    return Splits(PAIRS[:18] * copies, PAIRS[18:21], PAIRS[21:])


def tiny_recipe(*, dropout: float = 0.2, hidden_size: int = 12, **settings: Any) -> Recipe:
    """A translator; `settings` change its [training]."""
    defaults = {"epochs": 3, "batch_tokens": 16, "learning_rate": 0.02, "threads": 1}
    model = {"cell": "lstm", "embedding_size": 8, "hidden_size": hidden_size, "dropout": dropout}
    return Recipe.model_validate(
        {
            "name": "tiny",
            "version": 1,
            "task": "translation",
            "seed": 3,
            "data": {"corpus": "tiny"},
            "source_tokenizer": {"kind": "words"},
            "target_tokenizer": {"kind": "words"},
            "model": {**model, "attention": "general"},
            "training": {**defaults, **settings},
        }
    )


class Curve:
    """Keeps the losses of all updates, and the memory held after each epoch, in bytes."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.resident_bytes: list[int] = []

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        self.losses.append(loss)

    def on_epoch(self, epoch: Epoch) -> None:
        self.resident_bytes.append(psutil.Process().memory_info().rss)


def die(*_: object, **__: object) -> None:
    """As `kill -9` does it: nothing is flushed, closed or told."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_update(count: int, *, rank: str | None = None) -> None:
    """Die after so many updates of this process."""
    learn, left = Learner.update, [count]

    def update(*arguments: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if left[0] < 0 and rank in {None, os.environ.get("RANK")}:
            die()
        return learn(*arguments, **keywords)

    Learner.update = update  # type: ignore[method-assign]


def die_half_written(count: int) -> None:
    """Die in the middle of writing the file of the so-many-th checkpoint."""
    flush, left = os.fsync, [count]

    def fsync(fd: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.ftruncate(fd, os.fstat(fd).st_size // 2)
            die()
        flush(fd)

    os.fsync = fsync


def die_between_files() -> None:
    """Die when `best.pt` is new and `last.pt` is not."""
    save = training.run.checkpoint.save_checkpoint

    def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
        save(path, checkpoint)
        if path.name == "best.pt":
            die()

    training.run.loop.save_checkpoint = save_checkpoint  # type: ignore[attr-defined]


def fill_the_disk(count: int) -> None:
    """Refuse to write files of more than 1,000 bytes, after so many checkpoints."""
    flush, left = os.fsync, [count]

    def fsync(fd: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        flush(fd)

    os.fsync = fsync


def die_validating() -> None:
    """Die while validating, the averaged weights in the model."""
    TranslationTask.validate = die  # type: ignore[assignment,method-assign]


MOMENTS: dict[str, Callable[[], None]] = {
    "at the second update": lambda: die_at_update(1),
    "at the fourth update": lambda: die_at_update(3),
    "at the seventh update": lambda: die_at_update(6),
    "second process, at the fourth update": lambda: die_at_update(3, rank="1"),
    "while writing the first checkpoint": lambda: die_half_written(1),
    "while writing the third checkpoint": lambda: die_half_written(3),
    "between the two checkpoints": die_between_files,
    "while validating": die_validating,
    "disk full after two checkpoints": lambda: fill_the_disk(2),
}


def quiet(processes: Processes) -> Progress:
    """Progress that the first process alone shows."""
    return new_progress(Console(stderr=True, quiet=not processes.is_first))


def main(folder: Path, settings: dict[str, Any], moment: str | None) -> int:
    """Train; return the exit code."""
    if moment is not None:
        MOMENTS[moment]()
    curve = Curve()
    splits = tiny_splits(copies=settings.pop("copies", 1))
    task = prepare(tiny_recipe(**settings), splits)
    try:
        with joined_processes(os.environ) as processes, quiet(processes) as progress:
            train(task, folder, run_sha256=RUN, progress=progress, observers=[curve], processes=processes)
    except TrainingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if processes.is_first:
        (folder / "curve.json").write_text(json.dumps({"losses": curve.losses, "resident_bytes": curve.resident_bytes}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None))
