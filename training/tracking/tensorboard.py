"""Writes what TensorBoard shows: event files in the folder of a run.   An observer of the loop; decides nothing."""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from training.errors import TrackingError
from training.run.checkpoint import Epoch


class EventFiles:
    """Writes scalars: per update, and per epoch (whose number is the step).

    The file is opened at the first of them, so that a run with nothing left to do leaves none. It is written by who
    tells it, without the library's own thread, so that a full disk is an error here and not a traceback from there.
    """

    def __init__(self, folder: Path, *, metric: str) -> None:
        self._folder = folder
        self._metric = metric
        self._path = folder
        self._records: RecordWriter | None = None

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """As `Observer`.   Raises TrackingError where the file cannot be written."""
        figures = {"loss": loss, "learning_rate": learning_rate, "gradient_norm": gradient_norm}
        with self._writing():
            self._write({f"update/{name}": value for name, value in figures.items()}, step, purge_step=step)

    def on_epoch(self, epoch: Epoch) -> None:
        """As `Observer`.   Errors as `on_update`."""
        figures = {
            "loss": epoch.loss,
            f"validation_{self._metric}".replace(" ", "_"): epoch.value,
            "seconds": epoch.seconds,
        }
        with self._writing():
            self._write({f"epoch/{name}": value for name, value in figures.items()}, epoch.number).flush()

    def close(self) -> None:
        """Write what is still held back.   Errors as `on_update`."""
        if self._records is not None:
            with self._writing():
                self._records.close()

    def _write(self, figures: Mapping[str, float], step: int, *, purge_step: int | None = None) -> RecordWriter:
        records = self._records or self._opened(purge_step)
        for name, value in figures.items():
            _add(records, Event(summary=scalar(name, value), step=step))
        return records

    def _opened(self, purge_step: int | None) -> RecordWriter:
        """Open a file whose first update is this one: TensorBoard then forgets what a stopped run wrote beyond it."""
        # what TensorBoard looks for, then one name per process and beginning
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{purge_step}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / name
        self._records = records = RecordWriter(str(self._path))
        _add(records, Event(file_version="brain.Event:2"))
        if purge_step is not None:
            _add(records, Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))
        return records

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrackingError(f"{self._path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def open_event_files(folder: Path, *, metric: str) -> Iterator[EventFiles]:
    """Give an observer that writes into `folder`, and close it in the end."""
    events = EventFiles(folder, metric=metric)
    try:
        yield events
    except BaseException:
        with suppress(TrackingError):  # what has ended the training is what matters
            events.close()
        raise
    events.close()


def _add(records: RecordWriter, event: Event) -> None:
    event.wall_time = time.time()
    records.write(event.SerializeToString())
