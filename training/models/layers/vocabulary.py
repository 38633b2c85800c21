"""From vectors to logits over a vocabulary, with the input embedding's weights or with weights of its own."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.layers.cross_entropy import Objective, linear_cross_entropy
from training.models.layers.embedding import TokenEmbedding
from training.settings.model import ModelSettings


class Readout(nn.Module):
    """logits = E tanh(W h + b) + c, where E is the embedding itself if weights are tied.

    Args:
        input_size: width of what the network ends in.
        embedding: of the vocabulary that is predicted.
        tied: E is the embedding's matrix; otherwise it is learnt separately.
        dropout: on tanh(W h + b).

    Source: Press & Wolf 2017, arXiv:1608.05859 (tying).
    """

    def __init__(self, input_size: int, embedding: TokenEmbedding, *, tied: bool, dropout: float) -> None:
        super().__init__()
        self.tied = tied
        self.projection = nn.Linear(input_size, embedding.embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.weight = embedding.weight if tied else nn.Parameter(torch.empty_like(embedding.weight))
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings))
        if not tied:
            nn.init.xavier_uniform_(self.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of `inputs` [..., input_size]."""
        return self.logits(self.project(inputs))

    def project(self, inputs: Tensor) -> Tensor:
        """Return tanh(W h + b), [..., embedding]."""
        return torch.tanh(self.projection(inputs))

    def logits(self, projected: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of what `project` gave."""
        return functional.linear(self.dropout(projected), self.weight, self.bias)

    def loss(self, projected: Tensor, expected: Tensor, objective: Objective) -> Tensor:
        """Sum the cross-entropy of `expected` [positions] given what `project` gave for them [positions, embedding]."""
        vectors = self.dropout(projected)
        return linear_cross_entropy(vectors, self.weight, self.bias, expected, objective)


def new_embedding(vocabulary_size: int, settings: ModelSettings) -> TokenEmbedding:
    """Return an embedding whose rows are short enough to be output weights too."""
    embedding = TokenEmbedding(vocabulary_size, settings)
    nn.init.normal_(embedding.weight, std=settings.embedding_size**-0.5)
    return embedding
