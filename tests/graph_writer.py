"""Writes the small ONNX graphs of the tiny bundles: operators by name, random weights.   No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from service.bundle.manifest import GraphRole, TaskSpec, TensorSpec
from service.bundle.signatures import signature

OPSET = 17
EMBEDDING = 6


@dataclass
class GraphWriter:
    """Collects nodes and weights of one graph. Methods named after operators add a node and return its output."""

    random: np.random.Generator
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def constant(self, values: Any, dtype: str = "int64") -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, 0.5, shape), "float32")

    def add(self, operator: str, *inputs: str, count: int = 1, **attributes: Any) -> list[str]:
        outputs = [f"{operator.lower()}_{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def one(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self.add(operator, *inputs, **attributes)[0]

    def squeeze(self, value: str, axis: int) -> str:
        return self.one("Squeeze", value, self.constant([axis]))

    def unsqueeze(self, value: str, axis: int) -> str:
        return self.one("Unsqueeze", value, self.constant([axis]))

    def linear(self, value: str, inputs: int, outputs: int) -> str:
        return self.one("Gemm", value, self.weight(inputs, outputs), self.weight(outputs))

    def embed(self, ids: str, vocabulary_size: int) -> str:
        return self.one("Gather", self.weight(vocabulary_size, EMBEDDING), ids)

    def sequences(self, vocabulary_size: int) -> tuple[str, str]:
        """token_ids [rows, time] embedded, [time, rows, embedding], and lengths as recurrent operators take them."""
        ids = self.one("Transpose", "token_ids", perm=[1, 0])
        return self.embed(ids, vocabulary_size), self.lengths()

    def lengths(self) -> str:
        return self.one("Cast", "lengths", to=TensorProto.INT32)

    def halves(self, state: str, size: int) -> list[str]:
        """State [rows, 2 * size] as h and c, each [1, rows, size]."""
        parts = self.add("Split", state, self.constant([size, size]), axis=1, count=2)
        return [self.unsqueeze(part, 0) for part in parts]

    def lstm(
        self, values: str, lengths: str, start: Sequence[str], size: int, *, width: int = EMBEDDING, both: bool = False
    ) -> list[str]:
        """Outputs [time, directions, rows, size], h and c [directions, rows, size] of `values` [time, rows, width]."""
        count = 2 if both else 1
        weights = (
            self.weight(count, 4 * size, width),
            self.weight(count, 4 * size, size),
            self.weight(count, 8 * size),
        )
        direction = "bidirectional" if both else "forward"
        return self.add("LSTM", values, *weights, lengths, *start, hidden_size=size, direction=direction, count=3)

    def finish(self, spec: TaskSpec, role: GraphRole, **outputs: str) -> bytes:
        """The model's bytes; `outputs` says which value is which output."""
        declared = signature(spec, role)
        self.nodes += [helper.make_node("Identity", [value], [name]) for name, value in outputs.items()]
        inputs = [_value_info(tensor) for tensor in declared.inputs]
        declared_outputs = [_value_info(tensor) for tensor in declared.outputs]
        graph = helper.make_graph(self.nodes, role, inputs, declared_outputs, initializer=self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        return model.SerializeToString()


def _value_info(tensor: TensorSpec) -> ValueInfoProto:
    return helper.make_tensor_value_info(
        tensor.name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), tensor.shape
    )
