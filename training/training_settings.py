"""The [training] section of a recipe: how the weights are found."""

from typing import Annotated, Literal

from pydantic import Field

from training.setting_types import Fraction, PositiveInteger
from training.strict_model import StrictModel


class TrainingSettings(StrictModel):
    """How the weights are found."""

    optimizer: Literal["adamw"] = "adamw"
    epochs: PositiveInteger
    """At most this many passes over the training examples."""
    patience: PositiveInteger = 3
    """Stop after this many epochs in a row without a better validation metric; the best weights are kept."""
    batch_tokens: PositiveInteger = 2048
    """Rows times padded time of a batch stay within this."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """The highest that the schedule reaches."""
    warmup_fraction: Fraction = 0.1
    """The learning rate rises linearly over this fraction of all steps, then falls linearly towards zero."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled (AdamW), on matrices and not on biases."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Scale the gradient down when its norm over all parameters is larger."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the probability that the loss spreads evenly over all labels or tokens."""
    teacher_forcing_ratio: Fraction = 1.0
    """Probability that the decoder is fed the true previous token and not its own. Translation only."""
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """CPU threads. Results are reproduced bit for bit on the same machine with the same number."""
