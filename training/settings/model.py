"""The [model] section of a recipe: the architecture.   What it means in tensors is said in `training.models`."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from training.settings.strict import DropoutProbability, PositiveInteger, StrictModel

PoolingKind = Literal["last", "max", "mean", "concat"]


def _as_dropout(validated: Mapping[str, Any]) -> float:
    return float(validated["dropout"])


class ModelSettings(StrictModel):
    """The architecture."""

    cell: Literal["rnn", "lstm", "gru"]
    layers: PositiveInteger = 1
    bidirectional: bool = False
    """Read the text (classification) or the source (translation) in both directions."""
    embedding_size: PositiveInteger
    hidden_size: PositiveInteger
    """Units per layer and direction. With `dot` attention to both directions, the encoder has half per direction."""
    residual: bool = False
    """Add what a layer reads to what it gives, where the sizes match. Two layers or more."""
    layer_norm: bool = False
    """Normalise what each layer gives, after the residual sum, which grows with every layer."""
    dropout: DropoutProbability = 0.0
    """Probability of dropping a value; the three that follow are this where they are left out."""
    input_dropout: DropoutProbability = Field(default_factory=_as_dropout)
    """On what the first layer reads; a feature is dropped at all times of a row or at none, and so in the next two."""
    hidden_dropout: DropoutProbability = Field(default_factory=_as_dropout)
    """On what each further layer reads."""
    output_dropout: DropoutProbability = Field(default_factory=_as_dropout)
    """On what the last layer gives, and before the output layer."""
    embedding_dropout: DropoutProbability = 0.0
    """Probability that a token of the vocabulary is dropped wherever it stands in a batch."""
    word_dropout: DropoutProbability = 0.0
    """Probability that a token read is replaced by `<unk>`. Not for tokenizers without one (bpe, unigram)."""
    weight_drop: DropoutProbability = 0.0
    """Probability of dropping a weight of the recurrent matrices, the same at all times of a batch."""
    attention: Literal["dot", "general", "additive"] | None = None
    """How the decoder looks at the source. Translation only; left out: the last encoder state is all it knows."""
    scale_attention: bool = False
    """Divide the scores of `dot` and `general` attention by the root of their width. Without it, they harden early:
    the decoder looks at one place alone, before it has learnt which."""
    pooling: PoolingKind = "last"
    """What a classifier answers from: its last output, the largest or mean values over time, or all of them (`concat`).
    Only with `last` can a state be carried from one piece of a text to the next. Classification only."""
    input_feeding: bool = False
    """The decoder also reads what its attention came to at the step before. Training then goes step by step, in
    place of one run over the whole target."""
    scale_embeddings: bool = False
    """Read embeddings times the root of their size: rows that are short enough for output weights too are long enough
    for the first layer then. Not of readings."""
    tie_weights: bool = False
    """The output layer is the (target) embedding, transposed. Generation and translation only."""
    share_embeddings: bool = False
    """Source and target have one embedding; needs one `[tokenizer]` for both. Translation only."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        refused = {
            "residual needs two layers or more": self.residual and self.layers == 1,
            "input_feeding needs attention": self.input_feeding and self.attention is None,
            "scale_attention needs attention dot or general": (
                self.scale_attention and self.attention not in {"dot", "general"}
            ),
            "dot attention to both directions needs an even hidden_size, half of it per direction": (
                self.attention == "dot" and self.bidirectional and self.hidden_size % 2 == 1
            ),
        }
        for rule, broken in refused.items():
            if broken:
                raise ValueError(rule)
        return self
