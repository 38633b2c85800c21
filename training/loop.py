"""The one training loop: warm-up and decay, clipping, early stopping, checkpoints.   Knows no task by name.

Two runs of the same recipe on the same machine give the same weights, also when one was stopped and resumed.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.checkpoint import Checkpoint, Epoch, load_checkpoint, save_checkpoint
from training.observers import Observer
from training.tasks.base import Task
from training.training_settings import TrainingSettings

LAST, BEST = "last.pt", "best.pt"
"""Names of a run's two checkpoints."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run came to. The task's model holds the best weights."""

    epochs: tuple[Epoch, ...]
    best: Epoch

    @property
    def seconds(self) -> float:
        """Time spent in all epochs, validation included."""
        return sum(epoch.seconds for epoch in self.epochs)


def train(
    task: Task, folder: Path, *, run_sha256: str, progress: Progress, observers: Sequence[Observer] = ()
) -> TrainingOutcome:
    """Train until the recipe's epochs or its patience end, and load the best weights into the model.

    Args:
        task: what to train; its model is changed in place.
        folder: of the run. A checkpoint in it is resumed from.
        run_sha256: of recipe and data, written into checkpoints and required of them.
        progress: where bars and one line per epoch go.
        observers: are told of every update and every epoch.

    Raises:
        CheckpointError: the folder holds checkpoints of another run.
    """
    settings = task.recipe.training
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    batch_count = task.batch_count()
    optimizer = _optimizer(task.model, settings)
    scheduler = LambdaLR(optimizer, warmup_and_decay(settings, settings.epochs * batch_count))
    state = _Run(task, optimizer, scheduler, folder, run_sha256, observers)
    epochs = state.resume()
    while not _finished(epochs, settings, higher_is_better=task.higher_is_better):
        epoch = state.run_epoch(len(epochs) + 1, batch_count, progress)
        epochs = (*epochs, epoch)
        state.save(epochs)
        for observer in observers:
            observer.on_epoch(epoch)
        progress.console.print(_line(epoch, task), highlight=False, soft_wrap=True)
    best = load_checkpoint(folder / BEST, run_sha256=run_sha256)
    task.model.load_state_dict(best.weights)
    task.model.eval()
    return TrainingOutcome(epochs, best_epoch(epochs, higher_is_better=task.higher_is_better))


@dataclass(frozen=True)
class _Run:
    """What changes while training, and where it is kept."""

    task: Task
    optimizer: AdamW
    scheduler: LambdaLR
    folder: Path
    run_sha256: str
    observers: Sequence[Observer]

    def resume(self) -> tuple[Epoch, ...]:
        """Load the last checkpoint, if there is one."""
        if not (self.folder / LAST).exists():
            return ()
        checkpoint = load_checkpoint(self.folder / LAST, run_sha256=self.run_sha256)
        self.task.model.load_state_dict(checkpoint.weights)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scheduler.load_state_dict(checkpoint.scheduler)
        return checkpoint.epochs

    def run_epoch(self, number: int, batch_count: int, progress: Progress) -> Epoch:
        """Train one pass and validate. Every epoch draws from its own seed, so that resuming changes nothing."""
        recipe, started, losses = self.task.recipe, time.perf_counter(), []
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        bar = progress.add_task(f"{recipe.name} epoch {number}/{recipe.training.epochs}", total=batch_count)
        self.task.model.train()
        for batch in self.task.batches(number):
            summed = self.task.loss(batch)
            loss = summed.total / summed.count
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            norm = nn.utils.clip_grad_norm_(self.task.model.parameters(), recipe.training.clip_norm)
            self.optimizer.step()
            learning_rate = self.scheduler.get_last_lr()[0]
            self.scheduler.step()
            losses.append(loss.item())
            for observer in self.observers:
                observer.on_update(self.scheduler.last_epoch, losses[-1], float(learning_rate), float(norm))
            progress.advance(bar)
        progress.remove_task(bar)
        self.task.model.eval()
        with torch.no_grad():
            value = self.task.validate()
        return Epoch(number, math.fsum(losses) / len(losses), value, time.perf_counter() - started)

    def save(self, epochs: tuple[Epoch, ...]) -> None:
        """Keep the last state, and the weights too if they are the best so far."""
        checkpoint = Checkpoint(
            run_sha256=self.run_sha256,
            epochs=epochs,
            weights=self.task.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
        )
        if best_epoch(epochs, higher_is_better=self.task.higher_is_better) == epochs[-1]:
            save_checkpoint(self.folder / BEST, replace(checkpoint, optimizer={}, scheduler={}))
        save_checkpoint(self.folder / LAST, checkpoint)


def new_progress(console: Console) -> Progress:
    """Return progress bars on a console, none of them running yet; a console that is no terminal gets none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _optimizer(model: nn.Module, settings: TrainingSettings) -> AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))


def warmup_and_decay(settings: TrainingSettings, step_count: int) -> Callable[[int], float]:
    """Return the share of the learning rate at each step: up linearly, then down linearly towards zero."""
    warmup = max(1, round(settings.warmup_fraction * step_count))

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (step_count - step) / max(1, step_count - warmup))

    return share


def best_epoch(epochs: tuple[Epoch, ...], *, higher_is_better: bool) -> Epoch:
    """Return the first of the epochs with the best value."""
    return max(epochs, key=lambda epoch: epoch.value if higher_is_better else -epoch.value)


def _finished(epochs: tuple[Epoch, ...], settings: TrainingSettings, *, higher_is_better: bool) -> bool:
    if not epochs:
        return False
    stale = len(epochs) - best_epoch(epochs, higher_is_better=higher_is_better).number
    return len(epochs) >= settings.epochs or stale >= settings.patience


def _line(epoch: Epoch, task: Task) -> str:
    return (
        f"{task.recipe.name} epoch {epoch.number}/{task.recipe.training.epochs}: loss {epoch.loss:.3f}, "
        f"validation {task.metric} {epoch.value:.2f}, {epoch.seconds:.1f} s"
    )
