"""What exporters of recurrent layers get silently wrong, held against our own writer: one test per trap."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnxruntime import InferenceSession
from torch import Tensor, nn

from service.runtime.session import open_session
from tests.parity import VOCABULARY, Case, architecture, export, largest_differences, opened
from training.export.graphs.writer import OPSET, WrittenGraph, onnx_weights
from training.models.classifier import Classifier
from training.models.layers.recurrent import Cell, Recurrent
from training.models.seq2seq import Seq2Seq

CELLS: list[Cell] = ["rnn", "lstm", "gru"]
CASES = [
    Case("classification", architecture("lstm", 2, bidirectional=True)),
    Case("generation", architecture("gru", 2)),
    Case("translation", architecture("lstm", 1, bidirectional=True, attention="additive")),
]
Change = Callable[[NodeProto], None]


def written(case: Case) -> list[tuple[WrittenGraph, ModelProto]]:
    _, write = export(case)
    return [(graph, onnx.load_from_string(graph.raw)) for graph in write().values()]


def recurrent_nodes(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type in ("RNN", "LSTM", "GRU")]


def difference_after(cell: str, change: Change, *, bidirectional: bool = False) -> float:
    """How far a classifier's graph is from PyTorch after its recurrent node was changed."""
    model, write = export(Case("classification", architecture(cell, 1, bidirectional=bidirectional)))
    graph = write()["classifier"]
    changed = onnx.load_from_string(graph.raw)
    change(recurrent_nodes(changed)[0])
    session = open_session(changed.SerializeToString(), graph.signature, where="classifier")
    return largest_differences(model, {"classifier": session})["classifier"]


@pytest.mark.parametrize(
    ("cell", "order"), [("rnn", [0]), ("lstm", [0, 3, 1, 2]), ("gru", [1, 0, 2])], ids=["rnn", "lstm", "gru"]
)
def test_gates_are_in_the_order_of_onnx(cell: Cell, order: list[int]) -> None:
    layers = Recurrent(cell, 2, 3)
    gates = np.repeat(np.arange(len(order), dtype=np.float32), 3)
    with torch.no_grad():
        for name, parameter in layers.layer(0).named_parameters():
            values = torch.from_numpy(gates)
            parameter.copy_(values[:, None].expand_as(parameter) if "weight" in name else values)
    weights = onnx_weights(layers, 0)
    assert weights["W"].shape == (1, 3 * len(order), 2)
    for matrix in (weights["W"][0, ::3, 0], weights["R"][0, ::3, 0], *np.split(weights["B"][0, ::3], 2)):
        assert matrix.tolist() == order


def test_a_gru_resets_after_the_recurrent_product() -> None:
    def reset_before(node: NodeProto) -> None:
        attribute = next(attribute for attribute in node.attribute if attribute.name == "linear_before_reset")
        assert attribute.i == 1
        attribute.i = 0

    assert difference_after("gru", reset_before) > 1e-3


def test_both_directions_read_up_to_each_rows_length() -> None:
    def drop_lengths(node: NodeProto) -> None:
        assert node.input[4]
        node.input[4] = ""

    assert difference_after("lstm", drop_lengths, bidirectional=True) > 1e-3


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_graph_has_a_size_of_time_or_rows_baked_in(case: Case) -> None:
    """No shape but ours may stand in the graph."""
    for graph, model in written(case):
        for declared, found in zip(graph.signature.inputs, model.graph.input, strict=True):
            assert [dim.dim_param or dim.dim_value for dim in found.type.tensor_type.shape.dim] == declared.shape
        assert all(tensor.shape[0] == "rows" for tensor in (*graph.signature.inputs, *graph.signature.outputs))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("rows", "time"), [(1, 1), (3, 1), (1, 40), (17, 40)])
@torch.no_grad()
def test_one_export_gives_what_pytorch_gives_at_any_time_and_number_of_rows(case: Case, rows: int, time: int) -> None:
    model, write = export(case)
    graphs = write()
    for role, session in opened(graphs).items():
        inputs = inputs_of(graphs[role], rows, time)
        expected = in_pytorch(model, role, [torch.from_numpy(array) for array in inputs])
        outputs = session(*inputs)  # a classifier of both directions hands out no state
        for found, tensor in zip(outputs, expected[: len(outputs)], strict=True):
            assert found.shape == tuple(tensor.shape)
            assert np.abs(found - tensor.numpy()).max() <= 1e-5


def in_pytorch(model: nn.Module, role: str, inputs: list[Tensor]) -> list[Tensor]:
    if role == "encoder":
        assert isinstance(model, Seq2Seq)
        source = model.encode(*inputs)
        outputs = [source.keys, source.values, source.state]
    else:
        outputs = list(model(*inputs) if role == "classifier" else getattr(model, role)(*inputs))
    return [output for output in outputs if output is not None]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recurrent_operators_are_time_first(case: Case) -> None:
    """ONNX Runtime has no kernel for layout 1."""
    nodes = [node for _, model in written(case) for node in recurrent_nodes(model)]
    assert nodes
    assert not any(attribute.name == "layout" for node in nodes for attribute in node.attribute)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_opset_is_one_whose_kernels_match_everywhere(case: Case) -> None:
    """From 22 on, recurrent kernels of accelerators do not match the schema and fall back to the CPU."""
    for graph, model in written(case):
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        assert 17 <= graph.signature.opset == OPSET <= 20


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
@pytest.mark.parametrize("opset", [17, 18, 19, 20])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_opset_gives_the_same_bits(case: Case, opset: int, precision: str) -> None:
    _, write = export(case)
    oldest, graphs = write(precision), write(precision, opset)
    expected = opened(oldest, float16=precision == "fp16")
    for role, session in opened(graphs, float16=precision == "fp16").items():
        model = onnx.load_from_string(graphs[role].raw)
        assert (graphs[role].signature.opset, model.opset_import[0].version) == (opset, opset)
        for inputs in random_inputs(graphs[role]):
            found = [output.tobytes() for output in session(*inputs)]
            assert found == [output.tobytes() for output in expected[role](*inputs)]


def random_inputs(graph: WrittenGraph) -> Iterator[list[npt.NDArray[Any]]]:
    for rows in (1, 3):
        yield inputs_of(graph, rows, 16)


def inputs_of(graph: WrittenGraph, rows: int, time: int) -> list[npt.NDArray[Any]]:
    """Random tokens, states and source states, of lengths from 1 to `time`."""
    random = np.random.default_rng(rows)
    made: list[npt.NDArray[Any]] = []
    for tensor in graph.signature.inputs:
        shape = [int({"rows": rows, "time": time}.get(str(size), size)) for size in tensor.shape]
        if tensor.dtype == "int64":
            made.append(random.integers(1, time + 1 if tensor.name == "lengths" else VOCABULARY, shape))
        else:
            made.append(random.normal(0, 1, shape).astype(np.float32))
    return made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_there_is_one_recurrent_operator_per_layer_and_none_is_unrolled(case: Case) -> None:
    """A layer unrolled over the time of an example would read no other."""
    for _, model in written(case):
        assert len(recurrent_nodes(model)) == case.settings.layers


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_tensor_is_double(case: Case) -> None:
    """ONNX Runtime has no recurrent kernel for float64 on a CPU."""
    for _, model in written(case):
        types = {tensor.data_type for tensor in model.graph.initializer}
        assert types <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_outputs_past_a_rows_length_are_exactly_zero() -> None:
    _, write = export(Case("translation", architecture("lstm", 2, bidirectional=True, attention="general")))
    token_ids = np.full((3, 16), 5)
    lengths = np.array([7, 16, 1])
    keys, values, _ = opened(write())["encoder"](token_ids, lengths)
    past = np.arange(16) >= lengths[:, None]
    for array in (keys, values):
        assert not array[past].any()
        assert array[~past].all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_are_stored_and_not_computed(case: Case) -> None:
    """Computed weights are packed anew in every run on an accelerator, and quantisers pass them over."""
    for _, model in written(case):
        stored = {tensor.name for tensor in model.graph.initializer}
        for node in recurrent_nodes(model):
            assert {node.input[1], node.input[2], node.input[3]} <= stored


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_lie_inside_the_file(case: Case) -> None:
    for _, model in written(case):
        tensors = list(model.graph.initializer)
        assert tensors
        assert not any(tensor.external_data or tensor.data_location for tensor in tensors)
        assert all(numpy_helper.to_array(tensor).size for tensor in tensors)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_state_that_comes_in_has_another_name_when_it_goes_out(case: Case) -> None:
    """A name that is an input and an output is a duplicate definition, or hands the old state back."""
    for _, model in written(case):
        inputs = {value.name for value in model.graph.input}
        outputs = {value.name for value in model.graph.output}
        assert not inputs & outputs
        assert ("next_state" in outputs) == ("state" in inputs)
        assert outputs <= {name for node in model.graph.node for name in node.output}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_name_is_defined_twice(case: Case) -> None:
    for _, model in written(case):
        names = [name for node in model.graph.node for name in node.output if name]
        assert len(names) == len(set(names))


def test_a_state_after_a_row_has_ended_is_the_state_where_it_ended() -> None:
    model, write = export(Case("classification", architecture("lstm", 2)))
    assert isinstance(model, Classifier)
    assert model.state_size is not None
    session = opened(write())["classifier"]
    alone = np.array([[5, 6, 7]])
    padded = np.array([[5, 6, 7, 9, 9], [4, 4, 4, 4, 4]])
    state = np.zeros((2, model.state_size), dtype=np.float32)
    _, ended = session(padded, np.array([3, 5]), state)
    _, expected = session(alone, np.array([3]), state[:1])
    assert ended[0].tobytes() == expected[0].tobytes()


def test_lengths_enter_as_int64_and_reach_the_operator_as_int32() -> None:
    for graph, model in written(CASES[0]):
        assert {tensor.name: tensor.dtype for tensor in graph.signature.inputs}["lengths"] == "int64"
        casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
        for node in recurrent_nodes(model):
            target = next(attribute for attribute in casts[node.input[4]].attribute if attribute.name == "to")
            assert target.i == onnx.TensorProto.INT32
            assert helper.tensor_dtype_to_np_dtype(target.i) == np.int32


def test_no_row_of_a_vanilla_network_is_ever_alone() -> None:
    """ONNX Runtime's RNN takes another kernel for one row than for two; LSTM and GRU do not."""
    for cell, count in (("rnn", 2), ("lstm", 1), ("gru", 1)):
        _, write = export(Case("generation", architecture(cell, 1)))
        written = write()["step"]
        model = onnx.load_from_string(written.raw)
        (node,) = recurrent_nodes(model)
        model.graph.output.append(helper.make_tensor_value_info(node.output[1], onnx.TensorProto.FLOAT, None))
        session = InferenceSession(model.SerializeToString())
        state = written.signature.inputs[1]
        one = {"token_ids": np.array([5]), "state": np.zeros((1, int(state.shape[1])), dtype=np.float32)}
        assert session.run([node.output[1]], one)[0].shape[1] == count
