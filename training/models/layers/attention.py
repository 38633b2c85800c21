"""Attention: which source positions a decoder looks at.   Knows no recurrence and no vocabulary."""

from typing import Literal

import torch
from torch import Tensor, nn

AttentionKind = Literal["dot", "general", "additive"]


class Attention(nn.Module):
    """Scores queries against projected source states and averages the states by the softmax of the scores.

        dot       h^T s                  needs value_size == query_size
        general   h^T (W s)              W is learnt
        additive  v^T tanh(U h + W s)    v, U and W are learnt

    W is applied to the source once (`project`), not at every step. Scaled, the first two are divided by the root of
    their width: a softmax of long vectors' products is nearly one-hot, and one-hot weights learn nothing.

    Args:
        kind: the score.
        query_size: width of the decoder's hidden vector h.
        value_size: width of a source state s.
        scaled: whether scores are.

    Raises:
        ValueError: `dot` with different widths.

    Source: Luong et al. 2015, arXiv:1508.04025, section 3.1; `additive`: Bahdanau et al. 2014, arXiv:1409.0473;
    scaling: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
    """

    def __init__(self, kind: AttentionKind, query_size: int, value_size: int, *, scaled: bool = False) -> None:
        super().__init__()
        if kind == "dot" and query_size != value_size:
            raise ValueError(f"dot attention needs equal widths, not query {query_size} and source {value_size}")
        self.kind: AttentionKind = kind
        self.key_size = query_size
        self.value_size = value_size
        self.scale = query_size**-0.5 if scaled else 1.0
        self.projection = None if kind == "dot" else nn.Linear(value_size, query_size, bias=False)
        self.query_projection = nn.Linear(query_size, query_size) if kind == "additive" else None
        self.energy = nn.Linear(query_size, 1, bias=False) if kind == "additive" else None

    def project(self, values: Tensor) -> Tensor:
        """Return the keys [rows, time, key_size] of source states [rows, time, value_size]."""
        if self.projection is None:
            return values
        keys: Tensor = self.projection(values)
        return keys

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare queries [rows, steps, key_size] with keys [rows, time, key_size]: [rows, steps, time]."""
        if self.query_projection is None or self.energy is None:
            scores = queries @ keys.transpose(1, 2)
            return scores if self.scale == 1 else scores * self.scale
        sums = self.query_projection(queries)[:, :, None] + keys[:, None]  # [rows, steps, time, key_size]
        energies: Tensor = self.energy(torch.tanh(sums))  # [rows, steps, time, 1]
        return energies.squeeze(-1)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Look at the source.

        Args:
            queries: [rows, steps, key_size].
            keys: [rows, time, key_size].
            values: [rows, time, value_size].
            lengths: [rows], real source positions; the others get weight exactly 0.

        Returns:
            Contexts [rows, steps, value_size] and weights [rows, steps, time]; the weights of a step sum to 1.
        """
        scores = self.scores(queries, keys)
        padding = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]  # [rows, time]
        scores = scores.masked_fill(padding[:, None, :], torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        return weights @ values, weights
