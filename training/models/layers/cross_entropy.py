"""The cost of predicting tokens from vectors, without ever holding all logits.   Knows no network and no padding."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_LOGITS = 2**21
"""Logits that are held at once, at most: few enough to stay near the processor."""


def linear_cross_entropy(
    vectors: Tensor, weight: Tensor, bias: Tensor, expected: Tensor, *, label_smoothing: float
) -> Tensor:
    """Sum the cross-entropy of softmax(vectors W^T + b) over positions.

    The same as torch's `linear` and `cross_entropy` one after the other. But the gradients, where any are wanted, are
    made together with the loss, part by part: logits are passed over fewer times, and few are held at once.

    Args:
        vectors: [positions, size].
        weight: W, [vocabulary, size].
        bias: b, [vocabulary].
        expected: [positions], int64, the true tokens.
        label_smoothing: mass that is spread evenly over the vocabulary, in [0, 1).

    Returns:
        Scalar, in nats, float32 or wider. Matrix products have the type that autocast says, if it is on.

    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7 (smoothing); Wijmans et al. 2024, arXiv:2411.09009, and
    Hsu et al. 2024, arXiv:2410.10989 (loss and gradients chunk by chunk).
    """
    device = vectors.device.type
    if torch.is_autocast_enabled(device):
        vectors = vectors.to(torch.get_autocast_dtype(device))
    learns = torch.is_grad_enabled()  # a Function is told of parameters that need gradients even where none are made
    total: Tensor = _LinearCrossEntropy.apply(vectors, weight, bias, expected, label_smoothing, learns)  # type: ignore[no-untyped-call]
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    """Matrix products in the type of `vectors`; everything else in that of `weight`."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, expected: Tensor, smoothing: float, learns: bool
    ) -> Tensor:
        matrix, offset = weight.to(vectors.dtype), bias.to(vectors.dtype)
        total = weight.new_zeros(())
        gradients = [torch.zeros_like(one) for one in (vectors, weight, bias)] if learns else []
        count = max(1, _CHUNK_LOGITS // len(weight))
        for start in range(0, len(vectors), count):
            rows = slice(start, start + count)
            chosen = expected[rows, None]  # [positions, 1]
            logits = torch.addmm(offset, vectors[rows], matrix.T).to(weight.dtype)  # [positions, vocabulary]
            log_shares = torch.log_softmax(logits, dim=-1)
            total -= (1 - smoothing) * log_shares.gather(1, chosen).sum()
            if smoothing:
                total -= smoothing * log_shares.mean(dim=-1).sum()
            if not learns:
                continue
            for_vectors, for_weight, for_bias = gradients
            gradient = log_shares.exp_().sub_(smoothing / len(weight))
            gradient.scatter_add_(1, chosen, gradient.new_full(chosen.shape, smoothing - 1))
            for_bias += gradient.sum(dim=0)
            gradient = gradient.to(vectors.dtype)
            for_vectors[rows] = gradient @ matrix
            for_weight += gradient.T @ vectors[rows]
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(one * gradient.to(one.dtype) for one in ctx.saved_tensors), None, None, None)
