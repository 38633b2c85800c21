"""An LSTM in int8 whose ranges are pinned: near PyTorch's, and no row, no padding and no cut changes a bit of it."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from service.bundle.pinned import CELL_BOUND, OUTPUT_BIAS
from service.runtime.golden import Array
from service.runtime.session import GraphSession, open_session
from training.export.graphs.pinned import can_pin, gives_bounded, pinned_layers, pinned_weights
from training.export.graphs.quantised import QuantisedWriter
from training.export.graphs.writer import WrittenGraph, write_recurrent, write_state
from training.models.layers.recurrent import Recurrent

INPUT, HIDDEN, BOUND = 5, 7, 2.0


def stack(*, layers: int = 1, bidirectional: bool = False, residual: bool = False) -> Recurrent:
    torch.manual_seed(0)
    width = HIDDEN if residual else INPUT
    made = Recurrent("lstm", width, HIDDEN, layers=layers, bidirectional=bidirectional, residual=residual)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def written(layers: Recurrent) -> WrittenGraph:
    """inputs [time, rows, input], lengths, (state) -> outputs, next_state; in one direction a state is carried."""
    graph = QuantisedWriter("pinned")
    inputs = graph.input("inputs", "float32", "time", "rows", layers.input_size)
    lengths = graph.node("Cast", [graph.input("lengths", "int64", "rows")], "short", to=onnx.TensorProto.INT32)
    state = graph.input("state", "float32", "rows", layers.state_size) if layers.directions == 1 else ""
    values = write_recurrent(
        graph, layers, inputs, lengths=lengths, state=state, write_layer=pinned_layers(BOUND), prefix="lstm"
    )
    graph.node("Identity", [values.outputs], "outputs")
    graph.output("outputs", "time", "rows", layers.output_size)
    graph.output(write_state(graph, values.vectors, "next_state"), "rows", layers.state_size)
    return graph.finish("pinned.onnx")


def opened(layers: Recurrent) -> GraphSession:
    graph = written(layers)
    return open_session(graph.raw, graph.signature, where="pinned")


def batch(layers: Recurrent, rows: int, time: int, *, wild: bool = False) -> list[Array]:
    random = np.random.default_rng(0)
    inputs = random.uniform(-BOUND, BOUND, (time, rows, layers.input_size)).astype(np.float32)
    if wild:  # ranges that would differ from row to row, some of them far beyond the bound
        inputs *= np.logspace(-4, 4, rows, dtype=np.float32)[:, None]
    lengths = random.integers(1, time + 1, rows)
    lengths[0] = time
    state = random.uniform(-1, 1, (rows, layers.state_size)).astype(np.float32)
    return [inputs, lengths, state] if layers.directions == 1 else [inputs, lengths]


STACKS = [
    pytest.param({}, id="one layer"),
    pytest.param({"layers": 3}, id="three layers"),
    pytest.param({"layers": 2, "bidirectional": True}, id="both directions"),
    pytest.param({"layers": 3, "residual": True}, id="residual"),
]


@pytest.mark.parametrize("options", STACKS)
@torch.no_grad()
def test_it_is_near_pytorch(options: dict[str, bool]) -> None:
    layers = stack(**options)
    inputs, lengths, *state = batch(layers, rows=6, time=9)
    lengths[:] = 9
    found, _ = opened(layers)(inputs, lengths, *state)
    begin = torch.from_numpy(state[0]) if state else None
    expected, _ = layers.read(torch.from_numpy(inputs).transpose(0, 1), begin)
    difference = np.abs(found - expected.transpose(0, 1).numpy())
    assert difference.max() < 0.1
    assert difference.mean() < 0.02


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("options", STACKS)
def test_a_row_gives_the_same_bits_alone_and_in_a_crowd(options: dict[str, bool], wild: bool) -> None:
    layers = stack(**options)
    session = opened(layers)
    inputs, lengths, *state = batch(layers, rows=17, time=12, wild=wild)
    together, after = session(inputs, lengths, *state)
    for row, length in enumerate(lengths.tolist()):
        mine = [vectors[row : row + 1] for vectors in (lengths, *state)]
        alone, last = session(inputs[:length, row : row + 1], *mine)
        assert alone[:, 0].tobytes() == together[:length, row].tobytes()
        assert last[0].tobytes() == after[row].tobytes()


def test_a_text_read_at_once_gives_the_same_bits_as_step_by_step() -> None:
    layers = stack(layers=2)
    session = opened(layers)
    inputs, lengths, state = batch(layers, rows=4, time=9, wild=True)
    lengths[:] = 9
    at_once, after = session(inputs, lengths, state)
    steps = []
    for time in range(9):
        outputs, state = session(inputs[time : time + 1], np.ones_like(lengths), state)
        steps.append(outputs)
    assert np.concatenate(steps).tobytes() == at_once.tobytes()
    assert state.tobytes() == after.tobytes()


@torch.no_grad()
def test_a_unit_where_tanh_and_sigmoid_are_largest_does_not_move_the_range() -> None:
    layers = stack()
    for parameter in layers.parameters():
        parameter[: 4 * HIDDEN : HIDDEN] = 0  # the first unit knows only its biases: torch's order is i, f, g, o
    biases = layers.get_parameter("fused.0.bias_ih_l0")
    biases[[0, HIDDEN, 2 * HIDDEN, 3 * HIDDEN]] = torch.tensor([-100.0, 100.0, 0.0, OUTPUT_BIAS])
    session = opened(layers)
    inputs, lengths, state = batch(layers, rows=6, time=3)
    lengths[:] = 3
    state[::2, HIDDEN] = CELL_BOUND  # its cell, of every other row
    together, _ = session(inputs, lengths, state)
    assert together[0, 0, 0] > 1
    for row in range(6):
        alone, _ = session(inputs[:, row : row + 1], lengths[row : row + 1], state[row : row + 1])
        assert alone[:, 0].tobytes() == together[:, row].tobytes()


def test_without_the_pins_rows_would_know_their_neighbours() -> None:
    layers = stack()
    graph = written(layers)
    model = onnx.load_from_string(graph.raw)
    for tensor in model.graph.initializer:
        if tensor.name in {"pins.2", "pins.-2"}:  # the columns that hold the range of what is read, and its clipping
            wide = 1e4 * numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(wide, np.float32), tensor.name))
    for node in model.graph.node:
        if node.op_type == "Pad" and node.input[2] in {"pins.2", "pins.-2"}:
            node.input[2] = "nothing"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(0, np.float32), "nothing"))
    session = open_session(model.SerializeToString(), graph.signature, where="stock")
    inputs, lengths, state = batch(layers, rows=5, time=6, wild=True)
    lengths[:] = 6
    together, _ = session(inputs, lengths, state)
    alone, _ = session(inputs[:, :1], lengths[:1], state[:1])
    assert alone[:, 0].tobytes() != together[:, 0].tobytes()


def test_a_model_without_a_bound_is_not_written_so() -> None:
    assert can_pin(stack())
    assert not can_pin(Recurrent("gru", INPUT, HIDDEN))
    assert not can_pin(Recurrent("lstm", INPUT, HIDDEN, layers=2, layer_norm=True))
    assert gives_bounded(stack(layers=2))
    assert not gives_bounded(stack(layers=2, residual=True))


def test_weights_keep_to_seven_bits_and_leave_the_pinned_units_alone() -> None:
    weights = pinned_weights(stack(), 0)
    assert weights["W"].shape == (1, INPUT + 2, 4 * (HIDDEN + 2))
    assert weights["R"].shape == (1, HIDDEN + 2, 4 * (HIDDEN + 2))
    for key in ("W", "R"):
        assert np.abs(weights[key].astype(int)).max() == 63
        assert not weights[key].reshape(-1, 4, HIDDEN + 2)[..., -2:].any()
    assert weights["B"].reshape(2, 4, HIDDEN + 2)[0, :, -1].tolist() == [-100, OUTPUT_BIAS, 100, 0]
