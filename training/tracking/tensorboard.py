"""Writes what TensorBoard shows: event files in the folder of a run.   An observer of the loop; decides nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tensorboardX import SummaryWriter

from training.run.checkpoint import Epoch


class EventFiles:
    """Writes scalars: per update, and per epoch (whose number is the step).

    The file is opened at the first of them, so that a run with nothing left to do leaves none.
    """

    def __init__(self, folder: Path, *, metric: str) -> None:
        self._folder = folder
        self._metric = metric
        self._writer: SummaryWriter | None = None

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """As `Observer`."""
        writer = self._opened(step)
        for name, value in (("loss", loss), ("learning_rate", learning_rate), ("gradient_norm", gradient_norm)):
            writer.add_scalar(f"update/{name}", value, step)

    def on_epoch(self, epoch: Epoch) -> None:
        """As `Observer`."""
        writer = self._opened(None)
        scalars = {
            "loss": epoch.loss,
            f"validation_{self._metric}".replace(" ", "_"): epoch.value,
            "seconds": epoch.seconds,
        }
        for name, value in scalars.items():
            writer.add_scalar(f"epoch/{name}", value, epoch.number)
        writer.flush()

    def close(self) -> None:
        """Write what is still held back."""
        if self._writer is not None:
            self._writer.close()

    def _opened(self, step: int | None) -> SummaryWriter:
        """Open a file whose first update is `step`: TensorBoard then forgets what a stopped run wrote beyond it."""
        if self._writer is None:
            # one name per process and beginning: the library's own would be the same within a second
            suffix = f".{os.getpid()}.{step}"
            self._writer = SummaryWriter(str(self._folder), purge_step=step, filename_suffix=suffix)
        return self._writer


@contextmanager
def open_event_files(folder: Path, *, metric: str) -> Iterator[EventFiles]:
    """Give an observer that writes into `folder`, and close it in the end."""
    events = EventFiles(folder, metric=metric)
    try:
        yield events
    finally:
        events.close()
