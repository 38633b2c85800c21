"""One step of a recurrent cell in elementary operators, for steps whose products are quantised.

The equations are `training.models.layers.cells`; gates stand in ONNX's order, as `onnx_weights` leaves them. Whole
sequences cannot be written so: a graph may not loop.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.export.graphs.writer import GraphWriter, LayerValues, onnx_weights
from training.models.layers.recurrent import Recurrent

Weights = Mapping[str, npt.NDArray[np.float32]]


def write_cell(graph: GraphWriter, layers: Recurrent, layer: int, values: LayerValues) -> None:
    """Add what ONNX's operator does in one direction, from a given state, for a time of 1.

    Raises:
        ValueError: the layer reads in both directions, or up to lengths, or starts from no state.
    """
    if layers.directions == 2 or values.lengths or not values.initial:
        raise ValueError(f"{values.name}: a cell is written for one direction, one time and a given state")
    weights = onnx_weights(layers, layer)
    now = graph.squeeze(values.inputs, 0, f"{values.name}.inputs")  # [rows, input]
    before = [graph.squeeze(vector, 0, f"{vector}.before") for vector in values.initial]  # [rows, hidden]
    match layers.cell:
        case "rnn":
            after = [_rnn(graph, values.name, weights, now, before[0])]
        case "lstm":
            after = _lstm(graph, values.name, weights, now, *before)
        case "gru":
            after = [_gru(graph, values.name, weights, now, before[0])]
    outputs, *last = values.outputs
    for vector, name in zip(after, last, strict=True):
        graph.unsqueeze(vector, 0, name)  # [1, rows, hidden]
    graph.unsqueeze(last[0], 0, outputs)  # [1, 1, rows, hidden]


def _rnn(graph: GraphWriter, prefix: str, weights: Weights, inputs: str, hidden: str) -> str:
    """Return h' = tanh(W x + R h + b)."""
    return graph.node("Tanh", [_summed(graph, prefix, weights, inputs, hidden)], f"{prefix}.after")


def _lstm(graph: GraphWriter, prefix: str, weights: Weights, inputs: str, hidden: str, cell: str) -> list[str]:
    """Return c' = f c + i g and h' = o tanh(c'). Gates in the order i, o, f, g."""
    to_input, to_output, to_forget, to_candidate = _gates(
        graph, _summed(graph, prefix, weights, inputs, hidden), ("input", "output", "forget", "candidate"), weights
    )
    kept = graph.node("Mul", [_sigmoid(graph, to_forget), cell], f"{prefix}.kept")
    candidate = graph.node("Tanh", [to_candidate], f"{to_candidate}.tanh")
    added = graph.node("Mul", [_sigmoid(graph, to_input), candidate], f"{prefix}.added")
    new_cell = graph.node("Add", [kept, added], f"{prefix}.after_cell")
    read = graph.node("Tanh", [new_cell], f"{prefix}.read")
    return [graph.node("Mul", [_sigmoid(graph, to_output), read], f"{prefix}.after"), new_cell]


def _gru(graph: GraphWriter, prefix: str, weights: Weights, inputs: str, hidden: str) -> str:
    """Return h' = n + z (h - n), n = tanh(W_n x + r (R_n h)). Gates in the order z, r, n; reset after the product."""
    from_inputs, from_hidden = _sums(graph, prefix, weights, inputs, hidden)
    names = ("update", "reset", "candidate")
    input_z, input_r, input_n = _gates(graph, from_inputs, names, weights)
    hidden_z, hidden_r, hidden_n = _gates(graph, from_hidden, names, weights)
    update = _sigmoid(graph, graph.node("Add", [input_z, hidden_z], f"{prefix}.update"))
    reset = _sigmoid(graph, graph.node("Add", [input_r, hidden_r], f"{prefix}.reset"))
    remembered = graph.node("Mul", [reset, hidden_n], f"{prefix}.remembered")
    proposed = graph.node("Add", [input_n, remembered], f"{prefix}.proposed")
    candidate = graph.node("Tanh", [proposed], f"{prefix}.candidate")
    change = graph.node("Sub", [hidden, candidate], f"{prefix}.change")
    return graph.node("Add", [candidate, graph.node("Mul", [update, change], f"{prefix}.step")], f"{prefix}.after")


def _summed(graph: GraphWriter, prefix: str, weights: Weights, inputs: str, hidden: str) -> str:
    """W x + R h + both biases, [rows, gates * hidden]."""
    return graph.node("Add", _sums(graph, prefix, weights, inputs, hidden), f"{prefix}.summed")


def _sums(graph: GraphWriter, prefix: str, weights: Weights, inputs: str, hidden: str) -> list[str]:
    """W x + b and R h + b', each [rows, gates * hidden]."""
    biases = _tensor(weights["B"]).chunk(2)
    sides = (("W", inputs, biases[0]), ("R", hidden, biases[1]))
    return [
        graph.affine(value, (f"{prefix}.{key}", _tensor(weights[key])), bias, f"{prefix}.by{key}")
        for key, value, bias in sides
    ]


def _gates(graph: GraphWriter, sums: str, names: Sequence[str], weights: Weights) -> list[str]:
    """Cut [rows, gates * hidden] into [rows, hidden] each."""
    hidden_size = weights["R"].shape[-1]
    gates = [f"{sums}.{name}" for name in names]
    graph.nodes("Split", [sums, graph.constant(f"{sums}.sizes", [hidden_size] * len(names))], gates, axis=1)
    return gates


def _sigmoid(graph: GraphWriter, value: str) -> str:
    return graph.node("Sigmoid", [value], f"{value}.gate")


def _tensor(array: npt.NDArray[np.float32]) -> Tensor:
    """The only direction's part."""
    return torch.from_numpy(array[0])
