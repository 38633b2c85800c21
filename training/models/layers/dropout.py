"""Masks that switch features or weights off while training.   One mask serves all times of a row."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class DropoutRates:
    """How much of a stack of recurrent layers is dropped while it trains, each in [0, 1).

    Attributes:
        inputs: features of what the first layer reads.
        hidden: features of what each further layer reads.
        outputs: features of what the last layer gives.
        weights: elements of the recurrent matrices.
    """

    inputs: float = 0.0
    hidden: float = 0.0
    outputs: float = 0.0
    weights: float = 0.0


def locked_mask(like: Tensor, rows: int, features: int, rate: float) -> Tensor | None:
    """Draw a mask [rows, 1, features] of 0 and 1 / (1 - rate), so that the recurrence sees the same noise at all times.

    Returns:
        The mask with the type and device of `like`, or None at rate 0: nothing to do.

    Source: Gal & Ghahramani 2016, arXiv:1512.05287.
    """
    if rate == 0.0:
        return None
    return functional.dropout(like.new_ones(rows, 1, features), rate)
