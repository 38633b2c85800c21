"""Many to many, aligned: read a sequence, answer with one label at each step."""

from typing import Self

import torch
from torch import Tensor, nn

from training.models.layers.embedding import TokenEmbedding
from training.models.layers.recurrent import Recurrent
from training.settings.model import ModelSettings


class Readings(nn.Module):
    """Numeric readings as vectors: tanh(W x + b). Bounded, so that one reading far off cannot drown the others.

    Args:
        feature_count: readings per step.
        size: width of a vector.
    """

    def __init__(self, feature_count: int, size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(feature_count, size)

    def forward(self, features: Tensor) -> Tensor:
        """[..., feature_count] -> [..., size]."""
        return torch.tanh(self.projection(features))


class Labeller(nn.Module):
    """A recurrent network whose output at each step is mapped to one logit per label.

    With both directions, a step's label knows what comes after it, and no state can be carried from one piece of a
    sequence to the next. `embedding` and `recurrent` are those of a language model of the same sizes.

    Args:
        settings: the architecture.
        embedding: of token ids, or of readings; its vectors are `settings.embedding_size` wide.
        label_count: how many labels there are.
    """

    def __init__(self, settings: ModelSettings, embedding: TokenEmbedding | Readings, label_count: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.recurrent = Recurrent.of(settings, both=settings.bidirectional)
        self.output = nn.Linear(self.recurrent.output_size, label_count)

    @classmethod
    def of_words(cls, settings: ModelSettings, vocabulary_size: int, label_count: int) -> Self:
        """Reads token ids."""
        return cls(settings, TokenEmbedding(vocabulary_size, settings), label_count)

    @classmethod
    def of_features(cls, settings: ModelSettings, feature_count: int, label_count: int) -> Self:
        """Reads rows of scaled readings."""
        return cls(settings, Readings(feature_count, settings.embedding_size), label_count)

    @property
    def state_size(self) -> int | None:
        """Width of the carried state; None for a model of both directions, which carries none."""
        return None if self.recurrent.directions == 2 else self.recurrent.state_size

    def forward(self, steps: Tensor, lengths: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read rows of steps.

        Args:
            steps: token ids [rows, time], int64, or readings [rows, time, features]; anything past a row's length.
            lengths: [rows], int64, at least 1.
            state: [rows, state_size] where reading goes on; None starts anew.

        Returns:
            Logits [rows, time, labels], of no meaning past a row's length, and the state at each row's length.
        """
        outputs, state = self.recurrent(self.embedding(steps), lengths, state)
        return self.output(outputs), state

    def label(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of `forward` alone: faster for one direction, which needs no lengths for them."""
        if self.recurrent.directions == 2:
            return self(steps, lengths)[0]  # type: ignore[no-any-return]
        outputs, _ = self.recurrent.read(self.embedding(steps))
        return self.output(outputs)  # type: ignore[no-any-return]
