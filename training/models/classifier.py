"""Many to one: read a text, answer with one label."""

from torch import Tensor, nn

from training.model_settings import ModelSettings
from training.models.embedding import TokenEmbedding
from training.models.recurrent import Recurrent


class Classifier(nn.Module):
    """A recurrent network whose output at the last real token is mapped to one logit per label.

    With both directions, the backward output at the first token is put beside it, and no state can be carried from
    one piece of a text to the next.
    """

    def __init__(self, settings: ModelSettings, vocabulary_size: int, label_count: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(vocabulary_size, settings)
        self.recurrent = Recurrent.of(settings, both=settings.bidirectional)
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
        outputs, state = self.recurrent(self.embedding(token_ids), lengths, state)
        logits: Tensor = self.output(self.recurrent.last_output(outputs, lengths))
        return logits, state
