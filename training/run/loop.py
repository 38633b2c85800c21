"""The one training loop: epochs of updates, validation, early stopping, checkpoints.   Knows no task by name.

On a CPU with the same number of threads and processes, a recipe gives the same weights every time, bit for bit, also
when its run was stopped or killed and went on.
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.data.encoding.batches import Batch
from training.errors import DivergedError
from training.optimization.averaging import exchanged, new_average
from training.optimization.distributed import ALONE, Processes
from training.optimization.optimizer import learning_rate, plateau_reductions
from training.optimization.updates import Learner
from training.preparation.provenance import source_commit
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
from training.run.epoch_meter import EpochMeter
from training.run.machine import (
    changed_conditions,
    describe_processor,
    find_device,
    found_conditions,
    random_state,
    restore_random_state,
)
from training.run.observers import Announcer, Observer, epoch_line
from training.tasks.base import Task

LAST, BEST = "last.pt", "best.pt"
"""Names of a run's two checkpoints."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run came to. The task's model holds the best weights, on the CPU."""

    epochs: tuple[Epoch, ...]
    best: Validation

    @property
    def seconds(self) -> float:
        """Time spent in all epochs, validation included."""
        return sum(epoch.seconds for epoch in self.epochs)


def train(
    task: Task,
    folder: Path,
    *,
    run_sha256: str,
    progress: Progress,
    observers: Sequence[Observer] = (),
    processes: Processes = ALONE,
) -> TrainingOutcome:
    """Train until the recipe's epochs or its patience end, and load the best weights into the model.

    Args:
        task: what to train; its model is changed in place.
        folder: of the run. A checkpoint in it is resumed from.
        run_sha256: of recipe and data, written into checkpoints and required of them.
        progress: where bars and one line per epoch go.
        observers: are told of every update and every epoch, in the first process.
        processes: this one among those that train this run together. The first of them writes all files.

    Raises:
        RecipeError: there is no such device.
        CheckpointError: the folder holds checkpoints of another run, or cannot be written, or is being trained in.
        DivergedError: the loss is no longer a number.
        LostProcessError: another process is gone.
    """
    device = find_device(task.recipe)
    torch.set_num_threads(task.recipe.training.threads)
    torch.use_deterministic_algorithms(device.type == "cpu")  # nothing is promised on a GPU, which pays more for it
    # no operator here reads memory before it is written
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    run = _Run(Learner(task, device, processes), folder, run_sha256, progress, observers)
    with locked(folder) if processes.is_first else nullcontext():
        run.resume()
        while not run.is_finished:
            run.run_epoch()
    # from the first: to another process the file may be an earlier one, or none yet
    best = processes.from_first(lambda: load_checkpoint(folder / BEST, run_sha256=run_sha256))
    task.model.to("cpu").load_state_dict(best.weights)
    task.model.eval()
    return TrainingOutcome(run.epochs, run.best)


class _Run:
    """What changes while training, and where it is kept."""

    def __init__(
        self, learner: Learner, folder: Path, run_sha256: str, progress: Progress, observers: Sequence[Observer]
    ) -> None:
        self.learner, self.folder, self.run_sha256 = learner, folder, run_sha256
        self.task, self.processes = learner.task, learner.processes
        self.recipe, self.settings = self.task.recipe, self.task.recipe.training
        self.progress = progress
        self.conditions = found_conditions(learner.device, self.processes.count)
        self.beginning: Beginning | None = None
        self.announcer = Announcer(observers if self.processes.is_first else ())
        self.average = new_average(self.task.model, self.settings.averaging)
        self.batch_count = self.task.batch_count()
        self.step_count = self.settings.epochs * -(-self.batch_count // self.settings.accumulate)
        self.epochs: tuple[Epoch, ...] = ()
        self.validations: tuple[Validation, ...] = ()
        self.position: Position | None = None
        self.saved_at = time.monotonic()

    @property
    def best(self) -> Validation:
        """The first of the validations with the best value."""
        return best_validation(self.validations, higher_is_better=self.task.higher_is_better)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether validation has not improved for too long."""
        return bool(self.validations) and (
            len(self.validations) - 1 - self.validations.index(self.best) >= self.settings.patience
        )

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.position is None and (len(self.epochs) >= self.settings.epochs or self.is_out_of_patience)

    def resume(self) -> None:
        """Load the last checkpoint; if there is none, the run begins here."""
        path = self.folder / LAST
        if not path.exists():
            self.beginning = _begin_here(self.learner.device)
            return
        checkpoint = load_checkpoint(path, run_sha256=self.run_sha256)
        self.epochs, self.validations, self.position = checkpoint.epochs, checkpoint.validations, checkpoint.position
        self.task.model.load_state_dict(checkpoint.weights)
        self.learner.optimizer.load_state_dict(checkpoint.optimizer)
        self.learner.step = checkpoint.step
        self.average.restore(checkpoint.averaging)
        self.beginning = checkpoint.beginning
        changes = changed_conditions(checkpoint.conditions, self.conditions)
        if changes and not self.is_finished:
            warning = f"warning: {path}: {changes}: results may differ in the last bits from an uninterrupted run's"
            self.progress.console.print(warning, highlight=False, soft_wrap=True)

    def run_epoch(self) -> None:
        """Train one pass, or the rest of one, and validate."""
        number = len(self.epochs) + 1
        meter = EpochMeter(self.task.batches(number), self.settings.accumulate, self.learner.device)
        self._begin(number, meter)
        bar = self.progress.add_task(
            f"{self.recipe.name} epoch {number}/{self.settings.epochs}",
            total=self.batch_count,
            completed=meter.batch_count,
        )
        try:
            for batches in meter:
                self._update(batches, meter)
                self.progress.update(bar, completed=meter.batch_count)
                if self.is_out_of_patience:
                    break
        finally:
            self.progress.remove_task(bar)
        self._end(number, meter)

    def _begin(self, number: int, meter: EpochMeter) -> None:
        """Every epoch draws from its own seed, so that going on from its beginning changes nothing."""
        rank, device = self.processes.rank, self.learner.device
        torch.manual_seed(self.recipe.seed * 1_000_003 + number + rank * 2**53)
        if self.position is not None:
            meter.skip_to(self.position)
            if len(self.position.processes) == self.processes.count:
                own = self.position.processes[rank]
                restore_random_state(own.random, device)
                self.task.restore_carried_state({name: value.to(device) for name, value in own.carried.items()})
            self.position = None
        self.task.model.train()

    def _update(self, batches: Sequence[Batch], meter: EpochMeter) -> None:
        """Make one update; then validate and write a checkpoint, where due."""
        rate = self._learning_rate()
        update = self.learner.update(batches, rate, signal=self._is_checkpoint_due())
        meter.take_in(update, batches)
        self.average.on_update()
        step = self.learner.step
        self.announcer.update(step, update.mean_loss, rate, update.gradient_norm)
        validating = self.settings.validate_every is not None and step % self.settings.validate_every == 0
        if validating:
            self._validate(meter)
            measured = f"validation {self.task.metric} {self.validations[-1].value:.2f}"
            self.progress.console.print(f"{self.recipe.name} update {step}: {measured}", highlight=False)
        if (update.signal or validating) and not self.is_out_of_patience:  # else the epoch ends here, and is saved
            self._save(meter)

    def _learning_rate(self) -> float:
        reductions = plateau_reductions(
            [validation.value for validation in self.validations],
            patience=self.settings.plateau_patience,
            higher_is_better=self.task.higher_is_better,
        )
        return learning_rate(self.settings, self.learner.step, step_count=self.step_count, reductions=reductions)

    def _is_checkpoint_due(self) -> bool:
        """Whether the next update is to be followed by a checkpoint."""
        every = self.settings.checkpoint_steps
        if every is not None and (self.learner.step + 1) % every == 0:
            return True
        return time.monotonic() - self.saved_at >= 60 * self.settings.checkpoint_minutes

    def _validate(self, meter: EpochMeter) -> None:
        """Measure the averaged weights, and keep them if they are the best so far. The first process does it."""
        started = time.perf_counter()
        self._require_a_number(meter)
        self.announcer.tell_updates()
        self.average.before_validation()
        self.task.model.eval()
        with torch.no_grad(), exchanged(self.task.model, self.average.weights()):
            value = self.processes.from_first(self.task.validate)
            self.validations = (*self.validations, Validation(self.learner.step, value))
            if self.processes.is_first and self.best is self.validations[-1]:
                best = Checkpoint(self.run_sha256, self.epochs, self.task.model.state_dict(), self.validations)
                save_checkpoint(self.folder / BEST, best)
        self.task.model.train()
        sign = 1 if self.task.higher_is_better else -1
        self.average.after_validation([sign * validation.value for validation in self.validations])
        meter.add_validation(time.perf_counter() - started)

    def _end(self, number: int, meter: EpochMeter) -> None:
        """Close an epoch, validated by the last update that it had."""
        if not self.validations or self.validations[-1].step != self.learner.step:
            self._validate(meter)
        epoch = meter.epoch(number, self.validations[-1].value)
        self.epochs = (*self.epochs, epoch)
        self._save(None)
        self.announcer.epoch(epoch)
        line = epoch_line(epoch, self.recipe, self.task.metric)
        self.progress.console.print(line, highlight=False, soft_wrap=True)

    def _save(self, meter: EpochMeter | None) -> None:
        """Write the last state, within an epoch (with its meter) or between two. The first process does it."""
        position = None
        if meter is not None:
            self._require_a_number(meter)
            own = ProcessState(random_state(self.learner.device), self.task.carried_state())
            position = meter.position(self.processes.gather(own))
        if self.processes.is_first:
            checkpoint = Checkpoint(
                run_sha256=self.run_sha256,
                epochs=self.epochs,
                weights=self.task.model.state_dict(),
                validations=self.validations,
                step=self.learner.step,
                optimizer=self.learner.optimizer.state_dict(),
                averaging=self.average.state(),
                position=position,
                conditions=self.conditions,
                beginning=self.beginning,
            )
            save_checkpoint(self.folder / LAST, checkpoint)
        self.saved_at = time.monotonic()

    def _require_a_number(self, meter: EpochMeter) -> None:
        if not math.isfinite(meter.loss):
            raise DivergedError(
                f"recipe {self.recipe.name}: the loss became {meter.loss} in epoch {len(self.epochs) + 1}, by update "
                f"{self.learner.step}; lower training.learning_rate or clip_norm, or warm up for longer"
            )


def _begin_here(device: torch.device) -> Beginning:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Beginning(now, source_commit(), describe_processor(device))


def new_progress(console: Console) -> Progress:
    """Return progress bars on a console, none of them running yet. Where it is no terminal, there are none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def best_validation(validations: Sequence[Validation], *, higher_is_better: bool) -> Validation:
    """Return the first of the validations with the best value."""
    return max(validations, key=lambda validation: validation.value if higher_is_better else -validation.value)
