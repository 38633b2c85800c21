"""Preallocated arrays that grow in one direction.   Pure numpy."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Element = TypeVar("_Element", bound=np.generic)

GROWTH = 64
"""Widths grow by multiples of this."""


def zeros(shape: int | tuple[int, ...], dtype: type[_Element]) -> npt.NDArray[_Element]:
    """An array of zeros."""
    return np.zeros(shape, dtype=dtype)


def widened(array: npt.NDArray[_Element], width: int) -> npt.NDArray[_Element]:
    """[rows, at least `width`, ...]: the array itself, or a wider one with zeros behind what it holds."""
    if array.shape[1] >= width:
        return array
    wide = np.zeros((array.shape[0], -(-width // GROWTH) * GROWTH, *array.shape[2:]), dtype=array.dtype)
    wide[:, : array.shape[1]] = array
    return wide
