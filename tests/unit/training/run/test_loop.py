"""The training loop, on a task of one weight whose behaviour is known."""

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from training.data.encoding.batches import Batch, Padded
from training.errors import CheckpointError, DivergedError
from training.optimization.distributed import Processes
from training.preparation.provenance import source_commit
from training.run.checkpoint import Epoch, load_checkpoint, save_checkpoint
from training.run.loop import BEST, LAST, TrainingOutcome, new_progress, train
from training.settings.recipe import Recipe
from training.tasks.base import Loss

RUN = "a" * 64


@dataclass
class Line:
    """Fits y = weight * x with noise in its input; `values` replaces the metric where given.

    Each batch is scaled by how many batches of the epoch came before it, which is what it carries.
    """

    metric: ClassVar[str] = "closeness"
    higher_is_better: ClassVar[bool] = True

    recipe: Recipe
    values: list[float] = field(default_factory=list)
    stop_after: int | None = None
    poisoned: bool = False
    model: nn.Module = field(default_factory=lambda: nn.Linear(4, 1))
    validated: int = 0
    validated_weights: list[Tensor] = field(default_factory=list)
    seen: int = 0

    def batch_count(self) -> int:
        return 5

    def batches(self, epoch: int) -> Iterator[Batch]:
        self.seen = 0
        for index in range(5):
            if self.stop_after == epoch and index == 3:
                raise KeyboardInterrupt
            yield Batch(np.array([epoch * 10 + index]), (Padded(np.ones((1, 7), dtype=np.int64), np.array([7])),))

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        inputs = torch.full((3, 4), float(batch.indices[0] % 7) + self.seen / 10) + torch.randn(3, 4)
        self.seen += 1
        if self.poisoned:
            inputs = inputs * math.nan
        outputs: Tensor = self.model(inputs)
        return Loss(((outputs - 2 * inputs.sum(dim=1, keepdim=True)) ** 2).sum(), len(inputs))

    def carried_state(self) -> dict[str, Tensor]:
        return {"seen": torch.tensor(self.seen)}

    def restore_carried_state(self, state: dict[str, Tensor]) -> None:
        self.seen = int(state["seen"])

    def validate(self) -> float:
        self.validated += 1
        self.validated_weights.append(self.model.get_parameter("weight").detach().clone())
        if self.values:
            return self.values[self.validated - 1]
        return -float((self.model.get_parameter("weight") - 2).abs().sum())


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe]) -> Recipe:
    return make_recipe("classification", training={"epochs": 6, "patience": 3})


def line(recipe: Recipe, **changes: object) -> Line:
    torch.manual_seed(0)
    return Line(recipe, **changes)  # type: ignore[arg-type]


def outcome(task: Line, folder: Path, *observers: "Notes") -> TrainingOutcome:
    with Progress(disable=True) as progress:
        return train(task, folder, run_sha256=RUN, progress=progress, observers=observers)


def run(task: Line, folder: Path) -> list[float]:
    return [epoch.value for epoch in outcome(task, folder).epochs]


@dataclass
class Notes:
    """Writes down what an observer is told."""

    updates: list[tuple[int, float, float, float]] = field(default_factory=list)
    epochs: list[tuple[int, Epoch]] = field(default_factory=list)

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        self.updates.append((step, loss, learning_rate, gradient_norm))

    def on_epoch(self, epoch: Epoch) -> None:
        self.epochs.append((len(self.updates), epoch))


@dataclass(frozen=True)
class Second(Processes):
    """The second of two processes: has no row of any batch, and is told by the first what that one has."""

    rank: int = 1
    count: int = 2
    told: list[object] = field(default_factory=list)

    def add_up(self, numbers: Tensor) -> None:
        """The first adds nothing."""

    def from_first(self, _make: Callable[[], Any]) -> Any:
        return self.told.pop(0)


def weights(task: Line) -> list[float]:
    values: list[float] = task.model.get_parameter("weight").flatten().tolist()
    return values


def test_training_comes_nearer_to_the_answer(recipe: Recipe, tmp_path: Path) -> None:
    values = run(line(recipe), tmp_path)
    assert values[-1] > values[0]


def test_two_runs_give_the_same_weights(recipe: Recipe, tmp_path: Path) -> None:
    first, second = line(recipe), line(recipe)
    assert run(first, tmp_path / "first") == run(second, tmp_path / "second")
    assert weights(first) == weights(second)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(recipe: Recipe, tmp_path: Path) -> None:
    whole, stopped, resumed = line(recipe), line(recipe, stop_after=4), line(recipe)
    run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(stopped, tmp_path / "stopped")
    run(resumed, tmp_path / "stopped")
    assert resumed.validated == 3
    assert weights(resumed) == weights(whole)


def test_patience_ends_training_and_the_best_weights_are_kept(recipe: Recipe, tmp_path: Path) -> None:
    task = line(recipe, values=[1.0, 5.0, 4.0, 3.0, 2.0, 9.0])
    two_epochs = line(recipe, values=[1.0, 5.0], stop_after=3)
    assert run(task, tmp_path / "whole") == [1.0, 5.0, 4.0, 3.0, 2.0]
    with pytest.raises(KeyboardInterrupt):
        run(two_epochs, tmp_path / "two epochs")
    best = load_checkpoint(tmp_path / "two epochs" / BEST, run_sha256=RUN)
    assert weights(task) == best.weights["weight"].flatten().tolist()


def test_another_process_ends_with_the_weights_that_the_first_one_kept(recipe: Recipe, tmp_path: Path) -> None:
    """Not with those in a file that the first one may still be writing."""
    values = run(line(recipe), tmp_path / "first")
    best = load_checkpoint(tmp_path / "first" / BEST, run_sha256=RUN)
    second = line(recipe)
    with Progress(disable=True) as progress:
        processes = Second(told=[*values, best])
        train(second, tmp_path / "not written yet", run_sha256=RUN, progress=progress, processes=processes)
    assert weights(second) == best.weights["weight"].flatten().tolist()


def test_a_finished_run_is_not_trained_again(recipe: Recipe, tmp_path: Path) -> None:
    run(line(recipe), tmp_path)
    again = line(recipe)
    run(again, tmp_path)
    assert again.validated == 0


def test_the_folder_of_another_run_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    run(line(recipe), tmp_path)
    with Progress(disable=True) as progress, pytest.raises(CheckpointError, match="another recipe"):
        train(line(recipe), tmp_path, run_sha256="b" * 64, progress=progress)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"accumulate": 2},
    {"schedule": "plateau", "plateau_patience": 1, "validate_every": 2, "patience": 9},
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 1e-4, "schedule": "constant"},
    {"averaging": {"kind": "exponential", "decay": 0.9}},
    {"averaging": {"kind": "last", "count": 3}, "validate_every": 2, "patience": 99},
    {"averaging": {"kind": "triggered", "patience": 1}, "patience": 9},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_run_that_was_stopped_within_an_epoch_goes_on_to_the_same_bits(
    settings: dict[str, Any], make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = make_recipe("classification", training={"epochs": 5, "checkpoint_steps": 1, **settings})
    first, second = line(recipe), line(recipe)
    whole = outcome(first, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(line(recipe, stop_after=3), tmp_path / "stopped")
    position = load_checkpoint(tmp_path / "stopped" / LAST, run_sha256=RUN).position
    assert position is not None
    assert position.batch_count == (2 if "accumulate" in settings else 3)
    resumed = outcome(second, tmp_path / "stopped")
    assert weights(first) == weights(second)
    assert [(epoch.loss, epoch.token_count) for epoch in resumed.epochs] == [
        (epoch.loss, epoch.token_count) for epoch in whole.epochs
    ]
    last = [load_checkpoint(tmp_path / name / LAST, run_sha256=RUN) for name in ("whole", "stopped")]
    assert last[0].validations == last[1].validations
    assert torch.equal(last[0].weights["weight"], last[1].weights["weight"])


def test_validation_within_epochs_counts_for_patience_and_for_the_best_weights(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = make_recipe("classification", training={"epochs": 6, "patience": 2, "validate_every": 2})
    task = line(recipe, values=[1.0, 5.0, 2.0, 4.0])
    result = outcome(task, tmp_path)
    assert task.validated == 4
    assert result.best.step == 4
    assert [(epoch.number, epoch.value) for epoch in result.epochs] == [(1, 2.0), (2, 4.0)]
    checkpoint = load_checkpoint(tmp_path / LAST, run_sha256=RUN)
    assert [validation.step for validation in checkpoint.validations] == [2, 4, 5, 6]
    again = line(recipe)
    assert outcome(again, tmp_path) == result
    assert again.validated == 0


def test_averaged_weights_are_validated_and_kept_and_those_in_training_are_not_touched(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    settings = {"epochs": 1, "validate_every": 3, "patience": 9}
    averaging = {"kind": "last", "count": 2}
    plain = line(make_recipe("classification", training=settings), values=[1.0, 2.0])
    averaged = line(make_recipe("classification", training={**settings, "averaging": averaging}), values=[1.0, 2.0])
    run(plain, tmp_path / "plain")
    run(averaged, tmp_path / "averaged")
    expected = torch.stack(plain.validated_weights).mean(dim=0)
    assert torch.equal(averaged.validated_weights[0], plain.validated_weights[0])
    assert torch.allclose(averaged.validated_weights[1], expected, rtol=0, atol=1e-7)
    assert torch.equal(averaged.model.get_parameter("weight"), averaged.validated_weights[1])
    last = [load_checkpoint(tmp_path / name / LAST, run_sha256=RUN).weights for name in ("averaged", "plain")]
    assert torch.equal(last[0]["weight"], last[1]["weight"])
    assert not torch.equal(last[0]["weight"], expected)


def test_observers_are_told_every_update_then_the_epoch(recipe: Recipe, tmp_path: Path) -> None:
    notes, rate = Notes(), recipe.training.learning_rate
    result = outcome(line(recipe), tmp_path, notes)
    assert [step for step, *_ in notes.updates] == list(range(1, 31))
    assert [(before, epoch.number) for before, epoch in notes.epochs] == [
        (5 * number, number) for number in range(1, 7)
    ]
    assert [rates for _, _, rates, _ in notes.updates][:4] == pytest.approx([rate / 3, 2 * rate / 3, rate, rate])
    assert np.mean([loss for _, loss, _, _ in notes.updates[:5]]) == pytest.approx(result.epochs[0].loss)
    assert all(norm > 0 for *_, norm in notes.updates)


def test_an_epoch_says_where_its_time_went(recipe: Recipe, tmp_path: Path) -> None:
    epoch = outcome(line(recipe), tmp_path).epochs[0]
    assert epoch.token_count == 35
    assert 0 < epoch.data_seconds < epoch.seconds
    assert 0 < epoch.validation_seconds < epoch.seconds
    timed = replace(epoch, seconds=3.0, validation_seconds=1.0)
    assert timed.tokens_per_second == 17.5


def test_a_loss_that_is_no_number_ends_the_run_and_overwrites_nothing(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(line(recipe, stop_after=2), tmp_path)
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(DivergedError, match=r"loss became nan in epoch 2, by update 10; lower training\.learning_rate"):
        run(line(recipe, poisoned=True), tmp_path)
    assert (tmp_path / LAST).read_bytes() == before


def test_going_on_with_other_threads_is_told(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(line(recipe, stop_after=2), tmp_path)
    checkpoint = load_checkpoint(tmp_path / LAST, run_sha256=RUN)
    save_checkpoint(tmp_path / LAST, replace(checkpoint, conditions={**checkpoint.conditions, "threads": "5"}))
    said = io.StringIO()
    with new_progress(Console(file=said)) as progress:
        train(line(recipe), tmp_path, run_sha256=RUN, progress=progress)
    first = said.getvalue().splitlines()[0]
    assert first.startswith("warning: ")
    assert "last.pt: threads 5 before, 1 now: results may differ in the last bits" in first


def test_a_run_keeps_when_and_where_it_began(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(line(recipe, stop_after=2), tmp_path)
    stopped = load_checkpoint(tmp_path / LAST, run_sha256=RUN)
    assert stopped.beginning is not None
    assert stopped.beginning.commit == source_commit()
    assert stopped.beginning.machine.endswith("cores")
    earlier = replace(stopped.beginning, time="2025-12-31T00:00:00Z", commit="abc123")
    save_checkpoint(tmp_path / LAST, replace(stopped, beginning=earlier))
    run(line(recipe), tmp_path)
    assert load_checkpoint(tmp_path / LAST, run_sha256=RUN).beginning == earlier


def test_a_run_that_began_before_that_was_kept_does_not_take_its_going_on_for_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(line(recipe, stop_after=2), tmp_path)
    older = load_checkpoint(tmp_path / LAST, run_sha256=RUN)
    save_checkpoint(tmp_path / LAST, replace(older, beginning=None))
    run(line(recipe), tmp_path)
    assert load_checkpoint(tmp_path / LAST, run_sha256=RUN).beginning is None


def test_a_checkpoint_comes_after_some_minutes(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = make_recipe("classification", training={"checkpoint_minutes": 1e-9})
    with pytest.raises(KeyboardInterrupt):
        run(line(recipe, stop_after=1), tmp_path)
    assert load_checkpoint(tmp_path / LAST, run_sha256=RUN).step == 3
