"""The graphs that each task ships, from trained modules.   Knows the signatures of FORMAT.md; writes no file.

Sums over time appear only as matrix products with rows that the mask has made exactly zero, so that padding cannot
change an answer. An output state is called `next_state` where a `state` comes in: names are unique in a graph.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from onnx import TensorProto

from service.bundle.manifest import GraphRole, Precision
from training.export.graphs.cells import write_cell
from training.export.graphs.half import HalfWriter
from training.export.graphs.pinned import can_pin, gives_bounded, pinned_layers
from training.export.graphs.pooling import write_pooling
from training.export.graphs.quantised import QuantisedWriter
from training.export.graphs.writer import OPSET, GraphWriter, WriteLayer, WrittenGraph, write_recurrent, write_state
from training.models.classifier import Classifier
from training.models.labeller import Labeller, Readings
from training.models.language_model import LanguageModel
from training.models.layers.attention import Attention
from training.models.layers.embedding import TokenEmbedding
from training.models.layers.recurrent import Recurrent
from training.models.layers.vocabulary import Readout
from training.models.seq2seq import Seq2Seq


def file_name(role: GraphRole, precision: Precision) -> str:
    """Return the name of a graph's file in a bundle."""
    return f"{role}.{precision}.onnx"


_WRITERS: Mapping[Precision, type[GraphWriter]] = MappingProxyType(
    {"fp32": GraphWriter, "int8": QuantisedWriter, "fp16": HalfWriter}
)


def _new_graph(role: GraphRole, precision: Precision, opset: int) -> GraphWriter:
    return _WRITERS[precision](role, opset)


def classifier_graphs(
    model: Classifier, precision: Precision = "fp32", opset: int = OPSET
) -> dict[GraphRole, WrittenGraph]:
    """Write: token_ids, lengths, (state) -> logits, (next_state). A state only where the model carries one."""
    graph = _new_graph("classifier", precision, opset)
    token_ids, lengths = _texts(graph)
    state = "" if model.state_size is None else graph.input("state", "float32", "rows", model.state_size)
    embedded = _embed_texts(graph, "embedding", model.embedding, token_ids)
    write_layer = _layer_writer(precision, model.recurrent, _bound(model.embedding))
    values = write_recurrent(graph, model.recurrent, embedded, lengths=lengths, state=state, write_layer=write_layer)
    pooled = write_pooling(graph, model.pooling, values, "lengths")
    graph.affine(pooled, ("output.weight", model.output.weight), model.output.bias, "logits")
    graph.output("logits", "rows", model.output.out_features)
    if model.state_size is not None:
        graph.output(write_state(graph, values.vectors, "next_state"), "rows", model.state_size)
    return {"classifier": graph.finish(file_name("classifier", precision))}


def labeller_graphs(
    model: Labeller, precision: Precision = "fp32", opset: int = OPSET
) -> dict[GraphRole, WrittenGraph]:
    """Write: token_ids or features, lengths, (state) -> logits, (next_state). No state with both directions."""
    graph = _new_graph("labeller", precision, opset)
    if isinstance(model.embedding, Readings):
        features = graph.input("features", "float32", "rows", "time", model.embedding.projection.in_features)
        embedded, lengths = _embed_readings(graph, model.embedding, features), _lengths(graph)
    else:
        token_ids, lengths = _texts(graph)
        embedded = _embed_texts(graph, "embedding", model.embedding, token_ids)
    state = "" if model.state_size is None else graph.input("state", "float32", "rows", model.state_size)
    write_layer = _layer_writer(precision, model.recurrent, _bound(model.embedding))
    values = write_recurrent(graph, model.recurrent, embedded, lengths=lengths, state=state, write_layer=write_layer)
    outputs = graph.node("Transpose", [values.outputs], "outputs", perm=[1, 0, 2])  # [rows, time, output_size]
    weight = ("output.weight", model.output.weight)
    scores = graph.product(outputs, weight, "scores", bounded=gives_bounded(model.recurrent))  # [rows, time, labels]
    graph.node("Add", [scores, graph.constant("output.bias", model.output.bias)], "logits")
    graph.output("logits", "rows", "time", model.output.out_features)
    if model.state_size is not None:
        graph.output(write_state(graph, values.vectors, "next_state"), "rows", model.state_size)
    return {"labeller": graph.finish(file_name("labeller", precision))}


def language_model_graphs(
    model: LanguageModel, precision: Precision = "fp32", opset: int = OPSET
) -> dict[GraphRole, WrittenGraph]:
    """Write step, and prefill where the step runs a recurrent operator: reading at once gives the same state.

    In int8, what is no LSTM has its cells written out in the step, which is faster; a prefill over them would have to
    loop, so that prompts are read by the step.
    """
    step = _step(model, precision, opset)
    if precision == "int8" and not can_pin(model.recurrent):
        return {"step": step}
    return {"prefill": _prefill(model, precision, opset), "step": step}


def _prefill(model: LanguageModel, precision: Precision, opset: int) -> WrittenGraph:
    """token_ids, lengths, state -> logits, next_state."""
    graph = _new_graph("prefill", precision, opset)
    token_ids, lengths = _texts(graph)
    state = graph.input("state", "float32", "rows", model.state_size)
    embedded = _embed_texts(graph, "embedding", model.embedding, token_ids)
    write_layer = _layer_writer(precision, model.recurrent, _bound(model.embedding))
    values = write_recurrent(graph, model.recurrent, embedded, lengths=lengths, state=state, write_layer=write_layer)
    _write_readout(graph, model.readout, values.last, "embedding", bounded=gives_bounded(model.recurrent))
    graph.output(write_state(graph, values.vectors, "next_state"), "rows", model.state_size)
    return graph.finish(file_name("prefill", precision))


def _step(model: LanguageModel, precision: Precision, opset: int) -> WrittenGraph:
    """token_ids, state -> logits, next_state."""
    graph = _new_graph("step", precision, opset)
    token_ids = graph.input("token_ids", "int64", "rows")
    state = graph.input("state", "float32", "rows", model.state_size)
    embedded = _embed_tokens(graph, "embedding", model.embedding, token_ids)
    cells = write_cell if precision == "int8" else None
    write_layer = _layer_writer(precision, model.recurrent, _bound(model.embedding), cells)
    values = write_recurrent(graph, model.recurrent, embedded, state=state, write_layer=write_layer)
    _write_readout(graph, model.readout, values.last, "embedding", bounded=gives_bounded(model.recurrent))
    graph.output(write_state(graph, values.vectors, "next_state"), "rows", model.state_size)
    return graph.finish(file_name("step", precision))


def seq2seq_graphs(model: Seq2Seq, precision: Precision = "fp32", opset: int = OPSET) -> dict[GraphRole, WrittenGraph]:
    """Write encoder and decoder_step."""
    return {"encoder": _encoder(model, precision, opset), "decoder_step": _decoder_step(model, precision, opset)}


def _encoder(model: Seq2Seq, precision: Precision, opset: int) -> WrittenGraph:
    """token_ids, lengths -> (keys, values), state."""
    graph = _new_graph("encoder", precision, opset)
    token_ids, lengths = _texts(graph)
    embedded = _embed_texts(graph, "source_embedding", model.source_embedding, token_ids)
    write_layer = _layer_writer(precision, model.encoder, _bound(model.source_embedding))
    encoded = write_recurrent(
        graph, model.encoder, embedded, lengths=lengths, prefix="encoder", write_layer=write_layer
    )
    if model.attention is not None:
        values = graph.node("Transpose", [encoded.outputs], "values", perm=[1, 0, 2])  # [rows, time, value_size]
        _write_keys(graph, model.attention, values, bounded=gives_bounded(model.encoder))
        graph.output("keys", "rows", "time", model.attention.key_size)
        graph.output("values", "rows", "time", model.attention.value_size)
    vectors = encoded.vectors
    if model.bridge is not None:
        bridge = ("bridge.weight", model.bridge.weight)
        vectors = [graph.affine(vector, bridge, model.bridge.bias, f"{vector}.bridged") for vector in vectors]
    if model.feeds_input:
        vectors = [*vectors, _write_zeros(graph, token_ids, model.target_embedding.embedding_dim)]
    graph.output(write_state(graph, vectors, "state"), "rows", model.state_size)
    return graph.finish(file_name("encoder", precision))


def _decoder_step(model: Seq2Seq, precision: Precision, opset: int) -> WrittenGraph:
    """token_ids, state, (keys, values, lengths) -> logits, next_state, (attention)."""
    graph = _new_graph("decoder_step", precision, opset)
    token_ids = graph.input("token_ids", "int64", "rows")
    state = graph.input("state", "float32", "rows", model.state_size)
    embedded = _look_up(graph, "target_embedding", model.target_embedding, token_ids, "embedded.rows")
    if model.feeds_input:
        sizes = graph.constant("state.sizes", [model.decoder.state_size, model.target_embedding.embedding_dim])
        graph.nodes("Split", [state, sizes], ["state.decoder", "state.vector"], axis=1)
        state, embedded = "state.decoder", graph.node("Concat", [embedded, "state.vector"], "embedded.fed", axis=1)
    embedded = graph.unsqueeze(embedded, 0, "embedded")  # [time 1, rows, input]
    write_layer = None if precision == "fp32" else write_cell  # no prefill must agree with this step
    decoded = write_recurrent(graph, model.decoder, embedded, state=state, prefix="decoder", write_layer=write_layer)
    hidden = decoded.last
    if model.attention is not None:
        context = _write_attention(graph, model.attention, hidden)
        hidden = graph.node("Concat", [hidden, context], "hidden_and_context", axis=1)
    bounded = gives_bounded(model.decoder) and gives_bounded(model.encoder)  # a context is a mean of what it gave
    attentional = _write_readout(graph, model.readout, hidden, "target_embedding", bounded=bounded)
    carried = [*decoded.vectors, attentional] if model.feeds_input else decoded.vectors
    graph.output(write_state(graph, carried, "next_state"), "rows", model.state_size)
    if model.attention is not None:
        graph.output("attention", "rows", "time")
    return graph.finish(file_name("decoder_step", precision))


def _layer_writer(
    precision: Precision, layers: Recurrent, bound: float, otherwise: WriteLayer | None = None
) -> WriteLayer | None:
    """What writes the layers of a stack that reads vectors within `bound`: in int8 an LSTM is one operator."""
    return pinned_layers(bound) if precision == "int8" and can_pin(layers) else otherwise


def _bound(embedding: TokenEmbedding | Readings) -> float:
    """The largest magnitude of any element that an embedding gives."""
    if isinstance(embedding, Readings):
        return 1.0  # a tanh
    return float(embedding.weight.detach().abs().max()) * embedding.scale


def _texts(graph: GraphWriter) -> tuple[str, str]:
    """Declare token_ids and lengths; return the ids and the lengths as recurrent operators take them."""
    token_ids = graph.input("token_ids", "int64", "rows", "time")
    return token_ids, _lengths(graph)


def _lengths(graph: GraphWriter) -> str:
    """Declare lengths; return them as recurrent operators take them."""
    lengths = graph.input("lengths", "int64", "rows")
    return graph.node("Cast", [lengths], "lengths.int32", to=TensorProto.INT32)


def _embed_readings(graph: GraphWriter, readings: Readings, features: str) -> str:
    """[rows, time, features] -> [time, rows, embedding]; never in integers.

    There, one reading far from its mean would take the resolution of the others in its row.
    """
    time_first = graph.node("Transpose", [features], "features.time_first", perm=[1, 0, 2])
    matrix = graph.constant("embedding.weight", readings.projection.weight.T)
    product = graph.node("MatMul", [time_first, matrix], "embedded.product")
    summed = graph.node("Add", [product, graph.constant("embedding.bias", readings.projection.bias)], "embedded.sum")
    return graph.node("Tanh", [summed], "embedded")


def _look_up(graph: GraphWriter, name: str, embedding: TokenEmbedding, token_ids: str, output: str) -> str:
    """[...] -> [..., embedding], `output`."""
    table = (name, embedding.weight)
    if embedding.scale == 1:
        return graph.lookup(table, token_ids, output)
    scale = graph.constant("embedding_factor", np.float32(embedding.scale))
    return graph.node("Mul", [graph.lookup(table, token_ids, f"{output}.unscaled"), scale], output)


def _embed_texts(graph: GraphWriter, name: str, embedding: TokenEmbedding, token_ids: str) -> str:
    """[rows, time] -> [time, rows, embedding]."""
    time_first = graph.node("Transpose", [token_ids], "token_ids.time_first", perm=[1, 0])
    return _look_up(graph, name, embedding, time_first, "embedded")


def _embed_tokens(graph: GraphWriter, name: str, embedding: TokenEmbedding, token_ids: str) -> str:
    """[rows] -> [time 1, rows, embedding]."""
    return graph.unsqueeze(_look_up(graph, name, embedding, token_ids, "embedded.rows"), 0, "embedded")


def _write_zeros(graph: GraphWriter, token_ids: str, size: int) -> str:
    """Add zeros [rows, size]."""
    rows = graph.node("Shape", [token_ids], "zeros.rows", start=0, end=1)
    shape = graph.node("Concat", [rows, graph.constant("zeros.size", [size])], "zeros.shape", axis=0)
    return graph.node("Expand", [graph.constant("zeros.row", np.zeros((1, size), np.float32)), shape], "zeros")


def _write_keys(graph: GraphWriter, attention: Attention, values: str, *, bounded: bool) -> None:
    if attention.projection is None:
        graph.node("Identity", [values], "keys")
        return
    graph.product(values, ("projection", attention.projection.weight), "keys", bounded=bounded)


def _write_attention(graph: GraphWriter, attention: Attention, hidden: str) -> str:
    """Declare keys, values and lengths; add `attention` and return the context [rows, value_size]."""
    keys = graph.input("keys", "float32", "rows", "time", attention.key_size)
    values = graph.input("values", "float32", "rows", "time", attention.value_size)
    lengths = graph.input("lengths", "int64", "rows")
    scores = _write_scores(graph, attention, hidden, keys)  # [rows, time]
    time = graph.squeeze(graph.node("Shape", [keys], "keys.time", start=1, end=2), 0, "time")
    zero, one = graph.constant("zero", np.int64(0)), graph.constant("one", np.int64(1))
    positions = graph.node("Range", [zero, time, one], "positions")  # [time]
    real = graph.node("Less", [positions, graph.unsqueeze(lengths, 1, "lengths.column")], "real")  # [rows, time]
    masked = graph.node("Where", [real, scores, graph.lowest()], "scores.masked")
    weights = graph.node("Softmax", [masked], "attention", axis=-1)
    context = graph.node("MatMul", [graph.unsqueeze(weights, 1, "attention.row"), values], "context.row")
    return graph.squeeze(context, 1, "context")


def _write_scores(graph: GraphWriter, attention: Attention, hidden: str, keys: str) -> str:
    """Add the scores [rows, time] of one query per row, `hidden` [rows, key_size]."""
    if attention.query_projection is None or attention.energy is None:
        query = graph.unsqueeze(hidden, 2, "query.column")  # [rows, key_size, 1]
        products = graph.node("MatMul", [keys, query], "scores.column")
        if attention.scale == 1:
            return graph.squeeze(products, 2, "scores")
        scale = graph.constant("attention_factor", np.float32(attention.scale))
        return graph.node("Mul", [graph.squeeze(products, 2, "scores.unscaled"), scale], "scores")
    projection = attention.query_projection
    query = graph.affine(hidden, ("query.weight", projection.weight), projection.bias, "query")
    sums = graph.node("Add", [graph.unsqueeze(query, 1, "query.row"), keys], "energies.sums")  # [rows, time, key_size]
    energy = graph.constant("energy", attention.energy.weight.T)  # [key_size, 1]
    scores = graph.node("MatMul", [graph.node("Tanh", [sums], "energies"), energy], "scores.column")
    return graph.squeeze(scores, 2, "scores")


def _write_readout(graph: GraphWriter, readout: Readout, hidden: str, embedding: str, *, bounded: bool) -> str:
    """Add `logits` and return what they were made of. Tied weights are the initialiser of the embedding's name."""
    projection = readout.projection
    weight = ("readout.weight", projection.weight)
    projected = graph.affine(hidden, weight, projection.bias, "readout", bounded=bounded)
    activated = graph.node("Tanh", [projected], "readout.activated")
    name = embedding if readout.tied else "output.weight"
    graph.affine(activated, (name, readout.weight), readout.bias, "logits", bounded=True)
    graph.output("logits", "rows", readout.bias.shape[0])
    return activated
