"""How weights move: the optimizer, its learning rate at each update, and the size of a gradient.   Holds no state.

A learning rate is a function of the update's number and of the validations so far, so that nothing has to be kept.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from training.preparation.pretraining import parameter_groups
from training.settings.pretraining import PretrainingSettings
from training.settings.training import TrainingSettings


def new_optimizer(
    model: nn.Module, settings: TrainingSettings, pretraining: PretrainingSettings | None = None
) -> Optimizer:
    """Return the recipe's optimizer over all trainable parameters; weight decay is for matrices alone."""
    groups = [
        {
            "params": [one for one in group.parameters if one.requires_grad and (one.ndim > 1) == matrices],
            "weight_decay": settings.weight_decay if matrices else 0.0,
            "rate_factor": group.rate_factor,
            "frozen_epochs": group.frozen_epochs,
        }
        for group in parameter_groups(model, pretraining)
        for matrices in (True, False)
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), fused=True)


def set_learning_rate(optimizer: Optimizer, rate: float, *, step: int, steps_per_epoch: int) -> None:
    """Give each group of parameters its share of a learning rate, and none to those that do not move yet.

    Args:
        optimizer: of `new_optimizer`.
        rate: of what learns fastest.
        step: updates before this one.
        steps_per_epoch: updates.
    """
    for group in optimizer.param_groups:
        frozen = step < group["frozen_epochs"] * steps_per_epoch
        group["lr"] = 0.0 if frozen else rate * group["rate_factor"]


def learning_rate(settings: TrainingSettings, step: int, *, step_count: int, reductions: int = 0) -> float:
    """Return the learning rate of one update.

    Args:
        settings: of the recipe.
        step: updates before this one.
        step_count: updates of the whole run, if it is not stopped early.
        reductions: how often validation has not improved for long enough; see `plateau_reductions`.
    """
    warmup = max(1, round(settings.warmup_fraction * step_count))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    remaining = max(0.0, (step_count - step) / max(1, step_count - warmup))
    shares = {
        "linear": remaining,
        "cosine": (1 - math.cos(math.pi * remaining)) / 2,
        "inverse_sqrt": math.sqrt(warmup / (step + 1)),
        "constant": 1.0,
        "plateau": settings.plateau_factor**reductions,
    }
    return settings.learning_rate * shares[settings.schedule]


def plateau_reductions(values: Sequence[float], *, patience: int, higher_is_better: bool) -> int:
    """Return how often a learning rate is reduced: after each `patience` validations in a row without a better one.

    Args:
        values: the metric at every validation so far, in order.
        patience: validations to wait, from the best one and again from each reduction.
        higher_is_better: of the metric.
    """
    best, waited, reductions = -math.inf, 0, 0
    for value in values:
        gain = value if higher_is_better else -value
        waited = 0 if gain > best else waited + 1
        best = max(best, gain)
        if waited == patience:
            reductions, waited = reductions + 1, 0
    return reductions


def scale_and_clip(parameters: Iterable[nn.Parameter], count: int, clip_norm: float) -> Tensor:
    """Turn gradients of a sum over `count` examples or tokens into those of its mean, and clip them.

    Args:
        parameters: those of them without a gradient are left out.
        count: what the loss was summed over; 0 where a batch had nothing to learn, whose gradients are zeros.
        clip_norm: largest L2 norm over all gradients together.

    Returns:
        The norm before clipping, a scalar that is still on its device.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    divisor = max(count, 1)
    norm = nn.utils.get_total_norm(gradients) / divisor
    scale = torch.clamp(clip_norm / (norm + 1e-6), max=1.0) / divisor
    for gradient in gradients:
        gradient.mul_(scale)
    return norm
