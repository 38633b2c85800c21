"""Why an int8 LSTM may serve: the range that it quantises by is the same in every run.   Reads graphs, runs none.

`com.microsoft.DynamicQuantizeLSTM` takes the range of what it reads, and of the hidden vectors, from all rows of a run,
so that an answer would depend on its neighbours. Two more columns settle that: they hold the ends of a range that
nothing else can leave, `+bound` and `-bound`, in every row. What a layer reads is clipped to its bound, as are the
vectors that it begins with; later hidden vectors are sigmoids times tanhs, and two more units hold the largest of
those, whatever is read: their input gate is shut, their output and forget gates are open, and no weight reaches them.
In ONNX Runtime's float32 the largest are not 1, nor where the argument is largest: `service.runtime.pins` looks whether
this machine agrees.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

from service.errors import BundleError

SHARED_SCALE = "it shares one scale across the batch, so an answer would depend on its neighbours"
OPERATOR = "DynamicQuantizeLSTM"
DOMAIN = "com.microsoft"

PINNED_COUNT = 2
"""Columns, and units, that hold the ends of a range: its upper, then its lower."""

CELL_BOUND = float(np.float32(8.47554))
"""Where the cells of pinned units stay: where ONNX Runtime's tanh is largest, 1.0000002."""

OUTPUT_BIAS = float(np.float32(17.482065))
"""Of their output gates: where its sigmoid is largest, 1.0000001."""

HIDDEN_BOUND = float(np.float32(1) + 3 * np.finfo(np.float32).eps)
"""No element of a hidden vector is larger: the product of the two."""

GATE_BOUND = 100.0
"""Bias that shuts the input gate of a pinned unit, or opens its forget gate, for good: sigmoid is 0 or 1."""

LARGEST = 1e6
"""Bounds, biases and scales beyond this are refused, as is what is not finite: nothing in a run may become NaN."""

SMALLEST = 1e-6
"""A bound below this is refused."""

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P", "W_scale", "W_zero", "R_scale", "R_zero")
_INTEGERS = ("W", "R", "W_zero", "R_zero")
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
_STORED = ("W", "R", "B", "W_scale", "W_zero", "R_scale", "R_zero")
_ATTRIBUTES = frozenset({"direction", "hidden_size"})

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Values:
    """What is known of the values of a graph without running it: who makes them, and the stored ones."""

    makers: Mapping[str, NodeProto]
    stored: Mapping[str, TensorProto]

    def scalar(self, name: str) -> float:
        """The only element of a stored value; NaN, which fits no bound, where there is no such value."""
        tensor = self.stored.get(name)
        array = np.empty(0) if tensor is None else numpy_helper.to_array(tensor)
        return float(array.reshape(-1)[0]) if array.size == 1 else np.nan

    def made_by(self, operator: str, name: str) -> NodeProto | None:
        """The node of the default domain that makes a value, if it is an `operator`."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type == operator and not node.domain else None


def check_pinned(graph: GraphProto) -> None:
    """Refuse a graph in which an LSTM quantises by a range that depends on the rows of a run.

    Raises:
        BundleError: names the node and what it lacks.
    """
    nodes = [node for node in graph.node if node.op_type == OPERATOR]
    if not nodes:
        return
    makers = {output: node for node in graph.node for output in node.output}
    values = _Values(makers, {tensor.name: tensor for tensor in graph.initializer})
    for node in nodes:
        for fault in _faults(node, values):
            raise BundleError(f"node {node.name!r} ({DOMAIN}.{OPERATOR}): {fault}; else {SHARED_SCALE}")
    for tensor in graph.initializer:
        if tensor.data_type in _FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise BundleError(f"initialiser {tensor.name!r} is not finite: beside {OPERATOR}, neighbours would know it")


def _faults(node: NodeProto, values: _Values) -> Iterable[str]:
    given = dict(zip(_INPUTS, node.input, strict=False))
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if attributes.keys() - _ATTRIBUTES or len(attributes) < len(node.attribute) or given.get("P"):
        yield "only direction and hidden_size may be set, and no peepholes"
        return
    missing = [name for name in _STORED if given.get(name) not in values.stored]
    if missing:
        yield f"{', '.join(missing)} must be stored in the graph"
        return
    pins = {name: _pin(values, given.get(name, "")) for name in ("X", "initial_h", "initial_c")}
    if not SMALLEST <= pins["X"].bound <= LARGEST or not _clips(values, pins["X"], pins["X"].bound):
        yield "X must end with two columns of +bound and -bound, padded onto what was clipped to that bound"
    if pins["initial_h"].bound != HIDDEN_BOUND or not _clips(values, pins["initial_h"], HIDDEN_BOUND):
        yield f"initial_h must end with two units of +-{HIDDEN_BOUND:.9g}, padded onto what was clipped to that bound"
    if pins["initial_c"].bound != CELL_BOUND or not _clips(values, pins["initial_c"], LARGEST):
        yield f"initial_c must end with two units of +-{CELL_BOUND:.9g}, padded onto what was clipped to {LARGEST:g}"
    weights = {name: numpy_helper.to_array(values.stored[given[name]]) for name in _STORED}
    if any(weights[name].dtype != np.int8 for name in _INTEGERS) or weights["W_zero"].any() or weights["R_zero"].any():
        yield "weights must be int8, with zero points of 0"
    if any(not (np.abs(weights[name]) <= LARGEST).all() for name in ("B", "W_scale", "R_scale")):
        yield f"biases and scales must be within {LARGEST:g}"
    if not _keeps_pins(weights, _size(attributes.get("hidden_size"))):
        yield (
            f"biases alone must hold its last two units: input gates at -{GATE_BOUND:g} or less, output gates at "
            f"{OUTPUT_BIAS:.9g}, forget gates at {GATE_BOUND:g} or more, candidates at 0"
        )


@dataclass(frozen=True)
class _Pin:
    """What two paddings of the last axis, by `bound` and by -`bound`, were put onto. NaN: there are none such."""

    bound: float
    inside: str


def _pin(values: _Values, name: str) -> _Pin:
    bounds = []
    for _ in range(PINNED_COUNT):
        pad = values.made_by("Pad", name)
        if pad is None or len(pad.input) != 3 or pad.attribute or not _pads_one_column(values, pad.input[1]):
            return _Pin(np.nan, "")
        bounds.append(values.scalar(pad.input[2]))
        name = pad.input[0]
    lower, upper = bounds
    return _Pin(upper if lower == -upper else np.nan, name)


def _pads_one_column(values: _Values, name: str) -> bool:
    tensor = values.stored.get(name)
    return tensor is not None and numpy_helper.to_array(tensor).tolist() == [0, 0, 0, 0, 0, 1]


def _clips(values: _Values, pin: _Pin, bound: float) -> bool:
    clip = values.made_by("Clip", pin.inside)
    return clip is not None and [values.scalar(name) for name in clip.input[1:]] == [-bound, bound]


def _size(attribute: AttributeProto | None) -> int:
    return 0 if attribute is None else attribute.i


def _keeps_pins(weights: Mapping[str, Array], size: int) -> bool:
    """Whether no weight reaches the last two units and their biases hold them. Gates in ONNX's order: i, o, f, c."""
    if weights["B"].shape[-1] != 8 * size or any(weights[name].shape[-1] != 4 * size for name in ("W", "R")):
        return False
    if any(weights[name].reshape(-1, 4, size)[..., -PINNED_COUNT:].any() for name in ("W", "R")):
        return False
    biases = weights["B"].reshape(-1, 2, 4, size).sum(axis=1)[..., -PINNED_COUNT:]  # [directions, gates, pinned]
    shut, opened, kept, candidate = np.moveaxis(biases, 1, 0)
    gates = (shut <= -GATE_BOUND).all() and (opened == OUTPUT_BIAS).all() and (kept >= GATE_BOUND).all()
    return bool(gates and not candidate.any())
