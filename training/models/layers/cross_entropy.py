"""The cost of predicting labels, or tokens without ever holding all logits.   Knows no network and no padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_CHUNK_LOGITS = 2**21
"""Logits that are held at once, at most: few enough to stay near the processor."""


@dataclass(frozen=True)
class Objective:
    """What is asked of predictions beside being right."""

    label_smoothing: float = 0.0
    """Mass that is spread evenly over all labels or tokens, in [0, 1)."""
    consistency: float = 0.0
    """How much two predictions of the same, made through different dropout masks, are asked to agree: alpha of R-Drop.
    Where it is not 0, the second half of all positions are those of the first once more.

    Source: Wu et al. 2021, arXiv:2106.14448; for recurrent networks Zolna et al. 2018, arXiv:1711.00066.
    """


def cross_entropy(logits: Tensor, expected: Tensor, objective: Objective) -> Tensor:
    """Sum the cross-entropy of `expected` [positions] under `logits` [positions, labels]; scalar, in nats."""
    smoothing = objective.label_smoothing
    total = functional.cross_entropy(logits, expected, reduction="sum", label_smoothing=smoothing)
    if objective.consistency:
        one, other = functional.log_softmax(logits, dim=-1).chunk(2)
        total = total + objective.consistency / 2 * ((one.exp() - other.exp()) * (one - other)).sum()
    return total


def linear_cross_entropy(
    vectors: Tensor, weight: Tensor, bias: Tensor, expected: Tensor, objective: Objective
) -> Tensor:
    """Sum the cross-entropy of softmax(vectors W^T + b) over positions.

    The same as torch's `linear` and `cross_entropy` above one after the other. But the gradients, where any are wanted,
    are made together with the loss, part by part: logits are passed over fewer times, and few are held at once.

    Args:
        vectors: [positions, size].
        weight: W, [vocabulary, size].
        bias: b, [vocabulary].
        expected: [positions], int64, the true tokens.
        objective: what else is asked.

    Returns:
        Scalar, in nats, float32 or wider. Matrix products have the type that autocast says, if it is on.

    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7 (smoothing); Wijmans et al. 2024, arXiv:2411.09009, and
    Hsu et al. 2024, arXiv:2410.10989 (loss and gradients chunk by chunk).
    """
    device = vectors.device.type
    if torch.is_autocast_enabled(device):
        vectors = vectors.to(torch.get_autocast_dtype(device))
    learns = torch.is_grad_enabled()  # a Function is told of parameters that need gradients even where none are made
    total: Tensor = _LinearCrossEntropy.apply(vectors, weight, bias, expected, objective, learns)  # type: ignore[no-untyped-call]
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    """Matrix products in the type of `vectors`; everything else in that of `weight`."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor, expected: Tensor, objective: Objective, learns: bool
    ) -> Tensor:
        matrix, offset = weight.to(vectors.dtype), bias.to(vectors.dtype)
        total = weight.new_zeros(())
        gradients = [torch.zeros_like(one) for one in (vectors, weight, bias)] if learns else []
        for rows in _parts(len(vectors), max(1, _CHUNK_LOGITS // len(weight)), halves=objective.consistency > 0):
            part = vectors[rows]
            logits = torch.addmm(offset, part, matrix.T).to(weight.dtype)  # [positions, vocabulary]
            loss, gradient = _loss_and_gradient(logits, expected[rows, None], objective)
            total += loss
            if not learns:
                continue
            for_vectors, for_weight, for_bias = gradients
            for_bias += gradient.sum(dim=0)
            gradient = gradient.to(vectors.dtype)
            for_vectors[rows] = gradient @ matrix
            for_weight += gradient.T @ part
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(one * gradient.to(one.dtype) for one in ctx.saved_tensors), None, None, None)


def _parts(count: int, limit: int, *, halves: bool) -> Iterator[slice | Tensor]:
    """Cut positions into parts of about `limit`; with `halves`, each has a piece of the first half and its twin."""
    if not halves:
        yield from (slice(start, start + limit) for start in range(0, count, limit))
        return
    for first in torch.split(torch.arange(count // 2), max(1, limit // 2)):
        yield torch.cat([first, first + count // 2])


def _loss_and_gradient(logits: Tensor, chosen: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """Return the summed loss of `logits` [positions, vocabulary], with `chosen` [positions, 1], and its gradient."""
    smoothing, alpha = objective.label_smoothing, objective.consistency / 2
    log_shares = torch.log_softmax(logits, dim=-1)
    loss = -(1 - smoothing) * log_shares.gather(1, chosen).sum()
    if smoothing:
        loss -= smoothing * log_shares.mean(dim=-1).sum()
    if not alpha:
        gradient = log_shares.exp_()
    else:
        shares = log_shares.exp()
        (one, other), gap = shares.chunk(2), torch.sub(*log_shares.chunk(2))
        left, right = one * gap, other * gap  # what each half adds to either divergence
        loss += alpha * (left - right).sum()
        towards = (one - other).add_(left).sub_(one * left.sum(dim=-1, keepdim=True))
        back = (other - one).sub_(right).add_(other * right.sum(dim=-1, keepdim=True))
        gradient = shares.add_(torch.cat([towards, back]), alpha=alpha)
    gradient.sub_(smoothing / logits.shape[-1])
    gradient.scatter_add_(1, chosen, gradient.new_full(chosen.shape, smoothing - 1))
    return loss, gradient
