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
from training.pretraining import ParameterGroup, parameter_groups
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


def train(task: Task, folder: Path, *, run_sha256: str, progress: Progress) -> TrainingOutcome:
    """Train until the recipe's epochs or its patience end, and load the best weights into the model.

    Args:
        task: what to train; its model is changed in place.
        folder: of the run. A checkpoint in it is resumed from.
        run_sha256: of recipe and data, written into checkpoints and required of them.
        progress: where bars and one line per epoch go.

    Raises:
        CheckpointError: the folder holds checkpoints of another run.
    """
    settings = task.recipe.training
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    batch_count = task.batch_count()
    groups = parameter_groups(task.model, task.recipe.pretraining)
    optimizer = _optimizer(groups, settings)
    share = warmup_and_decay(settings, settings.epochs * batch_count)
    scheduler = LambdaLR(optimizer, [_frozen_until(group.frozen_epochs * batch_count, share) for group in groups] * 2)
    state = _Run(task, optimizer, scheduler, folder, run_sha256)
    epochs = state.resume()
    while not _finished(epochs, settings, higher_is_better=task.higher_is_better):
        epoch = state.run_epoch(len(epochs) + 1, batch_count, progress)
        epochs = (*epochs, epoch)
        state.save(epochs)
        progress.console.print(_line(epoch, task), highlight=False)
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
            nn.utils.clip_grad_norm_(self.task.model.parameters(), recipe.training.clip_norm)
            self.optimizer.step()
            self.scheduler.step()
            losses.append(loss.item())
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
    """Return progress bars on a console, none of them running yet."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _optimizer(groups: Sequence[ParameterGroup], settings: TrainingSettings) -> AdamW:
    """Every group twice: its matrices, with weight decay, in the order of the groups, then all biases."""
    halves = [
        {
            "params": [parameter for parameter in group.parameters if (parameter.ndim > 1) == matrices],
            "weight_decay": settings.weight_decay if matrices else 0.0,
            "lr": settings.learning_rate * group.rate_factor,
        }
        for matrices in (True, False)
        for group in groups
    ]
    return AdamW(halves, lr=settings.learning_rate, betas=(0.9, 0.98))


def _frozen_until(first_step: int, share: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: share(step) if step >= first_step else 0.0


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
