"""How token ids become vectors, and what is dropped there while training."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.encoding.tokenization import UNKNOWN_ID
from training.settings.model import ModelSettings


class TokenEmbedding(nn.Embedding):
    """A table of vectors, read times `scale`. While training, some tokens read as unknown and some rows as zeros.

    Args:
        vocabulary_size: rows of the table.
        settings: width, whether vectors are scaled, and the rates of both kinds of dropout.

    Source: Bowman et al. 2016, arXiv:1511.06349 (word dropout); Gal & Ghahramani 2016, arXiv:1512.05287 (whole rows).
    """

    def __init__(self, vocabulary_size: int, settings: ModelSettings) -> None:
        super().__init__(vocabulary_size, settings.embedding_size)
        self.scale = settings.embedding_size**0.5 if settings.scale_embeddings else 1.0
        self.word_dropout = settings.word_dropout
        self.row_dropout = settings.embedding_dropout

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the vectors [..., embedding_size] of `token_ids` [...]."""
        if not self.training:
            return self._vectors(token_ids)
        if self.word_dropout > 0:
            dropped = torch.rand(token_ids.shape, device=token_ids.device) < self.word_dropout
            token_ids = token_ids.masked_fill(dropped & (token_ids > UNKNOWN_ID), UNKNOWN_ID)  # special ids come first
        vectors = self._vectors(token_ids)
        if self.row_dropout > 0:
            rows = functional.dropout(self.weight.new_ones(self.num_embeddings), self.row_dropout)  # [vocabulary]
            vectors = vectors * rows[token_ids][..., None]
        return vectors

    def _vectors(self, token_ids: Tensor) -> Tensor:
        vectors = super().forward(token_ids)
        return vectors if self.scale == 1 else vectors * self.scale
