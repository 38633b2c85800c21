"""Weights as 7-bit integers with a scale per output column.   Pure arithmetic; writes no graph, runs none.

Seven bits and not eight: where the CPU has no VNNI, runtimes add two products of an unsigned activation and a signed
weight in 16 bits, saturating. 2 * 255 * 63 = 32,130 fits; with 127 it would not, and answers would depend on the CPU.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WEIGHT_LIMIT = 63
"""Largest magnitude of a quantised weight."""

ACTIVATION_LIMIT = 127
"""Largest magnitude of a quantised activation, before the zero point is added."""

ZERO_POINT = 128
"""Activations are stored as uint8; this stands for 0."""


@dataclass(frozen=True)
class QuantisedRows:
    """A matrix whose rows have a scale each: `values * scales` is near what it was made of."""

    values: npt.NDArray[np.int8]  # [rows, columns], -63 to 63
    scales: npt.NDArray[np.float32]  # [rows, 1], above 0


def quantise_rows(matrix: npt.NDArray[np.float32]) -> QuantisedRows:
    """Quantise each row of a matrix [rows, columns] symmetrically: its largest magnitude becomes 63.

    A row of a weight matrix [out, in] makes one output column. No element moves by more than half its row's scale.

    Raises:
        ValueError: a weight is not finite.
    """
    if not np.isfinite(matrix).all():
        raise ValueError("weights must be finite to be quantised")
    largest = np.abs(matrix).max(axis=1, keepdims=True)  # [rows, 1]
    scales = np.where(largest > 0, largest / WEIGHT_LIMIT, 1.0).astype(np.float32)
    values = np.clip(np.rint(matrix / scales), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
    return QuantisedRows(values, scales)
