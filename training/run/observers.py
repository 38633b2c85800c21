"""Who watches a training run: curves, reports, trackers.   Watching changes nothing in what is trained."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from training.run.checkpoint import Epoch
from training.settings.recipe import Recipe

_GROUP_SIZE = 50
"""Updates that are told at once: reading a number from a GPU waits for all of its work."""


class Observer(Protocol):
    """Is told what happens, in order. A run that was stopped and goes on tells the updates since its checkpoint again.

    Updates are told in groups, some time after they were made, so that a GPU is not waited for at each of them.
    """

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """The weights were updated.

        Args:
            step: updates since the start of the run, this one included; from 1.
            loss: mean over the examples or tokens that this update learnt from, in nats.
            learning_rate: of this update.
            gradient_norm: L2 norm over all parameters, before clipping.
        """
        ...

    def on_epoch(self, epoch: Epoch) -> None:
        """A pass over the training examples has ended and was validated."""
        ...


class Announcer:
    """Tells observers, updates in groups."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers
        self.waiting: list[tuple[int, float, Tensor]] = []

    def update(self, step: int, loss: Tensor, learning_rate: float, gradient_norm: Tensor) -> None:
        """Take in an update, as `Observer.on_update`; the tensors are scalars on any device."""
        if self.observers:
            self.waiting.append((step, learning_rate, torch.stack([loss, gradient_norm.to(loss.dtype)])))
        if len(self.waiting) >= _GROUP_SIZE:
            self.tell_updates()

    def epoch(self, epoch: Epoch) -> None:
        """Tell what is waiting, then the epoch."""
        self.tell_updates()
        for observer in self.observers:
            observer.on_epoch(epoch)

    def tell_updates(self) -> None:
        """Tell what is waiting."""
        if not self.waiting:
            return
        figures = torch.stack([figures for _, _, figures in self.waiting]).tolist()
        for (step, learning_rate, _), (loss, gradient_norm) in zip(self.waiting, figures, strict=True):
            for observer in self.observers:
                observer.on_update(step, loss, learning_rate, gradient_norm)
        self.waiting.clear()


def epoch_line(epoch: Epoch, recipe: Recipe, metric: str) -> str:
    """Say what an epoch came to, in one line."""
    return (
        f"{recipe.name} epoch {epoch.number}/{recipe.training.epochs}: loss {epoch.loss:.3f}, "
        f"validation {metric} {epoch.value:.2f}, {epoch.seconds:.1f} s, "
        f"{epoch.tokens_per_second:,.0f} tokens/s, {epoch.waiting_share:.1%} of training waited for data"
    )
