"""Writes graphs that compute in float16, for accelerators.   Inputs and outputs stay float32, as signatures say.

They are converted once at the border, so that whoever runs a graph need not know its precision.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper
from torch import Tensor

from training.errors import ExportError
from training.export.graphs.writer import GraphWriter, WrittenGraph


class HalfWriter(GraphWriter):
    """Every float tensor in float16; operators as its parent writes them."""

    def constant(self, name: str, values: Tensor | npt.NDArray[Any] | np.generic | Sequence[int]) -> str:
        """Store an initialiser, floats as float16.

        Raises:
            ExportError: a value is beyond float16.
        """
        array = values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)
        return super().constant(name, as_float16(array, name) if array.dtype == np.float32 else array)

    def lowest(self) -> str:
        """Store the most negative number of float16."""
        return self.constant("lowest", np.float32(np.finfo(np.float16).min))

    def nodes(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node; what casts to float32 casts to float16."""
        if attributes.get("to") == TensorProto.FLOAT:
            attributes["to"] = TensorProto.FLOAT16
        super().nodes(operator, inputs, outputs, **attributes)

    def finish(self, file: str) -> WrittenGraph:
        """Convert at the border, then as its parent."""
        taken = [tensor.name for tensor in self._inputs if tensor.dtype == "float32"]
        given = [tensor.name for tensor in self._outputs]
        inside = {name: f"{name}.float16" for name in (*taken, *given)}
        for node in self._nodes:
            _rename(node, inside)
        begin = [_cast(name, inside[name], TensorProto.FLOAT16) for name in taken]
        end = [_cast(inside[name], name, TensorProto.FLOAT) for name in given]
        self._nodes = [*begin, *self._nodes, *end]
        return super().finish(file)


def as_float16(array: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float16]:
    """Round to the nearest float16.

    Raises:
        ExportError: a value is beyond float16; `name` says of what.
    """
    limit = float(np.finfo(np.float16).max)
    largest = float(np.abs(array).max(initial=0))
    if not largest <= limit:
        raise ExportError(f"{name} holds {largest:g}, float16 ends at {limit:g}: export in fp32 or int8")
    return array.astype(np.float16)


def _rename(node: NodeProto, names: dict[str, str]) -> None:
    for side in (node.input, node.output):
        renamed = [names.get(name, name) for name in side]
        del side[:]
        side.extend(renamed)


def _cast(value: str, output: str, element_type: int) -> NodeProto:
    return helper.make_node("Cast", [value], [output], name=f"Cast/{output}", to=element_type)
