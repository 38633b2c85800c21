"""One pass over the training examples: its batches in groups, one per update, and what it has come to so far."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch

from training.data.encoding.batches import Batch
from training.optimization.updates import Update
from training.run.checkpoint import Epoch, Position, ProcessState


class EpochMeter:
    """Gives the batches of one pass and counts what is learnt from them.

    Args:
        batches: of the whole pass.
        accumulate: batches per update.
        device: where losses are added up, so that none is waited for.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self,
        batches: Iterator[Batch],
        accumulate: int,
        device: torch.device,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._batches = batches
        self._accumulate = accumulate
        self._clock = clock
        self._started = clock()
        self._loss_total = torch.zeros((), dtype=torch.float64, device=device)
        self._loss_count = 0
        self._token_count = 0
        self._validation_seconds = 0.0
        self._data_seconds = 0.0
        self.batch_count = 0
        """Batches that were learnt from."""

    @property
    def loss(self) -> float:
        """Mean over the examples or tokens so far, in nats."""
        return self._loss_total.item() / max(self._loss_count, 1)

    def skip_to(self, position: Position) -> None:
        """Go on where a checkpoint was written, with what had been counted there."""
        for _ in islice(self._batches, position.batch_count):
            pass
        self.batch_count = position.batch_count
        self._loss_total += position.loss_total
        self._loss_count = position.loss_count
        self._token_count = position.token_count
        self._validation_seconds = position.validation_seconds
        self._data_seconds = position.data_seconds
        self._started = self._clock() - position.seconds

    def __iter__(self) -> Iterator[list[Batch]]:
        """Give the batches that are left, `accumulate` at a time."""
        while True:
            asked = self._clock()
            batches = list(islice(self._batches, self._accumulate))
            self._data_seconds += self._clock() - asked
            if not batches:
                return
            yield batches

    def take_in(self, update: Update, batches: Sequence[Batch]) -> None:
        """Count an update and the batches that it was made from."""
        self.batch_count += len(batches)
        self._loss_total += update.loss_total
        self._loss_count += update.loss_count
        self._token_count += sum(batch.token_count for batch in batches)

    def add_validation(self, seconds: float) -> None:
        """Count a validation within the epoch or at its end."""
        self._validation_seconds += seconds

    def position(self, processes: Sequence[ProcessState]) -> Position:
        """Return what `skip_to` takes."""
        return Position(
            batch_count=self.batch_count,
            loss_total=self._loss_total.item(),
            loss_count=self._loss_count,
            token_count=self._token_count,
            seconds=self._clock() - self._started,
            validation_seconds=self._validation_seconds,
            data_seconds=self._data_seconds,
            processes=tuple(processes),
        )

    def epoch(self, number: int, value: float) -> Epoch:
        """Return the record of the pass, which ends here."""
        return Epoch(
            number=number,
            loss=self.loss,
            value=value,
            seconds=self._clock() - self._started,
            validation_seconds=self._validation_seconds,
            data_seconds=self._data_seconds,
            token_count=self._token_count,
        )
