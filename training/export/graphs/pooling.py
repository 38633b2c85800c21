"""Writes a classifier's pooling over time, so that padding changes no bit.

A largest value is exact in any order. A mean is a matrix product with a row of 0 and 1 / length, over a time that is
padded to a multiple of 8 within the graph: sums over such times come out the same however many zeros follow.
"""

import numpy as np
from onnx import TensorProto

from training.export.graphs.writer import GraphWriter, RecurrentValues
from training.models.layers.pooling import POOLED_PARTS
from training.settings.model import PoolingKind

TIME_MULTIPLE = 8
"""Time of the graphs that sum over it is padded to a multiple of this, so that padding cannot change a sum."""


def write_pooling(graph: GraphWriter, kind: PoolingKind, values: RecurrentValues, lengths: str) -> str:
    """Add what `training.models.layers.pooling.pool` computes.

    Args:
        graph: where to.
        kind: of pooling.
        values: outputs [time, rows, features], zero past a row's length, and last [rows, features].
        lengths: [rows], int64.

    Returns:
        [rows, parts * features].
    """
    if kind == "last":
        return values.last
    rows_first = _pad_time(graph, graph.node("Transpose", [values.outputs], "outputs.rows_first", perm=[1, 0, 2]))
    real = _real_times(graph, rows_first, lengths)
    write = {
        "last": lambda: values.last,
        "max": lambda: _write_max(graph, rows_first, real),
        "mean": lambda: _write_mean(graph, rows_first, real, lengths),
    }
    parts = [write[part]() for part in POOLED_PARTS[kind]]
    return parts[0] if len(parts) == 1 else graph.node("Concat", parts, "pooled", axis=1)


def _pad_time(graph: GraphWriter, outputs: str) -> str:
    """Add zeros behind outputs [rows, time, features], so that time is a multiple of 8."""
    multiple = graph.constant("time_multiple", [TIME_MULTIPLE])
    rows, time, features = (
        graph.node("Shape", [outputs], f"outputs.{name}", start=axis, end=axis + 1)
        for axis, name in enumerate(("rows", "time", "features"))
    )
    above = graph.node("Add", [time, graph.constant("time_multiple.less_one", [TIME_MULTIPLE - 1])], "time.above")
    whole = graph.node("Mul", [graph.node("Div", [above, multiple], "time.multiples"), multiple], "time.padded")
    shape = graph.node(
        "Concat", [rows, graph.node("Sub", [whole, time], "time.missing"), features], "padding.shape", axis=0
    )
    zeros = graph.node("Expand", [graph.constant("nothing", np.float32(0)), shape], "padding")
    return graph.node("Concat", [outputs, zeros], "outputs.padded", axis=1)


def _real_times(graph: GraphWriter, rows_first: str, lengths: str) -> str:
    """[rows, time]: whether a time is before the row's end."""
    time = graph.squeeze(graph.node("Shape", [rows_first], "times.count", start=1, end=2), 0, "times.count.scalar")
    zero, one = graph.constant("zero", np.int64(0)), graph.constant("one", np.int64(1))
    times = graph.node("Range", [zero, time, one], "times")
    return graph.node("Less", [times, graph.unsqueeze(lengths, 1, "lengths.column")], "real")


def _write_max(graph: GraphWriter, rows_first: str, real: str) -> str:
    operands = [graph.unsqueeze(real, 2, "real.features"), rows_first, graph.lowest()]
    masked = graph.node("Where", operands, "outputs.masked")
    return graph.reduce_max(masked, 1, "pooled.max", keeps_axis=False)


def _write_mean(graph: GraphWriter, rows_first: str, real: str, lengths: str) -> str:
    floats = graph.node("Cast", [lengths], "lengths.float", to=TensorProto.FLOAT)
    share = graph.unsqueeze(graph.node("Reciprocal", [floats], "share"), 1, "share.column")  # [rows, 1]
    weights = graph.node("Where", [real, share, graph.constant("nothing", np.float32(0))], "weights")  # [rows, time]
    mean = graph.node("MatMul", [graph.unsqueeze(weights, 1, "weights.row"), rows_first], "pooled.mean.row")
    return graph.squeeze(mean, 1, "pooled.mean")
