"""Writes matrix products in int8 so that no row knows its neighbours.   Standard operators alone.

Stock dynamic quantisation takes one activation scale for the batch, and so an answer depends on the others in it. Here
every row has its own: q = round(x / s) + 128 with s = max|x| / 127, q times 7-bit weights in integers, back to float.
What is known to be within 1, such as a tanh, takes s = 1 / 127, whatever the row holds, and fewer operators.
Integer sums are exact in any order; what remains is done element by element.
"""

import numpy as np
import numpy.typing as npt
from onnx import TensorProto
from torch import Tensor

from training.export.graphs.quantize import ACTIVATION_LIMIT, ZERO_POINT, quantise_rows
from training.export.graphs.writer import OPSET, GraphWriter

_SMALLEST = 1e-30
"""A row of zeros would be divided by zero."""


class QuantisedWriter(GraphWriter):
    """Products with weights and look-ups in int8; every other operator as its parent writes it."""

    def __init__(self, name: str, opset: int = OPSET) -> None:
        super().__init__(name, opset)
        self._quantised: dict[str, tuple[str, str]] = {}  # activation -> its integers and its scales
        self._bounded: set[str] = set()
        self._tables: set[str] = set()
        self._transposed: set[str] = set()

    def lookup(self, table: tuple[str, Tensor], token_ids: str, output: str) -> str:
        """Choose rows of a table that is stored in int8, a scale per row."""
        name, weight = table
        rows = quantise_rows(_array(weight))
        self._tables.add(name)
        values = self.node("Gather", [self.constant(name, rows.values), token_ids], f"{output}.int8")
        scales = self.node("Gather", [self.constant(f"{name}.scale", rows.scales), token_ids], f"{output}.scale")
        return self.node("Mul", [self._floats(values), scales], output)

    def affine(
        self, inputs: str, weight: tuple[str, Tensor], bias: Tensor, output: str, *, bounded: bool = False
    ) -> str:
        """Add inputs [..., in] W^T + b: integers, and float32 outputs."""
        offset = self.constant(f"{output}.bias", bias)
        if bounded:
            return self._rescaled(inputs, weight, output, offset)
        return self.node("Add", [self.product(inputs, weight, f"{output}.product"), offset], output)

    def product(self, inputs: str, weight: tuple[str, Tensor], output: str, *, bounded: bool = False) -> str:
        """Add inputs [..., in] W^T: integers, and float32 outputs."""
        if bounded:
            return self._rescaled(inputs, weight, output)
        values, row_scales = self._quantise(inputs)
        matrix, column_scales = self._weights(*weight)
        sums = self.node("MatMulInteger", [values, matrix, self._zero_point()], f"{output}.int32")
        # columns first: runtimes fuse a product of both scales as if the rows' were one number for the batch
        by_column = self.node("Mul", [self._floats(sums), column_scales], f"{output}.by_column")
        return self.node("Mul", [by_column, row_scales], output)

    def _rescaled(self, inputs: str, weight: tuple[str, Tensor], output: str, *bias: str) -> str:
        """Add inputs W^T, with a bias if there is one, where inputs within 1 need no scale of their own."""
        scale = self.constant("bounded.scale", np.float32(1 / ACTIVATION_LIMIT))
        values = f"{inputs}.bounded"
        if values not in self._bounded:
            self._bounded.add(values)
            self.node("QuantizeLinear", [inputs, scale, self._zero_point()], values)
        matrix, column_scales = self._weights(*weight)
        operands = [values, matrix, scale, column_scales, self._zero_point(), *(("", *bias) if bias else ())]
        return self.node("MatMulIntegerToFloat", operands, output, domain="com.microsoft")

    def _zero_point(self) -> str:
        return self.constant("zero_point", np.uint8(ZERO_POINT))

    def recurrent(self, name: str, weights: npt.NDArray[np.float32]) -> str:
        """Store weights of a recurrent operator, which computes in float32, as float16, if none is beyond it."""
        if float(np.abs(weights).max(initial=0)) > float(np.finfo(np.float16).max):
            return super().recurrent(name, weights)
        return self._floats(self.constant(f"{name}.float16", weights.astype(np.float16)))

    def _quantise(self, inputs: str) -> tuple[str, str]:
        """Return the names of integers [..., in], uint8, and scales [..., 1]; made once for each activation."""
        if inputs not in self._quantised:
            magnitudes = self.node("Abs", [inputs], f"{inputs}.magnitudes")
            largest = self.reduce_max(magnitudes, -1, f"{inputs}.largest")
            positive = self.node("Max", [largest, self.constant("smallest", np.float32(_SMALLEST))], f"{inputs}.range")
            limit = self.constant("activation_limit", np.float32(ACTIVATION_LIMIT))
            scales = self.node("Div", [positive, limit], f"{inputs}.row_scale")
            rounded = self.node("Round", [self.node("Div", [inputs, scales], f"{inputs}.scaled")], f"{inputs}.rounded")
            zero = self.constant("zero_point.float", np.float32(ZERO_POINT))
            shifted = self.node("Add", [rounded, zero], f"{inputs}.shifted")
            values = self.node("Cast", [shifted], f"{inputs}.uint8", to=TensorProto.UINT8)
            self._quantised[inputs] = values, scales
        return self._quantised[inputs]

    def _weights(self, name: str, weight: Tensor) -> tuple[str, str]:
        """Return the names of a matrix [in, out], int8, and of its column scales [out]."""
        rows = quantise_rows(_array(weight))
        scales = self.constant(f"{name}.column_scale", rows.scales[:, 0])
        if name in self._tables:  # tied to a look-up: stored once; runtimes fold the transposition when they load
            matrix = f"{name}.transposed"
            if name not in self._transposed:
                self._transposed.add(name)
                self.node("Transpose", [name], matrix, perm=[1, 0])
            return matrix, scales
        return self.constant(name, rows.values.T), scales

    def _floats(self, integers: str) -> str:
        return self.node("Cast", [integers], f"{integers}.float", to=TensorProto.FLOAT)


def _array(weight: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = weight.detach().numpy()
    return array
