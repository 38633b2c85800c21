"""Learning rates, worked out by hand; optimizers and gradients of the size that was asked for."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from training.optimization.optimizer import learning_rate, new_optimizer, plateau_reductions, scale_and_clip
from training.settings.training import TrainingSettings


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate({"epochs": 1, "learning_rate": 0.1, "warmup_fraction": 0.2, **changes})


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param("linear", [0.05, 0.1, 0.1, 0.1 * 7 / 8, 0.1 * 1 / 8], id="linear"),
        pytest.param("constant", [0.05, 0.1, 0.1, 0.1, 0.1], id="constant"),
        pytest.param("plateau", [0.05, 0.1, 0.1, 0.1, 0.1], id="plateau that never came"),
        pytest.param(
            "inverse_sqrt",
            [0.05, 0.1, 0.1 * math.sqrt(2 / 3), 0.1 * math.sqrt(2 / 4), 0.1 * math.sqrt(2 / 10)],
            id="inverse square root",
        ),
        pytest.param(
            "cosine",
            [0.05, 0.1, 0.1, 0.05 * (1 + math.cos(math.pi / 8)), 0.05 * (1 + math.cos(7 * math.pi / 8))],
            id="cosine",
        ),
    ],
)
def test_after_a_linear_warm_up_the_learning_rate_follows_its_schedule(schedule: str, expected: list[float]) -> None:
    rates = [learning_rate(settings(schedule=schedule), step, step_count=10) for step in (0, 1, 2, 3, 9)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_falling_schedule_ends_at_zero_and_stays_there(schedule: str) -> None:
    assert [learning_rate(settings(schedule=schedule), step, step_count=10) for step in (10, 12)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "reductions"),
    [
        pytest.param([], 0, id="nothing validated"),
        pytest.param([1.0, 2.0, 3.0], 0, id="always better"),
        pytest.param([3.0, 2.0], 0, id="worse once"),
        pytest.param([3.0, 3.0, 3.0], 1, id="not better is as bad as worse"),
        pytest.param([3.0, 2.0, 1.0, 4.0, 3.0], 1, id="better again"),
        pytest.param([3.0, 2.0, 2.5, 1.0, 2.9], 2, id="twice"),
    ],
)
def test_a_plateau_is_two_validations_without_a_better_one(values: list[float], reductions: int) -> None:
    assert plateau_reductions(values, patience=2, higher_is_better=True) == reductions
    assert plateau_reductions([-value for value in values], patience=2, higher_is_better=False) == reductions


def test_each_plateau_multiplies_the_learning_rate() -> None:
    changed = settings(schedule="plateau", plateau_factor=0.25)
    assert learning_rate(changed, 5, step_count=10, reductions=2) == pytest.approx(0.1 / 16)


def test_weight_decay_is_for_matrices_alone() -> None:
    optimizer = new_optimizer(nn.Linear(2, 3), settings(weight_decay=0.1, beta1=0.8, beta2=0.95))
    assert isinstance(optimizer, AdamW)
    found = [(group["weight_decay"], [tuple(own.shape) for own in group["params"]]) for group in optimizer.param_groups]
    assert found == [(0.1, [(3, 2)]), (0.0, [(3,)])]
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.95)


def test_sgd_has_the_momentum_of_the_recipe() -> None:
    optimizer = new_optimizer(nn.Linear(2, 3), settings(optimizer="sgd", momentum=0.9, learning_rate=30.0))
    assert isinstance(optimizer, SGD)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]


def test_frozen_weights_are_left_alone() -> None:
    model = nn.Linear(2, 3)
    model.bias.requires_grad_(False)
    assert [len(group["params"]) for group in new_optimizer(model, settings()).param_groups] == [1, 0]


@pytest.mark.parametrize(
    ("clip_norm", "expected"),
    [pytest.param(10.0, [1.5, 2.0], id="short enough"), pytest.param(1.0, [0.6, 0.8], id="too long")],
)
def test_a_summed_gradient_becomes_that_of_the_mean_and_no_longer_than_allowed(
    clip_norm: float, expected: list[float]
) -> None:
    parameter, unused = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([6.0, 8.0])
    norm = scale_and_clip([parameter, unused], 4, clip_norm)
    assert norm.item() == pytest.approx(2.5)
    assert parameter.grad.tolist() == pytest.approx(expected, rel=1e-5)
    assert unused.grad is None
