"""An LSTM in int8 passes only where its ranges are pinned; every way to lose a pin is refused with the reason."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from service.bundle.graphs import check_graph
from service.bundle.manifest import Graph
from service.bundle.pinned import CELL_BOUND, OPERATOR
from service.errors import BundleError
from training.export.graphs.pinned import pinned_layers
from training.export.graphs.quantised import QuantisedWriter
from training.export.graphs.writer import write_recurrent
from training.models.layers.recurrent import Recurrent

HIDDEN = 3
SIZE = HIDDEN + 2
DOMAINS = {"QuantizeLinear": "", "MatMulIntegerToFloat": "com.microsoft"}
Change = Callable[[ModelProto], None]


def pinned() -> tuple[ModelProto, Graph]:
    graph = QuantisedWriter("pinned")
    inputs = graph.input("inputs", "float32", "time", "rows", 4)
    state = graph.input("state", "float32", "rows", 2 * HIDDEN)
    values = write_recurrent(
        graph, Recurrent("lstm", 4, HIDDEN), inputs, state=state, write_layer=pinned_layers(2.0), prefix="lstm"
    )
    graph.node("Identity", [values.last], "last")
    graph.output("last", "rows", HIDDEN)
    written = graph.finish("pinned.onnx")
    return onnx.load_from_string(written.raw), written.signature


def operator(model: ModelProto) -> NodeProto:
    return next(node for node in model.graph.node if node.op_type == OPERATOR)


def stored(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def maker(model: ModelProto, value: str) -> NodeProto:
    return next(node for node in model.graph.node if value in node.output)


def changed(name: str, index: tuple[int, ...], number: float) -> Change:
    def change(model: ModelProto) -> None:
        array = numpy_helper.to_array(stored(model, name)).copy()
        array[index] = number
        stored(model, name).CopyFrom(numpy_helper.from_array(array, name))

    return change


def padded_with(place: int, number: float) -> Change:
    """Let the last padding of an input of the operator put another number."""

    def change(model: ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(number, np.float32), "other"))
        maker(model, operator(model).input[place]).input[2] = "other"

    return change


def without_clip(place: int) -> Change:
    def change(model: ModelProto) -> None:
        inner = maker(model, maker(model, operator(model).input[place]).input[0])
        inner.input[0] = maker(model, inner.input[0]).input[0]

    return change


def clipped_wider(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(5, np.float32), "other"))
    maker(model, "inputs.clipped").input[2] = "other"


def elsewhere(model: ModelProto) -> None:
    for sign in (1, -1):
        changed(f"pins.{sign * CELL_BOUND:.9g}", (), sign * 20)(model)


def open_wide(model: ModelProto) -> None:
    for unit in (SIZE - 2, SIZE - 1):
        changed("lstm.layer0.B", (0, SIZE + unit), 100)(model)


def unsigned(model: ModelProto) -> None:
    for name in ("W", "R"):
        tensor = stored(model, f"lstm.layer0.{name}")
        array = (numpy_helper.to_array(tensor).astype(np.int16) + 128).astype(np.uint8)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def bounded_by(bound: float) -> Change:
    def change(model: ModelProto) -> None:
        for sign in (1, -1):
            changed(f"pins.{sign * 2}", (), sign * bound)(model)

    return change


def without_pads(model: ModelProto) -> None:
    operator(model).input[0] = "inputs.clipped"


def pads_in_front(model: ModelProto) -> None:
    changed("pins.column", (2,), 1)(model)


def made_weights(model: ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Identity", [operator(model).input[2]], ["made"]))
    operator(model).input[2] = "made"


def with_peepholes(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3 * SIZE), np.float32), "peepholes"))
    operator(model).input[7] = "peepholes"


def with_other_gates(model: ModelProto) -> None:
    operator(model).attribute.append(helper.make_attribute("activations", ["Relu", "Tanh", "Tanh"]))


def test_what_the_exporter_writes_passes() -> None:
    model, graph = pinned()
    check_graph(model.SerializeToString(), graph, where="pinned.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(without_pads, "X must end with two columns", id="nothing padded"),
        pytest.param(pads_in_front, "X must end with two columns", id="padded on another side"),
        pytest.param(padded_with(0, -1.5), "X must end with two columns", id="X uneven"),
        pytest.param(without_clip(0), "clipped to that bound", id="X not clipped"),
        pytest.param(clipped_wider, "clipped to that bound", id="X clipped wider"),
        pytest.param(padded_with(5, -0.5), "initial_h must end with two units of", id="hidden vector uneven"),
        pytest.param(without_clip(5), "initial_h .* clipped to that bound", id="hidden vector not clipped"),
        pytest.param(padded_with(6, -3), "initial_c must end with two units of", id="cell uneven"),
        pytest.param(
            changed("pins.-8.47554016", (), -3),
            "initial_c must end with two units of",
            id="cell uneven by its constant",
        ),
        pytest.param(without_clip(6), "initial_c .* clipped", id="cell not clipped"),
        pytest.param(elsewhere, "initial_c must end with two units of", id="cells where tanh is not largest"),
        pytest.param(open_wide, "biases alone must hold", id="an output gate where the sigmoid is not largest"),
        pytest.param(changed("lstm.layer0.W.zero", (0, 1), 1), "zero points of 0", id="a zero point"),
        pytest.param(unsigned, "weights must be int8", id="unsigned weights"),
        pytest.param(changed("lstm.layer0.B", (0, 0), np.nan), "biases and scales must be within", id="a bias is NaN"),
        pytest.param(changed("lstm.layer0.R.scale", (0, 0), np.inf), "biases and scales", id="an infinite scale"),
        pytest.param(bounded_by(np.inf), "X must end with two columns", id="no bound"),
        pytest.param(bounded_by(1e-9), "X must end with two columns", id="hardly any range"),
        pytest.param(made_weights, "R must be stored", id="weights made by the graph"),
        pytest.param(with_peepholes, "no peepholes", id="peepholes"),
        pytest.param(with_other_gates, "only direction and hidden_size", id="other activations"),
        pytest.param(
            changed("lstm.layer0.W", (0, 1, SIZE - 1), 1), "biases alone must hold", id="an input reaches a pin"
        ),
        pytest.param(
            changed("lstm.layer0.R", (0, 1, 2 * SIZE - 2), 1), "biases alone must hold", id="a unit reaches a pin"
        ),
        pytest.param(changed("lstm.layer0.B", (0, SIZE - 1), -9), "biases alone must hold", id="a weak input gate"),
        pytest.param(changed("lstm.layer0.B", (0, 2 * SIZE - 1), 9), "biases alone must hold", id="a weak output gate"),
        pytest.param(changed("lstm.layer0.B", (0, 3 * SIZE - 1), 9), "biases alone must hold", id="a weak forget gate"),
        pytest.param(changed("lstm.layer0.B", (0, 4 * SIZE - 1), 1), "biases alone must hold", id="a candidate"),
    ],
)
def test_a_lost_pin_is_refused_with_the_reason(change: Change, message: str) -> None:
    model, graph = pinned()
    change(model)
    with pytest.raises(BundleError, match=message) as refused:
        check_graph(model.SerializeToString(), graph, where="pinned.onnx")
    assert "an answer would depend on its neighbours" in refused.value.message
    assert "\n" not in refused.value.message


def test_a_stored_number_that_is_not_finite_is_refused() -> None:
    model, graph = pinned()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, np.nan], np.float32), "table"))
    with pytest.raises(BundleError, match="'table' is not finite"):
        check_graph(model.SerializeToString(), graph, where="pinned.onnx")


@pytest.mark.parametrize("operator", ["QuantizeLinear", "MatMulIntegerToFloat"])
def test_a_scale_that_the_graph_makes_is_refused(operator: str) -> None:
    model, graph = pinned()
    inputs = ["inputs", "made", "zero"] if operator == "QuantizeLinear" else ["inputs", "weights", "made", "scale"]
    model.graph.node.append(helper.make_node(operator, inputs, ["unused"], domain=DOMAINS[operator]))
    with pytest.raises(BundleError, match="'made' must be stored: it shares one scale across the batch"):
        check_graph(model.SerializeToString(), graph, where="pinned.onnx")


def test_sizes_that_do_not_fit_are_refused() -> None:
    model, graph = pinned()
    next(one for one in operator(model).attribute if one.name == "hidden_size").i = SIZE + 1
    with pytest.raises(BundleError, match=OPERATOR):
        check_graph(model.SerializeToString(), graph, where="pinned.onnx")
