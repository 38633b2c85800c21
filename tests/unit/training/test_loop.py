"""The training loop, on a task of one weight whose behaviour is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from rich.progress import Progress
from torch import Tensor, nn

from training.checkpoint import load_checkpoint
from training.data.batches import Batch
from training.errors import CheckpointError
from training.loop import BEST, train, warmup_and_decay
from training.settings import Recipe
from training.tasks.base import CarriesNothing, Loss

RUN = "a" * 64


@dataclass
class Line(CarriesNothing):
    """Fits y = weight * x with noise in its input; `values` replaces the metric where given."""

    metric: ClassVar[str] = "closeness"
    higher_is_better: ClassVar[bool] = True

    recipe: Recipe
    values: list[float] = field(default_factory=list)
    stop_after: int | None = None
    model: nn.Module = field(default_factory=lambda: nn.Linear(4, 1))
    validated: int = 0

    def batch_count(self) -> int:
        return 5

    def batches(self, epoch: int) -> Iterator[Batch]:
        for index in range(5):
            if self.stop_after == epoch and index == 3:
                raise KeyboardInterrupt
            yield Batch(np.array([epoch * 10 + index]), ())

    def loss(self, batch: Batch, _step: int = 0, /) -> Loss:
        inputs = torch.full((3, 4), float(batch.indices[0] % 7)) + torch.randn(3, 4)
        outputs: Tensor = self.model(inputs)
        return Loss(((outputs - 2 * inputs.sum(dim=1, keepdim=True)) ** 2).sum(), len(inputs))

    def validate(self) -> float:
        self.validated += 1
        if self.values:
            return self.values[self.validated - 1]
        return -float((self.model.get_parameter("weight") - 2).abs().sum())


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe]) -> Recipe:
    return make_recipe("classification", training={"epochs": 6, "patience": 3})


def line(recipe: Recipe, **changes: object) -> Line:
    torch.manual_seed(0)
    return Line(recipe, **changes)  # type: ignore[arg-type]


def run(task: Line, folder: Path) -> list[float]:
    with Progress(disable=True) as progress:
        outcome = train(task, folder, run_sha256=RUN, progress=progress)
    return [epoch.value for epoch in outcome.epochs]


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


def test_a_finished_run_is_not_trained_again(recipe: Recipe, tmp_path: Path) -> None:
    run(line(recipe), tmp_path)
    again = line(recipe)
    run(again, tmp_path)
    assert again.validated == 0


def test_the_folder_of_another_run_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    run(line(recipe), tmp_path)
    with Progress(disable=True) as progress, pytest.raises(CheckpointError, match="another recipe"):
        train(line(recipe), tmp_path, run_sha256="b" * 64, progress=progress)


def test_the_learning_rate_rises_then_falls_to_almost_nothing(recipe: Recipe) -> None:
    share = warmup_and_decay(recipe.training.model_copy(update={"warmup_fraction": 0.2}), 10)
    assert [share(step) for step in range(4)] == [0.5, 1.0, 1.0, 7 / 8]
    assert share(9) == 1 / 8
    assert share(10) == 0.0
