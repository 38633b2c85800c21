"""Averages of the weights, validated and kept in place of the last ones.   Knows parameters; no loop and no files.

Buffers of a model are not averaged: they are as the last update left them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from training.settings.training import AveragingSettings, ExponentialAveraging, LastAveraging, TriggeredAveraging

Weights = list[Tensor]
"""One tensor per parameter, in the model's order."""


class Average:
    """No average: the weights as they are. What follows below replaces some of this.

    Args:
        model: whose weights are averaged; they are read, never written.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())

    def on_update(self) -> None:
        """The weights were updated."""

    def before_validation(self) -> None:
        """The weights are about to be validated."""

    def after_validation(self, gains: Sequence[float]) -> None:
        """The weights were validated.

        Args:
            gains: every validation so far, the last one just now; higher is better.
        """

    def weights(self) -> Weights | None:
        """Return the average, or None where it is the weights as they are."""
        return None

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes: numbers and tensors, these not copied."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; tensors may be on any device."""

    def _copied(self) -> Weights:
        return [parameter.detach().clone() for parameter in self.parameters]

    def _on_device(self, weights: Weights) -> Weights:
        return [weight.to(own.device) for weight, own in zip(weights, self.parameters, strict=True)]


class RunningMean(Average):
    """A mean that takes in the weights at each update, with a share that the subclass decides."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.mean: Weights = []
        self.update_count = 0

    def take_in(self, share: float) -> None:
        """Move the mean by `share` of the way to the weights; the first ones are the mean themselves."""
        if not self.mean:
            self.mean = self._copied()
            return
        for mean, parameter in zip(self.mean, self.parameters, strict=True):
            mean.lerp_(parameter.detach(), share)

    def weights(self) -> Weights | None:
        """As `Average`."""
        return self.mean or None

    def state(self) -> dict[str, Any]:
        """As `Average`."""
        return {"mean": self.mean, "update_count": self.update_count}

    def restore(self, state: dict[str, Any]) -> None:
        """As `Average`."""
        self.mean = self._on_device(state["mean"]) if state["mean"] else []
        self.update_count = state["update_count"]


class ExponentialAverage(RunningMean):
    """mean = d mean + (1 - d) weights, where d is the smaller of `decay` and (1 + updates) / (10 + updates)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay

    def on_update(self) -> None:
        """As `Average`."""
        self.update_count += 1
        self.take_in(1 - min(self.decay, (1 + self.update_count) / (10 + self.update_count)))


class TriggeredAverage(RunningMean):
    """The mean of the weights at all updates since validation stopped improving.

    Source: Merity et al. 2018, arXiv:1708.02182, algorithm 1.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        super().__init__(model)
        self.patience = patience
        self.triggered = False

    def on_update(self) -> None:
        """As `Average`."""
        if self.triggered:
            self.update_count += 1
            self.take_in(1 / self.update_count)

    def after_validation(self, gains: Sequence[float]) -> None:
        """As `Average`."""
        earlier = gains[: -1 - self.patience]
        self.triggered = self.triggered or (len(earlier) > 0 and gains[-1] < max(earlier))

    def state(self) -> dict[str, Any]:
        """As `Average`."""
        return {**super().state(), "triggered": self.triggered}

    def restore(self, state: dict[str, Any]) -> None:
        """As `Average`."""
        super().restore(state)
        self.triggered = state["triggered"]


class LastAverage(Average):
    """The mean of the weights at the last `count` validations."""

    def __init__(self, model: nn.Module, count: int) -> None:
        super().__init__(model)
        self.count = count
        self.kept: list[Weights] = []

    def before_validation(self) -> None:
        """As `Average`."""
        self.kept = [*self.kept, self._copied()][-self.count :]

    def weights(self) -> Weights | None:
        """As `Average`."""
        return [torch.stack(same).mean(dim=0) for same in zip(*self.kept, strict=True)] or None

    def state(self) -> dict[str, Any]:
        """As `Average`."""
        return {"kept": self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """As `Average`."""
        self.kept = [self._on_device(weights) for weights in state["kept"]]


def new_average(model: nn.Module, settings: AveragingSettings | None) -> Average:
    """Return the recipe's average of a model's weights."""
    match settings:
        case None:
            return Average(model)
        case ExponentialAveraging():
            return ExponentialAverage(model, settings.decay)
        case LastAveraging():
            return LastAverage(model, settings.count)
        case TriggeredAveraging():
            return TriggeredAverage(model, settings.patience)


@contextmanager
def exchanged(model: nn.Module, weights: Weights | None) -> Iterator[None]:
    """Give the model other weights (None: its own), and its own back afterwards, whatever happens."""
    if weights is None:
        yield
        return
    own = [parameter.detach().clone() for parameter in model.parameters()]
    _write(model, weights)
    try:
        yield
    finally:
        _write(model, own)


@torch.no_grad()
def _write(model: nn.Module, weights: Weights) -> None:
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        parameter.copy_(weight)
