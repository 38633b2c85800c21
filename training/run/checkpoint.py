"""The state of a run on disk, so that it can be stopped at any time and go on.   Knows tensors and plain values.

Nothing executable is read back: files are loaded with `weights_only=True`.
"""

import fcntl
import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.errors import CheckpointError


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training examples came to."""

    number: int
    """From 1."""
    loss: float
    """Mean over the examples or tokens that were learnt from, in nats."""
    value: float
    """The validation metric afterwards."""
    seconds: float
    """All of it, validation included."""
    validation_seconds: float = 0.0
    data_seconds: float = 0.0
    """Waiting for batches."""
    token_count: int = 0
    """Read from training examples, padding left out, in all columns together."""

    @property
    def tokens_per_second(self) -> float:
        """Training speed, validation left out."""
        return self.token_count / max(self.seconds - self.validation_seconds, 1e-9)

    @property
    def waiting_share(self) -> float:
        """Share of training, validation left out, that waited for batches; in [0, 1]."""
        return self.data_seconds / max(self.seconds - self.validation_seconds, 1e-9)


@dataclass(frozen=True)
class Validation:
    """One measurement of the validation metric."""

    step: int
    """Updates before it."""
    value: float


@dataclass(frozen=True)
class ProcessState:
    """What one of the processes that train together has to itself, within an epoch."""

    random: dict[str, Tensor]
    """States of the random number generators, by device."""
    carried: dict[str, Tensor]
    """As `Task.carried_state`."""


@dataclass(frozen=True)
class Position:
    """How far the epoch in hand has come."""

    batch_count: int
    """Batches that were learnt from."""
    loss_total: float
    loss_count: int
    token_count: int
    seconds: float
    validation_seconds: float
    data_seconds: float
    processes: tuple[ProcessState, ...]
    """One per process, in the order of ranks."""


@dataclass(frozen=True)
class Beginning:
    """When a run began, by which code and where. Decides nothing; cards tell it."""

    time: str
    """RFC 3339, UTC."""
    commit: str
    """As `training.preparation.provenance.source_commit`."""
    machine: str
    """As `training.run.machine.describe_processor`."""


@dataclass(frozen=True)
class Checkpoint:
    """A run as it stands, after an update."""

    run_sha256: str
    """Recipe and data, as `training.preparation.provenance.run_sha256` has them."""
    epochs: tuple[Epoch, ...]
    """Whole ones."""
    weights: dict[str, Tensor]
    validations: tuple[Validation, ...] = ()
    step: int = 0
    """Updates so far."""
    optimizer: dict[str, Any] = field(default_factory=dict)
    averaging: dict[str, Any] = field(default_factory=dict)
    """As `Average.state`."""
    position: Position | None = None
    """None: between two epochs."""
    conditions: dict[str, str] = field(default_factory=dict)
    """What else decides the last bits of a result: threads, processes, versions."""
    beginning: Beginning | None = None
    """None: it began before that was recorded."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file so that it appears whole or not at all; the one before it stays until then.

    Raises:
        CheckpointError: it cannot be written, for instance because the disk is full.
    """
    raw = io.BytesIO()  # and then to the file by ourselves: torch turns a full disk into an error about positions
    torch.save(_document(checkpoint), raw)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, raw.getbuffer())
    except OSError as error:
        kept = "the last checkpoint is intact" if path.exists() else "there is no checkpoint yet"
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}; {kept}") from error


def _replace(path: Path, raw: memoryview) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, *, run_sha256: str) -> Checkpoint:
    """Read a checkpoint of the run with this hash, its tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or of another recipe or other data.
    """
    try:
        document = torch.load(path, weights_only=True, map_location="cpu")
        found = document["run_sha256"]
        checkpoint = _checkpoint(document)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint; train the recipe first") from error
    except pickle.UnpicklingError as error:  # torch's text is a page on how to load it all the same
        raise CheckpointError(f"{path}: not a checkpoint: damaged, or written by something else; remove it") from error
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint: {reason}; remove it to begin anew") from error
    if found != run_sha256:
        raise CheckpointError(
            f"{path}: made from another recipe or other data (run {str(found)[:8]}, expected {run_sha256[:8]}); "
            "remove it, or raise the version"
        )
    return checkpoint


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a run's folder, until the end or until this process is gone.

    Raises:
        CheckpointError: another one is at it.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CheckpointError(f"{folder}: another process is training this run; wait for it or stop it") from error
        yield


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what `_checkpoint` takes: plain values and tensors, these not copied."""
    document = _shallow(checkpoint)
    document["epochs"] = [asdict(epoch) for epoch in checkpoint.epochs]
    document["validations"] = [asdict(validation) for validation in checkpoint.validations]
    if checkpoint.position is not None:
        processes = [_shallow(process) for process in checkpoint.position.processes]
        document["position"] = {**_shallow(checkpoint.position), "processes": processes}
    if checkpoint.beginning is not None:
        document["beginning"] = asdict(checkpoint.beginning)
    return document


def _checkpoint(document: dict[str, Any]) -> Checkpoint:
    position = document["position"]
    if position is not None:
        processes = tuple(ProcessState(**process) for process in position["processes"])
        position = Position(**{**position, "processes": processes})
    epochs = tuple(Epoch(**epoch) for epoch in document["epochs"])
    validations = tuple(Validation(**validation) for validation in document["validations"])
    beginning = Beginning(**document["beginning"]) if document.get("beginning") else None
    read = {"epochs": epochs, "validations": validations, "position": position, "beginning": beginning}
    return Checkpoint(**{**document, **read})


def _shallow(record: Checkpoint | Position | ProcessState) -> dict[str, Any]:
    return {item.name: getattr(record, item.name) for item in fields(record)}
