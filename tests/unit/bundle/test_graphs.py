"""A graph computes and does nothing else; every other thing ONNX can say is refused by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from service.bundle.graphs import MAX_NODE_COUNT, OPERATORS, REASONS, check_graph
from service.bundle.manifest import Graph, TensorSpec
from service.errors import BundleError
from tests.bundles import tiny_bundle

WHERE = "classifier.fp32.onnx"
Change = Callable[[ModelProto], None]


def classifier() -> tuple[ModelProto, Graph]:
    manifest, files = tiny_bundle("classification")
    return ModelProto.FromString(files[WHERE]), manifest.variants["fp32"].graphs["classifier"]


def refuse(model: ModelProto, graph: Graph, message: str) -> None:
    with pytest.raises(BundleError, match=message) as refused:
        check_graph(model.SerializeToString(), graph, where=WHERE, vocabulary_size=22)
    assert refused.value.message.startswith(f"{WHERE}: ")
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("task", ["classification", "generation", "translation"])
def test_graphs_of_every_task_pass(task: str) -> None:
    manifest, files = tiny_bundle(task)
    for graph in manifest.variants["fp32"].graphs.values():
        check_graph(files[graph.file], graph, where=graph.file)


# Where a graph may hide a tensor


def external(name: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    return tensor


def external_without_saying_so(name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.external_data.add(key="location", value="/dev/zero")
    return tensor


def sparse(values: TensorProto) -> SparseTensorProto:
    return SparseTensorProto(values=values, indices=numpy_helper.from_array(np.zeros(2, np.int64), "indices"), dims=[4])


def add_initialiser(tensor: TensorProto) -> Change:
    return lambda model: model.graph.initializer.append(tensor)


def add_sparse_initialiser(model: ModelProto) -> None:
    model.graph.sparse_initializer.append(sparse(external("hidden")))


def add_node(operator: str, domain: str = "", **attributes: Any) -> Change:
    node = helper.make_node(operator, [], ["made"], domain=domain, **attributes)
    return lambda model: model.graph.node.append(node)


def add_constant(attribute: AttributeProto) -> Change:
    def change(model: ModelProto) -> None:
        node = helper.make_node("Constant", [], ["made"])
        node.attribute.append(attribute)
        model.graph.node.append(node)

    return change


def branch_with(tensor: TensorProto) -> Change:
    inner = helper.make_graph([], "inner", [], [], initializer=[tensor])
    return add_node("If", then_branch=inner, else_branch=inner)


def add_function(model: ModelProto) -> None:
    body = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [body], [helper.make_opsetid("", 17)]))


HIDDEN_GRAPH = helper.make_graph([], "inner", [], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(add_initialiser(external("w")), "'w' has external data", id="external data"),
        pytest.param(add_initialiser(external_without_saying_so("w")), "'w' has external data", id="a location alone"),
        pytest.param(add_sparse_initialiser, "sparse initialisers", id="a sparse initialiser"),
        pytest.param(
            add_constant(helper.make_attribute("value", external("w"))), "'value' has external data", id="a Constant"
        ),
        pytest.param(
            add_constant(helper.make_attribute("sparse_value", sparse(external("w")))), "sparse", id="a sparse Constant"
        ),
        pytest.param(
            add_constant(AttributeProto(name="value", type=AttributeProto.TENSORS, tensors=[external("w")])),
            "not allowed",
            id="a list of tensors",
        ),
        pytest.param(
            add_constant(AttributeProto(name="value", type=AttributeProto.INT, t=external("w"))),
            "external data",
            id="a tensor under another type",
        ),
        pytest.param(
            add_constant(AttributeProto(name="value", type=AttributeProto.INT, g=HIDDEN_GRAPH)),
            "is a graph",
            id="a graph under another type",
        ),
        pytest.param(branch_with(external("w")), "may not loop or branch", id="a sub-graph"),
        pytest.param(
            add_node("Identity", body=helper.make_graph([], "inner", [], [], initializer=[external("w")])),
            "attribute 'body' is a graph",
            id="a sub-graph of a harmless operator",
        ),
        pytest.param(
            add_constant(AttributeProto(name="value", type=AttributeProto.TENSOR, ref_attr_name="outer")),
            "reference",
            id="a reference",
        ),
        pytest.param(add_constant(AttributeProto(name="value")), "not allowed", id="an attribute without a type"),
    ],
)
def test_data_from_elsewhere_is_refused_wherever_it_hides(change: Change, message: str) -> None:
    model, graph = classifier()
    change(model)
    refuse(model, graph, message)


# What a graph may compute


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan", "SequenceMap"])
def test_loops_and_branches_are_refused(operator: str) -> None:
    model, graph = classifier()
    add_node(operator)(model)
    refuse(model, graph, rf"\({operator}\): operator is not allowed: a graph may not loop or branch")


@pytest.mark.parametrize(
    ("operator", "domain"),
    [
        pytest.param("DynamicQuantizeLinear", "", id="DynamicQuantizeLinear"),
        pytest.param("DynamicQuantizeLSTM", "com.microsoft", id="DynamicQuantizeLSTM"),
    ],
)
def test_quantisation_that_mixes_rows_is_refused_with_the_reason(operator: str, domain: str) -> None:
    model, graph = classifier()
    add_node(operator, domain)(model)
    refuse(model, graph, f"{operator}.*an answer would depend on its neighbours")


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "CumSum"])
def test_sums_that_depend_on_padding_are_refused_with_the_reason(operator: str) -> None:
    model, graph = classifier()
    add_node(operator)(model)
    refuse(model, graph, f"{operator}.*depend on padding")


@pytest.mark.parametrize(
    ("operator", "domain", "message"),
    [
        pytest.param("RandomNormal", "", r"\(RandomNormal\): operator is not allowed", id="not on the list"),
        pytest.param("Optional", "ai.onnx", r"\(ai\.onnx\.Optional\): operator", id="the default domain by name"),
        pytest.param("PyOp", "com.microsoft.extensions", "'com.microsoft.extensions' is not allowed", id="PyOp"),
        pytest.param("LSTM", "my.domain", "domain 'my.domain' is not allowed", id="a known name in a foreign domain"),
        pytest.param("EPContext", "com.microsoft", "operator is not allowed", id="a compiled blob"),
        pytest.param("ArrayFeatureExtractor", "ai.onnx.ml", "'ai.onnx.ml' is not allowed", id="classic learning"),
    ],
)
def test_operators_off_the_list_are_refused(operator: str, domain: str, message: str) -> None:
    model, graph = classifier()
    add_node(operator, domain)(model)
    refuse(model, graph, message)


def test_no_listed_operator_has_a_reason_to_be_refused() -> None:
    assert not REASONS.keys() & frozenset().union(*OPERATORS.values())


def test_listed_operators_exist_and_take_no_graphs() -> None:
    for operator in OPERATORS[""]:
        schema = onnx.defs.get_schema(operator, 20)
        assert not any(one.type == onnx.defs.OpSchema.AttrType.GRAPH for one in schema.attributes.values())


# The model around the graph


def set_opset(version: int, domain: str = "") -> Change:
    def change(model: ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid(domain, version))

    return change


def add_opset(domain: str, version: int) -> Change:
    return lambda model: model.opset_import.append(helper.make_opsetid(domain, version))


def set_ir(version: int) -> Change:
    return lambda model: setattr(model, "ir_version", version)


def add_many_nodes(model: ModelProto) -> None:
    model.graph.node.extend([helper.make_node("Identity", ["lengths"], ["copy"])] * MAX_NODE_COUNT)


def add_training(model: ModelProto) -> None:
    model.training_info.add()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(set_opset(7), "opset 7, the manifest says 17", id="opset 7"),
        pytest.param(set_opset(18), "opset 18, the manifest says 17", id="another opset than declared"),
        pytest.param(set_opset(99), "opset 99", id="opset 99"),
        pytest.param(lambda model: model.ClearField("opset_import"), "opset None", id="no opset"),
        pytest.param(add_opset("ai.onnx.ml", 3), "only the default domain", id="a foreign domain"),
        pytest.param(add_opset("ai.onnx", 18), "each once", id="the default domain twice"),
        pytest.param(add_opset("com.microsoft", 2), "com.microsoft opset 2", id="a newer com.microsoft"),
        pytest.param(set_ir(7), "IR version 7, must be 8 to 11", id="an old IR"),
        pytest.param(set_ir(99), "IR version 99", id="IR 99"),
        pytest.param(add_function, "functions", id="a function that replaces an operator"),
        pytest.param(add_training, "training information", id="training information"),
        pytest.param(add_many_nodes, "at most 10000 are allowed", id="too many nodes"),
    ],
)
def test_a_model_with_foreign_parts_is_refused(change: Change, message: str) -> None:
    model, graph = classifier()
    change(model)
    refuse(model, graph, message)


@pytest.mark.parametrize("raw", [b"", b"\0" * 100, b"text", b"\xff" * 100], ids=["empty", "zeros", "text", "ones"])
def test_what_is_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError, match=WHERE):
        check_graph(raw, classifier()[1], where=WHERE)


def test_a_field_that_this_onnx_does_not_know_is_refused() -> None:
    model, graph = classifier()
    newer = model.graph.SerializeToString() + b"\xfa\x3e\x01x"  # field 1007 of a future GraphProto
    raw = b"\x3a" + varint(len(newer)) + newer
    model.ClearField("graph")
    with pytest.raises(BundleError, match="fields that ONNX, as this server knows it, does not have"):
        check_graph(model.SerializeToString() + raw, graph, where=WHERE)


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low]) if not rest else bytes([low | 128]) + varint(rest)


def test_a_name_that_is_not_utf8_is_refused() -> None:
    model, graph = classifier()
    raw = model.SerializeToString().replace(b"next_state", b"next\xffstate")
    with pytest.raises(BundleError, match="not well-formed ONNX"):
        check_graph(raw, graph, where=WHERE)


# Stored tensors


def change_first_weight(**fields: object) -> Change:
    def change(model: ModelProto) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            tensor.ClearField(name)
            getattr(tensor, name).extend(value) if isinstance(value, list) else setattr(tensor, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(change_first_weight(dims=[10**11]), "its shape .* has 100000000000", id="a shape of 10^11"),
        pytest.param(change_first_weight(dims=[-1, 6]), "negative dimension", id="a negative dimension"),
        pytest.param(change_first_weight(raw_data=b"\0" * 7), "has 1 elements", id="too few bytes"),
        pytest.param(change_first_weight(float_data=[1.0]), "elements", id="two kinds of data"),
        pytest.param(change_first_weight(data_type=TensorProto.STRING), "element type 8", id="strings"),
        pytest.param(change_first_weight(data_type=TensorProto.DOUBLE), "element type 11", id="float64"),
        pytest.param(change_first_weight(data_type=77), "element type 77", id="an unknown type"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(change: Change, message: str) -> None:
    model, graph = classifier()
    change(model)
    refuse(model, graph, message)


def test_segmented_tensors_are_refused() -> None:
    model, graph = classifier()
    model.graph.initializer[0].segment.begin = 1
    refuse(model, graph, "segments")


def test_tensors_with_typed_data_are_read_too() -> None:
    tensors = [
        helper.make_tensor(f"w{kind}", kind, [2], [1, 0])
        for kind in (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.INT8, TensorProto.BOOL)
    ]
    model, graph = classifier()
    model.graph.initializer.extend(tensors)
    check_graph(model.SerializeToString(), graph, where=WHERE)


# The signature


def test_another_signature_than_declared_is_refused() -> None:
    model, graph = classifier()
    model.graph.input[0].name = "tokens"
    refuse(model, graph, r"inputs are \(tokens int64\[rows, time\].*the manifest says \(token_ids int64\[rows, time\]")


def set_elem_type(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def set_rank(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 1


def set_width(model: ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3


def set_free_dimension(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(set_elem_type, "'token_ids' must be a float32 or int64 tensor", id="dtype"),
        pytest.param(set_rank, r"token_ids int64\[rows, time, 1\]", id="rank"),
        pytest.param(set_width, r"logits float32\[rows, 3\]", id="width"),
        pytest.param(set_free_dimension, r"token_ids int64\[, time\]", id="a free dimension without a name"),
        pytest.param(lambda model: model.graph.input[0].type.Clear(), "must be a float32", id="no type"),
        pytest.param(
            lambda model: model.graph.input[0].type.tensor_type.ClearField("shape"), "has no shape", id="no shape"
        ),
        pytest.param(lambda model: model.graph.output.pop(), "outputs are", id="an output less"),
    ],
)
def test_dtypes_and_shapes_are_compared(change: Change, message: str) -> None:
    model, graph = classifier()
    change(model)
    refuse(model, graph, message)


def test_an_initialiser_that_callers_could_replace_is_refused() -> None:
    model, graph = classifier()
    model.graph.initializer.append(numpy_helper.from_array(np.ones([1], np.int64), "lengths"))
    refuse(model, graph, r"\['lengths'\] are inputs too")


def test_wiring_that_onnx_refuses_is_refused() -> None:
    model, graph = classifier()
    model.graph.node[0].input[0] = "nowhere"
    refuse(model, graph, "the ONNX checker refuses it")


def test_shapes_that_cannot_be_are_refused() -> None:
    model, graph = classifier()
    gather = next(node for node in model.graph.node if node.op_type == "Gather")
    gather.attribute.append(helper.make_attribute("axis", 5))
    refuse(model, graph, "the ONNX checker refuses it")


# The vocabulary


def test_an_embedding_of_another_size_than_the_vocabulary_is_refused() -> None:
    model, graph = classifier()
    with pytest.raises(BundleError, match="the embedding has 22 rows, the vocabulary 23 tokens"):
        check_graph(model.SerializeToString(), graph, where=WHERE, vocabulary_size=23)


def test_a_graph_without_an_embedding_is_refused_when_a_vocabulary_is_named() -> None:
    ids = TensorSpec(name="token_ids", dtype="int64", shape=["rows"])
    out = TensorSpec(name="out", dtype="float32", shape=["rows"])
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Cast", ["token_ids"], ["out"], to=TensorProto.FLOAT)],
            "g",
            [helper.make_tensor_value_info("token_ids", TensorProto.INT64, ["rows"])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["rows"])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    graph = Graph(file=WHERE, opset=17, inputs=[ids], outputs=[out])
    check_graph(model.SerializeToString(), graph, where=WHERE)
    refuse(model, graph, "it has no embedding")


def test_weights_quantised_to_8_bits_per_block_pass() -> None:
    rows, width, out = 16, 32, 4
    weights = [
        numpy_helper.from_array(np.zeros((out, 1, width), np.uint8), "quantised"),
        numpy_helper.from_array(np.ones(out, np.float32), "scales"),
    ]
    node = helper.make_node(
        "MatMulNBits",
        ["x", "quantised", "scales"],
        ["y"],
        domain="com.microsoft",
        K=width,
        N=out,
        bits=8,
        block_size=32,
        accuracy_level=4,
    )
    model = helper.make_model(
        helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, out])],
            initializer=weights,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    x = TensorSpec(name="x", dtype="float32", shape=[rows, width])
    y = TensorSpec(name="y", dtype="float32", shape=[rows, out])
    check_graph(model.SerializeToString(), Graph(file=WHERE, opset=17, inputs=[x], outputs=[y]), where=WHERE)
