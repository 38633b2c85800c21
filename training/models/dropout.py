"""Locked dropout: one mask for all times of a row.   Does nothing outside training."""

from torch import Tensor, nn
from torch.nn import functional


class LockedDropout(nn.Module):
    """Drops the same features at every time of a row, so that the recurrence sees steady noise.

    Args:
        rate: share of features dropped, in [0, 1).

    Source: Gal & Ghahramani 2016, arXiv:1512.05287.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `inputs` [rows, time, features], masked and rescaled while training."""
        if not self.training or self.rate == 0.0:
            return inputs
        rows, _, features = inputs.shape
        return inputs * functional.dropout(inputs.new_ones(rows, 1, features), self.rate)
