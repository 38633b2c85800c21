"""The [model] section of a recipe: the architecture.   What it means in tensors is said in `training.models`."""

from typing import Literal

from training.models.pooling import PoolingKind
from training.setting_types import DropoutProbability, PositiveInteger
from training.strict_model import StrictModel


class ModelSettings(StrictModel):
    """The architecture."""

    cell: Literal["rnn", "lstm", "gru"]
    layers: PositiveInteger = 1
    bidirectional: bool = False
    """Read the text (classification) or the source (translation) in both directions."""
    embedding_size: PositiveInteger
    hidden_size: PositiveInteger
    """Units per layer and direction."""
    dropout: DropoutProbability = 0.0
    """Probability of dropping a value, on embeddings, between layers and before the output layer."""
    attention: Literal["dot", "general", "additive"] | None = None
    """How the decoder looks at the source. Translation only; left out: the last encoder state is all it knows."""
    pooling: PoolingKind = "last"
    """What a classifier answers from: its last output, the largest or mean values over time, or all of them (`concat`).
    Only with `last` can a state be carried from one piece of a text to the next. Classification only."""
    tie_weights: bool = False
    """The output layer is the (target) embedding, transposed. Generation and translation only."""
