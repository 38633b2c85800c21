"""`weights.safetensors` of a bundle: the trained weights, with what is needed to build their network again.

Tied weights are stored once. What they are for stands in the file's own metadata, as one JSON document: safetensors
writes several entries in any order, and the same weights should be the same bytes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from service.bundle.manifest import TaskSpec
from training.errors import ExportError
from training.export.trained import AnyModel, TrainedModel, new_network, own_tensors
from training.settings.model import ModelSettings
from training.settings.strict import StrictModel

WeightPrecision = Literal["fp16", "fp32"]

_ENTRY = "seqserve"
_LAYOUT: Literal[1] = 1
_DTYPES: Mapping[WeightPrecision, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32}


class _Description(StrictModel):
    """The metadata: which network the weights are of."""

    layout: Literal[1]
    precision: WeightPrecision
    model: ModelSettings
    """Every setting of [model], defaults written out."""
    spec: TaskSpec
    """As in the manifest: task, vocabulary sizes, labels in their order."""


@dataclass(frozen=True)
class StoredWeights:
    """A weights file, read."""

    precision: WeightPrecision
    settings: ModelSettings
    spec: TaskSpec
    tensors: Mapping[str, Tensor]
    path: Path

    def network(self) -> AnyModel:
        """Build the network and give it these weights.

        Raises:
            ExportError: they do not fit it.
        """
        network = new_network(self.settings, self.spec)
        own = own_tensors(network)
        if own.keys() != self.tensors.keys():
            name = min(own.keys() ^ self.tensors.keys())
            problem = "is missing" if name in own else "has no place in this architecture"
            raise ExportError(f"{self.path}: weight {name} {problem}")
        with torch.no_grad():
            for name, tensor in own.items():
                self._copy(name, tensor)
        return network.eval()

    def _copy(self, name: str, target: Tensor) -> None:
        found = self.tensors[name]
        if found.shape != target.shape or (found.is_floating_point() != target.is_floating_point()):
            expected = f"{list(target.shape)} {target.dtype}"
            raise ExportError(f"{self.path}: weight {name} is {list(found.shape)} {found.dtype}, expected {expected}")
        target.copy_(found)


def write_weights(trained: TrainedModel, precision: WeightPrecision) -> bytes:
    """Return the bytes of the file. In fp16 the weights must be float16 values already: nothing is rounded here."""
    description = _Description(layout=_LAYOUT, precision=precision, model=trained.settings, spec=trained.spec)
    tensors = {
        name: tensor.detach().to(_DTYPES[precision]) if tensor.is_floating_point() else tensor.detach()
        for name, tensor in own_tensors(trained.network).items()
    }
    return save(tensors, metadata={_ENTRY: description.model_dump_json()})


def read_weights(path: Path) -> StoredWeights:
    """Read a weights file.

    Raises:
        ExportError: it is damaged, or does not say what it holds.
    """
    with _opened(path) as file:
        found = _described(file.metadata() or {}, path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return StoredWeights(found.precision, found.model, found.spec, tensors, path)


def stored_precision(path: Path) -> WeightPrecision:
    """Return what a weights file holds, reading no weight.   Errors as `read_weights`."""
    with _opened(path) as file:
        return _described(file.metadata() or {}, path).precision


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (safetensors.SafetensorError, OSError) as error:
        raise ExportError(f"{path}: not a sound safetensors file: {str(error).splitlines()[0]}") from error


def _described(metadata: Mapping[str, Any], path: Path) -> _Description:
    if _ENTRY not in metadata:
        raise ExportError(f"{path}: its metadata has no entry {_ENTRY}, which says what the weights are of")
    try:
        return _Description.model_validate_json(metadata[_ENTRY])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ExportError(f"{path}: metadata {_ENTRY}: {where or 'document'}: {first['msg']}") from error
