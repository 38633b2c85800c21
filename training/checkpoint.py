"""The state of a run on disk, so that it can be stopped at any time and go on.   Knows tensors and plain values.

Nothing executable is read back: files are loaded with `weights_only=True`.
"""

import os
import pickle
from dataclasses import asdict, dataclass, fields
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
    """Mean of the batches' losses, in nats."""
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


@dataclass(frozen=True)
class Checkpoint:
    """A run after a whole epoch."""

    run_sha256: str
    """Recipe and data, as `training.provenance.run_sha256` has them."""
    epochs: tuple[Epoch, ...]
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file so that it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    document = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    document["epochs"] = [asdict(epoch) for epoch in checkpoint.epochs]
    with temporary.open("wb") as file:
        torch.save(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path, *, run_sha256: str) -> Checkpoint:
    """Read a checkpoint of the run with this hash.

    Raises:
        CheckpointError: the file is missing, damaged, or of another recipe or other data.
    """
    try:
        document = torch.load(path, weights_only=True)
        found = document["run_sha256"]
        document["epochs"] = tuple(Epoch(**epoch) for epoch in document["epochs"])
        checkpoint = Checkpoint(**document)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint; train the recipe first") from error
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint: {reason}") from error
    if found != run_sha256:
        raise CheckpointError(f"{path}: made from another recipe or other data; remove it, or raise the version")
    return checkpoint
