"""Writes an LSTM in int8 that leaves rows alone: one operator, over any time, its ranges pinned.

The operator quantises by the range of all rows of a run; `service.bundle.pinned` says how two more columns make that
range the same in every run. So a text read at once, or token by token, alone or in a crowd, gives the same bits.
"""

import numpy as np
import numpy.typing as npt

from service.bundle.pinned import (
    CELL_BOUND,
    DOMAIN,
    GATE_BOUND,
    HIDDEN_BOUND,
    LARGEST,
    OPERATOR,
    OUTPUT_BIAS,
    PINNED_COUNT,
    SMALLEST,
)
from training.export.graphs.quantize import quantise_rows
from training.export.graphs.writer import GraphWriter, LayerValues, WriteLayer, onnx_weights
from training.models.layers.recurrent import Recurrent

_PIN_BIASES = (-GATE_BOUND, OUTPUT_BIAS, GATE_BOUND, 0.0)
"""Of the gates of a pinned unit, in ONNX's order: input, output, forget, candidate."""


def can_pin(layers: Recurrent) -> bool:
    """Whether a stack can be written so: an LSTM, between whose layers no norm leaves a bound unknown."""
    return layers.cell == "lstm" and not layers.norms


def gives_bounded(layers: Recurrent) -> bool:
    """Whether nothing that a stack gives is beyond 1, whatever it begins with: a sigmoid times a tanh, and no more."""
    return can_pin(layers) and not layers.sums(layers.layers - 1)


def pinned_layers(bound: float) -> WriteLayer:
    """Return what writes the layers of a stack.

    Args:
        bound: what the first layer reads is clipped to plus and minus this; one that reaches it loses nothing.
    """

    def write(graph: GraphWriter, layers: Recurrent, layer: int, values: LayerValues) -> None:
        _write_pinned(graph, layers, layer, values, _bound_of(layers, layer, bound))

    return write


def _bound_of(layers: Recurrent, layer: int, first: float) -> float:
    """The largest magnitude of what a layer can be given: hidden vectors, and what residual sums add to them."""
    bound = max(first, SMALLEST)
    for below in range(layer):
        bound = HIDDEN_BOUND + (bound if layers.sums(below) else 0.0)
    return bound


def _write_pinned(graph: GraphWriter, layers: Recurrent, layer: int, values: LayerValues, bound: float) -> None:
    name = values.name
    initial = values.initial or _zeros(graph, layers, values)
    weights = [graph.constant(f"{name}.{key}", array) for key, array in pinned_weights(layers, layer).items()]
    crowded = [f"{output}.pinned" for output in values.outputs]
    graph.nodes(
        OPERATOR,
        [
            _pinned(graph, _clipped(graph, values.inputs, bound), bound),
            *weights[:3],
            values.lengths,
            _pinned(graph, _clipped(graph, initial[0], HIDDEN_BOUND), HIDDEN_BOUND),
            _pinned(graph, _clipped(graph, initial[1], LARGEST), CELL_BOUND),
            "",
            *weights[3:],
        ],
        crowded,
        domain=DOMAIN,
        hidden_size=layers.hidden_size + PINNED_COUNT,
        direction="bidirectional" if layers.directions == 2 else "forward",
    )
    cuts = [graph.constant(f"pins.{key}", [value]) for key, value in (("from", 0), ("to", -PINNED_COUNT), ("axis", -1))]
    for pinned, output in zip(crowded, values.outputs, strict=True):
        graph.node("Slice", [pinned, *cuts], output)


def _clipped(graph: GraphWriter, value: str, bound: float) -> str:
    ends = [graph.constant(f"pins.{end:.9g}", np.float32(end)) for end in (-bound, bound)]
    return graph.node("Clip", [value, *ends], f"{value}.clipped")


def _pinned(graph: GraphWriter, value: str, bound: float) -> str:
    """Add the columns +bound and -bound to `value` [., rows, size]."""
    column = graph.constant("pins.column", [0, 0, 0, 0, 0, 1])
    for end, number in (("upper", bound), ("lower", -bound)):
        held = graph.constant(f"pins.{number:.9g}", np.float32(number))
        value = graph.node("Pad", [value, column, held], f"{value}.{end}")
    return value


def _zeros(graph: GraphWriter, layers: Recurrent, values: LayerValues) -> list[str]:
    """Zeros [directions, rows, hidden], for the hidden and the cell vectors."""
    shape = [layers.directions, 1, layers.hidden_size]
    sides = [graph.constant(f"pins.zero.{key}", [size]) for key, size in (("first", shape[0]), ("last", shape[2]))]
    rows = graph.node("Shape", [values.inputs], f"{values.name}.rows", start=1, end=2)
    wanted = graph.node("Concat", [sides[0], rows, sides[1]], f"{values.name}.shape", axis=0)
    names = [f"{values.name}.initial.{kind}" for kind in ("hidden", "cell")]
    zero = graph.constant("pins.zero", np.zeros((1, 1, 1), np.float32))
    return [graph.node("Expand", [zero, wanted], name) for name in names]


def pinned_weights(layers: Recurrent, layer: int) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int8]]:
    """Return one layer's weights as the operator takes them, with the pinned columns and units.

    Returns:
        W [directions, input + 2, 4 * (hidden + 2)] and R [directions, hidden + 2, 4 * (hidden + 2)], int8 within -63 to
        63; B [directions, 8 * (hidden + 2)]; then scales and zero points, for W and R, [directions, 4 * (hidden + 2)].
    """
    weights = onnx_weights(layers, layer)
    directions = len(weights["B"])
    by_gate = weights["B"].reshape(directions, 2, 4, -1)
    biases = np.pad(by_gate, ((0, 0), (0, 0), (0, 0), (0, PINNED_COUNT)))
    biases[:, 0, :, -PINNED_COUNT:] = np.array(_PIN_BIASES, dtype=np.float32)[:, np.newaxis]
    (inputs, input_scales), (recurrent, recurrent_scales) = (_quantised(weights[key]) for key in "WR")
    zeros = np.zeros_like(input_scales, dtype=np.int8)
    return {
        "W": inputs,
        "R": recurrent,
        "B": biases.reshape(directions, -1),
        "W.scale": input_scales,
        "W.zero": zeros,
        "R.scale": recurrent_scales,
        "R.zero": zeros,
    }


def _quantised(matrices: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """[directions, 4 * hidden, inputs] -> int8 [directions, inputs + 2, 4 * (hidden + 2)] and the columns' scales."""
    rows = [quantise_rows(matrix) for matrix in matrices]
    directions, count, width = matrices.shape
    values = np.stack([one.values for one in rows]).reshape(directions, 4, count // 4, width)
    padded = np.pad(values, ((0, 0), (0, 0), (0, PINNED_COUNT), (0, PINNED_COUNT)))
    scales = np.stack([one.scales for one in rows]).reshape(directions, 4, count // 4)
    wide = np.pad(scales, ((0, 0), (0, 0), (0, PINNED_COUNT)), constant_values=1.0)
    flat = padded.reshape(directions, -1, width + PINNED_COUNT)
    return np.ascontiguousarray(flat.transpose(0, 2, 1)), wide.reshape(directions, -1)
