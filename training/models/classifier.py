"""Many to one: read a text, answer with one label."""

from torch import Tensor, nn

from training.models.layers.embedding import TokenEmbedding
from training.models.layers.pooling import POOLED_PARTS, pool
from training.models.layers.recurrent import Recurrent
from training.settings.model import ModelSettings


class Classifier(nn.Module):
    """A recurrent network whose outputs, pooled over time, are mapped to one logit per label.

    With both directions, or pooled otherwise than by taking the last output, no state can be carried from one piece of
    a text to the next.
    """

    def __init__(self, settings: ModelSettings, vocabulary_size: int, label_count: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(vocabulary_size, settings)
        self.recurrent = Recurrent.of(settings, both=settings.bidirectional)
        self.pooling = settings.pooling
        self.output = nn.Linear(len(POOLED_PARTS[settings.pooling]) * self.recurrent.output_size, label_count)

    @property
    def state_size(self) -> int | None:
        """Width of the carried state; None for a model that carries none."""
        carries = self.recurrent.directions == 1 and self.pooling == "last"
        return self.recurrent.state_size if carries else None

    def forward(self, token_ids: Tensor, lengths: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read rows of tokens.

        Args:
            token_ids: [rows, time], int64, anything past a row's length.
            lengths: [rows], int64, at least 1.
            state: [rows, state_size] where reading goes on; None starts anew.

        Returns:
            Logits [rows, labels] and the state at each row's length.
        """
        outputs, state = self.recurrent(self.embedding(token_ids), lengths, state)  # [rows, time, output_size]
        last = self.recurrent.last_output(outputs, lengths)
        logits: Tensor = self.output(pool(self.pooling, outputs, last, lengths))
        return logits, state
