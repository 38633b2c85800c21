"""Who watches a training run: curves, reports, trackers.   Watching changes nothing in what is trained."""

from typing import Protocol

from training.checkpoint import Epoch


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
