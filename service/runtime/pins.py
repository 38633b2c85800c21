"""Whether tanh and sigmoid are largest where `service.bundle.pinned` has them largest, on this machine."""

from functools import cache

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from service.bundle.pinned import CELL_BOUND, HIDDEN_BOUND, OUTPUT_BIAS
from service.runtime.session import Array

_TANH_RANGE = (8.0, 10.0)
"""Below, tanh is smaller than 1 by more than kernels are off; above, they take one number."""

_SIGMOID_RANGE = (15.0, 20.0)
"""The same of the sigmoid."""


@cache
def pins_hold() -> bool:
    """Whether no float32 gives a larger tanh, sigmoid or product of the two than the pinned units have."""
    tanh, sigmoid = _values("Tanh", _TANH_RANGE, CELL_BOUND), _values("Sigmoid", _SIGMOID_RANGE, OUTPUT_BIAS)
    lowest = _values("Tanh", (-_TANH_RANGE[0], -_TANH_RANGE[1]), -CELL_BOUND)
    sides = tanh.max() == tanh[-1] == -lowest[-1] == -lowest.min() and sigmoid.max() == sigmoid[-1]
    return bool(sides and tanh[-1] * sigmoid[-1] == np.float32(HIDDEN_BOUND))


def _values(operator: str, between: tuple[float, float], pinned: float) -> Array:
    """What an operator gives for every float32 of a range on one side of 0, and last for the pinned one."""
    first, last = np.array(between, dtype=np.float32).view(np.int32)
    numbers = np.append(np.arange(first, last + 1, dtype=np.int32).view(np.float32), np.float32(pinned))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["count"]) for name in ("numbers", "values")]
    node = helper.make_node(operator, ["numbers"], ["values"])
    model = helper.make_model(
        helper.make_graph([node], operator, ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {"numbers": numbers})
    found: Array = values
    return found
