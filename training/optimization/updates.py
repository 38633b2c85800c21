"""One update of the weights from one or more batches, on any device, alone or with other processes.

Losses are sums: gradients of parts of a batch add up to those of the whole, and are divided once by the whole's count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.encoding.batches import Batch
from training.optimization.distributed import Processes
from training.optimization.optimizer import new_optimizer, scale_and_clip, set_learning_rate
from training.tasks.base import Task


@dataclass(frozen=True)
class Update:
    """What one update was made of, over all processes together."""

    loss_total: Tensor
    """Scalar, float64, in nats, still on its device."""
    loss_count: int
    gradient_norm: Tensor
    """Scalar, of the gradient of the mean loss, before clipping, still on its device."""
    signal: bool
    """What the first process gave as `signal`; the same in every process."""

    @property
    def mean_loss(self) -> Tensor:
        """Scalar, in nats, still on its device; 0 where there was nothing to learn."""
        return self.loss_total / max(self.loss_count, 1)


class Learner:
    """A task's model with its optimizer.

    Args:
        task: its model is moved to the device.
        device: where it learns.
        processes: this one, and those that take the other shares of each batch.
    """

    def __init__(self, task: Task, device: torch.device, processes: Processes) -> None:
        self.task = task
        self.device = device
        self.processes = processes
        self.settings = task.recipe.training
        task.model.to(device)
        self.parameters = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
        self.optimizer = new_optimizer(task.model, self.settings, task.recipe.pretraining)
        self.steps_per_epoch = -(-task.batch_count() // self.settings.accumulate)
        self.step = 0
        """Updates so far."""

    def update(self, batches: Sequence[Batch], learning_rate: float, *, signal: bool = False) -> Update:
        """Learn from batches as if they were one, each process from its share of each of them.

        Args:
            batches: the same in every process.
            learning_rate: of this update.
            signal: one bit from the first process to all, which travels with the sums.
        """
        total, count = self._add_gradients(batches)
        if self.processes.count > 1:
            self.processes.add_up_gradients(self.parameters)
            sums = torch.stack([total, total.new_tensor(count), total.new_tensor(signal and self.processes.is_first)])
            self.processes.add_up(sums)
            total, count, signal = sums[0], int(sums[1]), bool(sums[2])
        norm = scale_and_clip(self.parameters, count, self.settings.clip_norm)
        set_learning_rate(self.optimizer, learning_rate, step=self.step, steps_per_epoch=self.steps_per_epoch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return Update(total, count, norm, signal)

    def _add_gradients(self, batches: Sequence[Batch]) -> tuple[Tensor, int]:
        """Fill the gradients of the summed loss of this process's shares; return that sum and what it is over."""
        total, count = torch.zeros((), dtype=torch.float64, device=self.device), 0
        for batch in batches:
            share = self.processes.share(batch)
            if share is None:
                continue
            if self.settings.consistency:
                share = share.twice()  # each half meets its own dropout masks
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
                loss = self.task.loss(share, self.step)
            torch.autograd.backward(loss.total)
            total += loss.total.detach()
            count += loss.count
        return total, count
