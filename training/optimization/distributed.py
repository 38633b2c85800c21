"""Processes that train one model together, each on its share of every batch.   Knows gradients; no task, no loop.

Gradients of sums are added up and then divided by the global count, once per update. Torch's own
DistributedDataParallel averages over processes instead, which is another number where shares differ in size; it wants
the loss to come from one `forward`, and a gradient from a process whose share is empty.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn

from training.data.encoding.batches import Batch
from training.errors import LostProcessError

_T = TypeVar("_T")
_LONGEST_WAIT = timedelta(hours=2)
"""For another process, which may be validating or exporting."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together. By default it is alone."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and prints."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch | None:
        """Return this process's rows of a batch, every `count`-th; None where there are none."""
        if self.count == 1:
            return batch
        return batch.rows(slice(self.rank, None, self.count)) if self.rank < len(batch.indices) else None

    def add_up(self, numbers: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.count > 1:
            self._together(lambda: torch.distributed.all_reduce(numbers))

    def add_up_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace all gradients by their sums over all processes; one that has none counts as zero."""
        if self.count == 1:
            return
        gradients = [torch.zeros_like(own) if own.grad is None else own.grad for own in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self.add_up(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, gradient in zip(parameters, parts, strict=True):
            parameter.grad = gradient.view_as(parameter)

    def gather(self, value: _T) -> list[_T]:
        """Return the value of every process, in the order of ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        self._together(lambda: torch.distributed.all_gather_object(values, value))
        return values

    def from_first(self, make: Callable[[], _T]) -> _T:
        """Return what the first process makes, to all of them; they wait for it."""
        if self.count == 1:
            return make()
        values = [make() if self.is_first else None]
        self._together(lambda: torch.distributed.broadcast_object_list(values))
        return values[0]  # type: ignore[return-value]

    def _together(self, operation: Callable[[], object]) -> None:
        try:
            operation()
        except RuntimeError as error:
            reason = str(error).partition(". ")[0].rpartition("] ")[2]  # gloo: "[file:line] reason. Advice"
            raise LostProcessError(
                f"process {self.rank} of {self.count}: another one is gone ({reason.strip()}); "
                "the same command goes on from the last checkpoint"
            ) from error


ALONE = Processes()


@contextmanager
def joined_processes(environment: Mapping[str, str]) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be alone where it did not.

    Args:
        environment: with torchrun's WORLD_SIZE, RANK and LOCAL_RANK.
    """
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(environment["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    try:
        yield Processes(int(environment["RANK"]), count)
    finally:
        torch.distributed.destroy_process_group()
