"""Many to one: read a text, answer with one label."""

from torch import Tensor, nn

from training.model_settings import ModelSettings
from training.models.dropout import LockedDropout
from training.models.recurrent import Recurrent


class Classifier(nn.Module):
    """A recurrent network whose state after the last real token is mapped to one logit per label.

    With both directions, the backward state after the first token is put beside it, and no state can be carried from
    one piece of a text to the next.
    """

    def __init__(self, settings: ModelSettings, vocabulary_size: int, label_count: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding_size)
        self.embedding_dropout = LockedDropout(settings.dropout)
        self.recurrent = Recurrent(
            settings.cell,
            settings.embedding_size,
            settings.hidden_size,
            layers=settings.layers,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout,
        )
        self.output_dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.recurrent.output_size, label_count)

    @property
    def state_size(self) -> int | None:
        """Width of the carried state; None for a model of both directions, which carries none."""
        return None if self.recurrent.directions == 2 else self.recurrent.state_size

    def forward(self, token_ids: Tensor, lengths: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read rows of tokens.

        Args:
            token_ids: [rows, time], int64, anything past a row's length.
            lengths: [rows], int64, at least 1.
            state: [rows, state_size] where reading goes on; None starts anew.

        Returns:
            Logits [rows, labels] and the state at each row's length.
        """
        embedded = self.embedding_dropout(self.embedding(token_ids))  # [rows, time, embedding]
        _, state = self.recurrent(embedded, lengths, state)
        logits: Tensor = self.output(self.output_dropout(self.recurrent.last_output(state)))
        return logits, state
