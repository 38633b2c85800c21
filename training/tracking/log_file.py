"""Writes a line per epoch into `log.txt` in the folder of a run.   An observer of the loop; decides nothing."""

from datetime import UTC, datetime
from pathlib import Path

from training.errors import TrackingError
from training.run.checkpoint import Epoch
from training.run.observers import epoch_line
from training.settings.recipe import Recipe

LOG = "log.txt"


class LogFile:
    """Appends what a person at the terminal is told of each epoch, and when it was. Lines are there as soon as told.

    A run that was stopped within an epoch and goes on has lost nothing here: epochs are told once, at their end.
    """

    def __init__(self, folder: Path, recipe: Recipe, *, metric: str) -> None:
        self._path = folder / LOG
        self._recipe = recipe
        self._metric = metric

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """As `Observer`: updates are too many for a text."""

    def on_epoch(self, epoch: Epoch) -> None:
        """As `Observer`.   Raises TrackingError where the file cannot be written."""
        line = epoch_line(epoch, self._recipe, self._metric)
        try:
            with self._path.open("a", encoding="utf-8") as log:
                log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n")
        except OSError as error:
            raise TrackingError(f"{self._path}: cannot be written: {error.strerror}") from error
