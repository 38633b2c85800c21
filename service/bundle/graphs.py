"""Static checks of an ONNX graph, before any runtime sees it: nothing foreign, nothing hidden, nothing that loops.

Works on bytes and runs nothing. Allows what recurrent models need; everything else is refused by name.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from service.bundle import pinned
from service.bundle.manifest import Dtype, Graph, TensorSpec
from service.bundle.signatures import describe
from service.errors import BundleError

IR_VERSIONS = range(8, 12)
MAX_NODE_COUNT = 10_000

_DEFAULT_OPERATORS = """
Abs Add And ArgMax Cast Clip Concat Constant ConstantOfShape Div Equal Erf Exp Expand Flatten GRU Gather Gemm Greater
GreaterOrEqual Identity LSTM LayerNormalization Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max Min Mul Neg
Not Or Pad Pow QuantizeLinear RNN Range Reciprocal ReduceMax Relu Reshape Round Shape Sigmoid Sign Slice Softmax Split
Sqrt Squeeze Sub Tanh TopK Transpose Unsqueeze Where
"""
OPERATORS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "": frozenset(_DEFAULT_OPERATORS.split()),
        pinned.DOMAIN: frozenset({"MatMulIntegerToFloat", "MatMulNBits", pinned.OPERATOR}),
    }
)
"""The operators a graph may use, by domain."""

_INEXACT_SUM = "its sums depend on padding; write sums over time as MatMul with masked rows"
_SUBGRAPH = "a graph may not loop or branch"
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "DynamicQuantizeLinear": pinned.SHARED_SCALE,
        "DynamicQuantizeMatMul": pinned.SHARED_SCALE,
        "ReduceSum": _INEXACT_SUM,
        "ReduceMean": _INEXACT_SUM,
        "CumSum": _INEXACT_SUM,
        "If": _SUBGRAPH,
        "Loop": _SUBGRAPH,
        "Scan": _SUBGRAPH,
        "SequenceMap": _SUBGRAPH,
    }
)
"""Why operators that an exporter is likely to write are not on the list."""

_BITS: Mapping[int, int] = MappingProxyType(
    {
        TensorProto.FLOAT: 32,
        TensorProto.FLOAT16: 16,
        TensorProto.INT64: 64,
        TensorProto.INT32: 32,
        TensorProto.INT8: 8,
        TensorProto.UINT8: 8,
        TensorProto.BOOL: 8,
    }
)
"""Element types a stored tensor may have, and how many bits one element takes."""

_TYPED_FIELDS: Mapping[int, str] = MappingProxyType({TensorProto.FLOAT: "float_data", TensorProto.INT64: "int64_data"})
"""Where a tensor without raw bytes keeps its elements; all other types use int32_data."""

_PLAIN_ATTRIBUTES = frozenset(
    {
        AttributeProto.FLOAT,
        AttributeProto.FLOATS,
        AttributeProto.INT,
        AttributeProto.INTS,
        AttributeProto.STRING,
        AttributeProto.STRINGS,
        AttributeProto.TENSOR,
    }
)

_HIDING_FIELDS = frozenset(
    {"g", "graphs", "sparse_tensor", "sparse_tensors", "tensors", "tp", "type_protos", "ref_attr_name"}
)

_SCALES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"QuantizeLinear": (1, 2), "MatMulIntegerToFloat": (2, 3, 4, 5)}
)
"""Which inputs of an operator are scales and zero points."""

_LAYOUT_OPERATORS = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_DTYPES: Mapping[int, Dtype] = MappingProxyType({TensorProto.FLOAT: "float32", TensorProto.INT64: "int64"})


def check_graph(raw: bytes, graph: Graph, *, where: str, vocabulary_size: int | None = None) -> None:
    """Refuse a graph that could do more than compute, or that is not what the manifest declares.

    Args:
        raw: the bytes of the ONNX file; the caller has checked their size and hash.
        graph: opset and signature that the manifest declares.
        where: the file's name, for errors.
        vocabulary_size: rows that the embedding of `token_ids` must have; None skips that check.

    Raises:
        BundleError: names the file and the rule.
    """
    try:
        _check(raw, graph, vocabulary_size)
    except BundleError as error:
        raise BundleError(f"{where}: {error.message}", file=where) from error
    except Exception as error:
        # such as a name that is not UTF-8, which protobuf hands out as bytes
        raise BundleError(f"{where}: not well-formed ONNX: {error}", file=where) from error


def _check(raw: bytes, graph: Graph, vocabulary_size: int | None) -> None:
    model = _parse(raw)
    _check_model(model, graph.opset)
    for tensor in model.graph.initializer:
        _check_tensor(tensor, f"initialiser {tensor.name!r}")
    for node in model.graph.node:
        _check_node(node)
    _check_scales(model.graph)
    pinned.check_pinned(model.graph)
    _check_signature(model.graph, graph)
    _check_by_onnx(raw)
    if vocabulary_size is not None:
        _check_embedding(model.graph, vocabulary_size)


def _parse(raw: bytes) -> ModelProto:
    try:
        model = ModelProto.FromString(raw)
    except DecodeError as error:
        raise BundleError("not an ONNX model") from error
    size = model.ByteSize()
    model.DiscardUnknownFields()
    if model.ByteSize() != size:
        # a newer runtime might know a field that these checks do not
        raise BundleError("holds fields that ONNX, as this server knows it, does not have")
    return model


def _check_model(model: ModelProto, opset: int) -> None:
    if model.ir_version not in IR_VERSIONS:
        raise BundleError(f"IR version {model.ir_version}, must be {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}")
    domains = [_domain(entry.domain) for entry in model.opset_import]
    opsets = dict(zip(domains, (entry.version for entry in model.opset_import), strict=True))
    if opsets.keys() - OPERATORS.keys() or len(opsets) != len(domains):
        raise BundleError(f"operator sets {domains}: only the default domain and com.microsoft are allowed, each once")
    if opsets.get("") != opset:
        raise BundleError(f"opset {opsets.get('')}, the manifest says {opset}")
    if opsets.get("com.microsoft", 1) != 1:
        raise BundleError(f"com.microsoft opset {opsets['com.microsoft']}, must be 1")
    if model.functions or model.training_info:
        raise BundleError("functions and training information are not allowed")
    if model.graph.sparse_initializer or model.graph.quantization_annotation:
        raise BundleError("sparse initialisers and quantisation annotations are not allowed")
    if len(model.graph.node) > MAX_NODE_COUNT:
        raise BundleError(f"{len(model.graph.node)} nodes, at most {MAX_NODE_COUNT} are allowed")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name  # two spellings of the default domain


def _check_tensor(tensor: TensorProto, what: str) -> None:
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise BundleError(f"{what} has external data, which is not allowed")
    if tensor.data_type not in _BITS:
        raise BundleError(f"{what} has element type {tensor.data_type}, which is not allowed")
    if tensor.HasField("segment") or min(tensor.dims, default=0) < 0:
        raise BundleError(f"{what} is in segments or has a negative dimension")
    count = math.prod(tensor.dims)
    typed = getattr(tensor, _TYPED_FIELDS.get(tensor.data_type, "int32_data"))
    found = len(tensor.raw_data) * 8 // _BITS[tensor.data_type] if tensor.raw_data else len(typed)
    if found != count or (tensor.raw_data and len(typed)):
        raise BundleError(f"{what} has {found} elements, its shape {list(tensor.dims)} has {count}")


def _check_node(node: NodeProto) -> None:
    what = f"node {node.name or ','.join(node.output)!r} ({node.domain + '.' if node.domain else ''}{node.op_type})"
    domain = _domain(node.domain)
    if domain not in OPERATORS:
        raise BundleError(f"{what}: domain {node.domain!r} is not allowed")
    if node.op_type not in OPERATORS[domain]:
        reason = REASONS.get(node.op_type)
        raise BundleError(f"{what}: operator is not allowed" + (f": {reason}" if reason else ""))
    for attribute in node.attribute:
        _check_attribute(attribute, f"{what}: attribute {attribute.name!r}")


def _check_attribute(attribute: AttributeProto, what: str) -> None:
    fields = {field.name for field, _ in attribute.ListFields()}
    if fields & _HIDING_FIELDS or attribute.type not in _PLAIN_ATTRIBUTES:
        raise BundleError(f"{what} is a graph, a sparse tensor or a reference, which are not allowed")
    if attribute.HasField("t"):
        _check_tensor(attribute.t, what)


def _check_scales(graph: GraphProto) -> None:
    """Scales and zero points are stored where an operator takes them: a graph could make them of all its rows."""
    stored = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        for name in [node.input[place] for place in _SCALES.get(node.op_type, ()) if place < len(node.input)]:
            if name and name not in stored:
                raise BundleError(
                    f"node {node.name!r} ({node.op_type}): {name!r} must be stored: {pinned.SHARED_SCALE}"
                )


def _check_signature(found: GraphProto, expected: Graph) -> None:
    inputs = [_tensor_spec(value) for value in found.input]
    outputs = [_tensor_spec(value) for value in found.output]
    overridable = {value.name for value in found.input} & {tensor.name for tensor in found.initializer}
    if overridable:
        raise BundleError(f"initialisers {sorted(overridable)} are inputs too")
    for side, ours, theirs in (("inputs", inputs, expected.inputs), ("outputs", outputs, expected.outputs)):
        if ours != theirs:
            raise BundleError(f"{side} are ({describe(ours)}), the manifest says ({describe(theirs)})")


def _tensor_spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    if dtype is None:
        raise BundleError(f"{value.name!r} must be a float32 or int64 tensor")
    if not tensor.HasField("shape"):
        raise BundleError(f"{value.name!r} has no shape")
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim]
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)


def _check_by_onnx(raw: bytes) -> None:
    try:
        onnx.checker.check_model(raw, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise BundleError(f"the ONNX checker refuses it: {str(error).strip().splitlines()[0]}") from error


def _check_embedding(graph: GraphProto, vocabulary_size: int) -> None:
    """Every table that `token_ids` choose from has one row for each token of the vocabulary."""
    sizes = list(_gathered_sizes(graph))
    if not sizes:
        raise BundleError("no Gather takes token_ids into a stored table: it has no embedding")
    for size in sizes:
        if size != vocabulary_size:
            raise BundleError(f"the embedding has {size} rows, the vocabulary {vocabulary_size} tokens")


def _gathered_sizes(graph: GraphProto) -> Iterable[int]:
    tables = {tensor.name: tensor.dims for tensor in graph.initializer}
    ids = {"token_ids"}
    for node in graph.node:
        if node.op_type in _LAYOUT_OPERATORS and node.input[0] in ids:
            ids.update(node.output)
        elif node.op_type == "Gather" and node.input[1] in ids and node.input[0] in tables:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            yield tables[node.input[0]][axis]
