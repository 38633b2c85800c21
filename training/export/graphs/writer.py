"""Writes one ONNX graph node by node, weights as initialisers.   Knows operators and torch layers; no task, no bundle.

The tracer is not used: its paths go silently wrong on recurrent layers with free lengths, and these graphs are small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from service.bundle.manifest import Dtype, Graph, TensorSpec
from training.models.layers.cells import weights_of
from training.models.layers.recurrent import Cell, Recurrent

OPSET = 17
"""What is written unless another is asked for, 17 to 20. The oldest: every runtime's kernels match it."""

_ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
_OPERATORS: dict[Cell, str] = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
_GATE_ORDER: dict[Cell, list[int]] = {
    "rnn": [0],
    "lstm": [0, 3, 1, 2],  # torch i f g o -> ONNX i o f c
    "gru": [1, 0, 2],  # torch r z n -> ONNX z r h
}


@dataclass(frozen=True)
class WrittenGraph:
    """A serialised ONNX model and the signature that the manifest gives it."""

    raw: bytes
    signature: Graph


class GraphWriter:
    """Collects inputs, initialisers and nodes; `finish` gives the bytes. Values are known by their names.

    Args:
        name: of the graph.
        opset: of the default domain, 17 to 20.
    """

    def __init__(self, name: str, opset: int = OPSET) -> None:
        self._name = name
        self._opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[TensorSpec] = []
        self._outputs: list[TensorSpec] = []

    def input(self, name: str, dtype: Dtype, *shape: int | str) -> str:
        """Declare the next input."""
        self._inputs.append(TensorSpec(name=name, dtype=dtype, shape=list(shape)))
        return name

    def output(self, name: str, *shape: int | str) -> None:
        """Declare the next output, float32, made by a node of this name."""
        self._outputs.append(TensorSpec(name=name, dtype="float32", shape=list(shape)))

    def constant(self, name: str, values: Tensor | npt.NDArray[Any] | np.generic | Sequence[int]) -> str:
        """Store an initialiser once, whoever asks for it under this name. Plain numbers become int64."""
        if name not in self._constants:
            array = values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)
            self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def recurrent(self, name: str, weights: npt.NDArray[np.float32]) -> str:
        """Store weights of a recurrent operator."""
        return self.constant(name, weights)

    def lowest(self) -> str:
        """Store the most negative number that the graph's floats can be: what a mask puts in the place of a score."""
        return self.constant("lowest", np.float32(np.finfo(np.float32).min))

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        self.nodes(operator, inputs, [output], **attributes)
        return output

    def nodes(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node with several outputs; an unused one is the empty name."""
        name = next(output for output in outputs if output)
        self._nodes.append(
            helper.make_node(operator, list(inputs), list(outputs), name=f"{operator}/{name}", **attributes)
        )

    def affine(
        self,
        inputs: str,
        weight: tuple[str, Tensor],
        bias: Tensor,
        output: str,
        *,
        bounded: bool = False,  # noqa: ARG002
    ) -> str:
        """Add inputs [rows, in] W^T + b, where W [out, in] has a name of its own and may serve elsewhere too.

        `bounded` says that no input is beyond 1 in magnitude, for writers to which that matters.
        """
        operands = [inputs, self.constant(*weight), self.constant(f"{output}.bias", bias)]
        return self.node("Gemm", operands, output, transB=1)

    def product(
        self,
        inputs: str,
        weight: tuple[str, Tensor],
        output: str,
        *,
        bounded: bool = False,  # noqa: ARG002
    ) -> str:
        """Add inputs [..., in] W^T, where W is [out, in]; `bounded` as above."""
        return self.node("MatMul", [inputs, self.constant(weight[0], weight[1].T)], output)

    def lookup(self, table: tuple[str, Tensor], token_ids: str, output: str) -> str:
        """Choose rows of a table [vocabulary, size] by ids [...]: [..., size]."""
        return self.node("Gather", [self.constant(*table), token_ids], output)

    def squeeze(self, value: str, axis: int, output: str) -> str:
        """Drop an axis of size 1."""
        return self.node("Squeeze", [value, self.constant(f"axis{axis}", [axis])], output)

    def unsqueeze(self, value: str, axis: int, output: str) -> str:
        """Insert an axis of size 1."""
        return self.node("Unsqueeze", [value, self.constant(f"axis{axis}", [axis])], output)

    def reduce_max(self, value: str, axis: int, output: str, *, keeps_axis: bool = True) -> str:
        """Take the largest along an axis, which stays with size 1 or goes. Axes became an input with opset 18."""
        if self._opset < 18:
            return self.node("ReduceMax", [value], output, axes=[axis], keepdims=int(keeps_axis))
        axes = self.constant(f"axis{axis}", [axis])
        return self.node("ReduceMax", [value, axes], output, keepdims=int(keeps_axis))

    def finish(self, file: str) -> WrittenGraph:
        """Check the graph and return its bytes, with the signature that a manifest says under the name `file`."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [_value_info(spec) for spec in self._inputs],
            [_value_info(spec) for spec in self._outputs],
            initializer=list(self._constants.values()),
        )
        opset = helper.make_opsetid("", self._opset)
        foreign = sorted({node.domain for node in self._nodes} - {""})
        model = helper.make_model(
            graph,
            opset_imports=[opset, *(helper.make_opsetid(domain, 1) for domain in foreign)],
            ir_version=helper.find_min_ir_version_for([opset]),
            producer_name="seqserve",
        )
        onnx.checker.check_model(model, full_check=True)
        signature = Graph(file=file, opset=self._opset, inputs=self._inputs, outputs=self._outputs)
        return WrittenGraph(model.SerializeToString(deterministic=True), signature)


@dataclass(frozen=True)
class RecurrentValues:
    """Names of what a stack of recurrent layers leaves.

    Attributes:
        outputs: [time, rows, output_size], zero past a row's length.
        last: [rows, output_size], what each direction gave last: at a row's length and, backwards, at time 0.
        vectors: [rows, hidden_size * directions] each, all layers' hidden vectors, then an LSTM's cell vectors.
    """

    outputs: str
    last: str
    vectors: list[str]


@dataclass(frozen=True)
class LayerValues:
    """Names of what goes into one layer and of what must come out.

    Attributes:
        name: the layer's own; begins the names of its weights.
        inputs: [time, rows, input].
        lengths: [rows] int32, or the empty name.
        initial: [directions, rows, hidden] each: hidden and, for an LSTM, cell vectors. Empty: zeros.
        outputs: to be made: outputs [time, directions, rows, hidden], then last vectors like `initial`.
    """

    name: str
    inputs: str
    lengths: str
    initial: list[str]
    outputs: list[str]


class WriteLayer(Protocol):
    """Adds one layer of a stack: from a layer's inputs to the outputs that ONNX's recurrent operators have."""

    def __call__(self, graph: GraphWriter, layers: Recurrent, layer: int, values: LayerValues) -> None:
        """Add layer number `layer`."""
        ...


def write_recurrent(
    graph: GraphWriter,
    layers: Recurrent,
    inputs: str,
    *,
    lengths: str = "",
    state: str = "",
    prefix: str = "recurrent",
    write_layer: WriteLayer | None = None,
) -> RecurrentValues:
    """Add a stack of recurrent layers, one operator per layer; between them what `Recurrent` has there.

    Args:
        graph: where to.
        layers: the trained stack.
        inputs: [time, rows, input].
        lengths: [rows] int32; left out, every row is as long as time.
        state: [rows, state_size]; left out, zeros. One direction only.
        prefix: begins the names of what is added.
        write_layer: another way to write a layer than one operator.
    """
    initial = _split_state(graph, layers, state, prefix)
    last_vectors: list[list[str]] = []  # per layer: hidden and, for an LSTM, cell
    for layer in range(layers.layers):
        name = f"{prefix}.layer{layer}"
        outputs = [f"{name}.{kind}" for kind in ("outputs", "hidden", "cell")[: 3 if layers.cell == "lstm" else 2]]
        values = LayerValues(name, inputs, lengths, initial[layer :: layers.layers], outputs)
        (write_layer or _write_operator)(graph, layers, layer, values)
        inputs = _write_between(graph, layers, layer, inputs, _join_directions(graph, layers, outputs[0]))
        last_vectors.append([_flatten_directions(graph, layers, output) for output in outputs[1:]])
    by_kind = [vector for kind in zip(*last_vectors, strict=True) for vector in kind]
    last = last_vectors[-1][0]
    if layers.residual or layers.norms:  # else the operators have left zeros on padding, and hidden vectors are outputs
        inputs = _blank_padding(graph, inputs, lengths, prefix) if lengths else inputs
        last = _write_last(graph, layers, inputs, lengths, prefix)
    return RecurrentValues(outputs=inputs, last=last, vectors=by_kind)


def _write_operator(graph: GraphWriter, layers: Recurrent, layer: int, values: LayerValues) -> None:
    weights = [graph.recurrent(f"{values.name}.{key}", array) for key, array in onnx_weights(layers, layer).items()]
    attributes: dict[str, object] = {"linear_before_reset": 1} if layers.cell == "gru" else {}
    given = _with_company(graph, values) if layers.cell == "rnn" else values
    graph.nodes(
        _OPERATORS[layers.cell],
        [given.inputs, *weights, given.lengths, *given.initial],
        given.outputs,
        hidden_size=layers.hidden_size,
        direction="bidirectional" if layers.directions == 2 else "forward",
        **attributes,
    )
    for crowded, output in zip(given.outputs, values.outputs, strict=True):
        if crowded != output:
            bounds = [
                graph.constant(f"company.{name}", [bound]) for name, bound in (("from", 0), ("to", -1), ("axis", -2))
            ]
            graph.node("Slice", [crowded, *bounds], output)


def _with_company(graph: GraphWriter, values: LayerValues) -> LayerValues:
    """Read the first row twice, so that no row is ever alone.

    ONNX Runtime computes RNN's products anew in each run and takes another kernel for a single row, which rounds
    otherwise: alone, a row would get other bits than in a batch. GRU and LSTM keep packed weights and one kernel.
    """

    def accompanied(value: str, axis: int) -> str:
        first = graph.node(
            "Gather", [value, graph.constant("company.row", [0])], f"{values.name}.of.{value}", axis=axis
        )
        return graph.node("Concat", [value, first], f"{values.name}.with.{value}", axis=axis)

    return LayerValues(
        name=values.name,
        inputs=accompanied(values.inputs, 1),
        lengths=values.lengths and accompanied(values.lengths, 0),
        initial=[accompanied(vector, 1) for vector in values.initial],
        outputs=[f"{output}.accompanied" for output in values.outputs],
    )


def _write_between(graph: GraphWriter, layers: Recurrent, layer: int, inputs: str, outputs: str) -> str:
    """Add the residual sum and the norm of a layer, each where the stack has it, to `outputs` [time, rows, size]."""
    if layers.sums(layer):
        outputs = graph.node("Add", [outputs, inputs], f"{outputs}.residual")
    norm = layers.norm(layer)
    if norm is None:
        return outputs
    operands = [graph.constant(f"{outputs}.{kind}", weight) for kind, weight in norm.named_parameters()]
    return graph.node("LayerNormalization", [outputs, *operands], f"{outputs}.norm", axis=-1, epsilon=norm.eps)


def _blank_padding(graph: GraphWriter, outputs: str, lengths: str, prefix: str) -> str:
    """Make exactly zero what stands past a row's length in `outputs` [time, rows, size]."""
    positions = graph.unsqueeze(_count_axis(graph, outputs, 0, f"{prefix}.positions"), 1, f"{prefix}.positions.column")
    real = graph.node("Less", [positions, lengths], f"{prefix}.real")  # [time, rows]
    blank = graph.constant("blank", np.float32(0))
    return graph.node("Where", [graph.unsqueeze(real, 2, f"{prefix}.real.each"), outputs, blank], f"{prefix}.blanked")


def _write_last(graph: GraphWriter, layers: Recurrent, outputs: str, lengths: str, prefix: str) -> str:
    """Choose from `outputs` [time, rows, size] what each direction gave last: [rows, size]."""
    if not lengths:
        return graph.node("Gather", [outputs, graph.constant("end", np.int64(-1))], f"{prefix}.last", axis=0)
    ends = _write_ends(graph, layers, outputs, lengths, prefix)
    if layers.directions == 1:
        return ends
    begins = graph.node("Gather", [outputs, graph.constant("begin", np.int64(0))], f"{prefix}.begins", axis=0)
    sizes = graph.constant(f"{prefix}.halves", [layers.hidden_size] * 2)
    halves = [[f"{value}.{half}" for half in ("forward", "backward")] for value in (ends, begins)]
    for value, names in zip((ends, begins), halves, strict=True):
        graph.nodes("Split", [value, sizes], names, axis=1)
    return graph.node("Concat", [halves[0][0], halves[1][1]], f"{prefix}.last", axis=1)


def _write_ends(graph: GraphWriter, layers: Recurrent, outputs: str, lengths: str, prefix: str) -> str:
    """Choose from `outputs` [time, rows, size] each row's vector at its length: position (length - 1) * rows + row."""
    rows = _count_axis(graph, outputs, 1, f"{prefix}.rows")
    before = graph.node("Sub", [lengths, graph.constant("one.int32", np.int32(1))], f"{prefix}.before_length")
    offsets = graph.node("Mul", [before, f"{prefix}.rows.count.int32"], f"{prefix}.offsets")
    places = graph.node("Add", [offsets, rows], f"{prefix}.places")
    flat = graph.constant(f"{prefix}.flat", [-1, layers.output_size])
    return graph.node("Gather", [graph.node("Reshape", [outputs, flat], f"{prefix}.all"), places], f"{prefix}.ends")


def _count_axis(graph: GraphWriter, value: str, axis: int, output: str) -> str:
    """Add 0, 1, 2 ... along an axis of `value`, int32; the length of the axis is `output`.count.int32."""
    size = graph.node("Shape", [value], f"{output}.size", start=axis, end=axis + 1)
    count = graph.node(
        "Cast", [graph.squeeze(size, 0, f"{output}.count")], f"{output}.count.int32", to=TensorProto.INT32
    )
    bounds = (graph.constant("zero.int32", np.int32(0)), graph.constant("one.int32", np.int32(1)))
    return graph.node("Range", [bounds[0], count, bounds[1]], output)


def write_state(graph: GraphWriter, vectors: list[str], output: str) -> str:
    """Join vectors [rows, size] into the state called `output`."""
    return graph.node("Concat", vectors, output, axis=1)


def onnx_weights(layers: Recurrent, layer: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return one layer's weights as the operators take them, gates in ONNX's order.

    They are permuted here and not in the graph, so that the operators get constants and runtimes can pack them once.

    Returns:
        W [directions, gates * hidden, input], R [directions, gates * hidden, hidden] and
        B [directions, 2 * gates * hidden].
    """
    stack = layers.layer(layer)
    directions = [weights_of(stack, backward=backward) for backward in (False, True)[: layers.directions]]
    order = _GATE_ORDER[layers.cell]

    def permuted(values: Tensor) -> npt.NDArray[np.float32]:
        gates = values.chunk(len(order))
        return torch.cat([gates[gate] for gate in order]).detach().numpy()

    return {
        "W": np.stack([permuted(weights.input_matrix) for weights in directions]),
        "R": np.stack([permuted(weights.recurrent_matrix) for weights in directions]),
        "B": np.stack(
            [np.concatenate([permuted(weights.input_bias), permuted(weights.recurrent_bias)]) for weights in directions]
        ),
    }


def _split_state(graph: GraphWriter, layers: Recurrent, state: str, prefix: str) -> list[str]:
    """Cut [rows, state_size] into [1, rows, hidden_size] each."""
    if not state:
        return []
    names = [f"{prefix}.initial{vector}" for vector in range(layers.vector_count)]
    batch_first = [f"{name}.rows" for name in names]
    sizes = graph.constant(f"{prefix}.sizes", [layers.hidden_size] * layers.vector_count)
    graph.nodes("Split", [state, sizes], batch_first, axis=1)
    return [graph.unsqueeze(rows, 0, name) for rows, name in zip(batch_first, names, strict=True)]


def _join_directions(graph: GraphWriter, layers: Recurrent, outputs: str) -> str:
    """[time, directions, rows, hidden] -> [time, rows, directions * hidden]."""
    if layers.directions == 1:
        return graph.squeeze(outputs, 1, f"{outputs}.joined")
    moved = graph.node("Transpose", [outputs], f"{outputs}.moved", perm=[0, 2, 1, 3])
    shape = graph.constant(f"{outputs}.shape", [0, 0, layers.output_size])
    return graph.node("Reshape", [moved, shape], f"{outputs}.joined")


def _flatten_directions(graph: GraphWriter, layers: Recurrent, vectors: str) -> str:
    """[directions, rows, hidden] -> [rows, directions * hidden]."""
    if layers.directions == 1:
        return graph.squeeze(vectors, 0, f"{vectors}.flat")
    moved = graph.node("Transpose", [vectors], f"{vectors}.moved", perm=[1, 0, 2])
    shape = graph.constant(f"{vectors}.shape", [0, layers.output_size])
    return graph.node("Reshape", [moved, shape], f"{vectors}.flat")


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, _ELEMENT_TYPES[spec.dtype], spec.shape)
