"""One to many: from a beginning, token after token."""

from torch import Tensor, nn

from training.models.layers.recurrent import Recurrent
from training.models.layers.vocabulary import Readout, new_embedding
from training.settings.model import ModelSettings


class LanguageModel(nn.Module):
    """A recurrent network that gives logits of the next token at every position.

    Trained on whole sequences at once (`forward`); run as a prefill over the prompt, then step by step.
    """

    def __init__(self, settings: ModelSettings, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = new_embedding(vocabulary_size, settings)
        self.recurrent = Recurrent.of(settings)
        self.readout = Readout(
            settings.hidden_size, self.embedding, tied=settings.tie_weights, dropout=settings.output_dropout
        )

    @property
    def state_size(self) -> int:
        """Width of the carried state."""
        return self.recurrent.state_size

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the logits [rows, time, vocabulary] of each next token of `token_ids` [rows, time], from zeros."""
        return self.read(token_ids)[0]

    def read(self, token_ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read rows of one length, going on from `state` [rows, state_size]; None starts anew.

        Returns:
            Logits [rows, time, vocabulary] of each next token of `token_ids` [rows, time], and the state at the end.
        """
        vectors, state = self.vectors(token_ids, state)
        return self.readout.logits(vectors), state

    def vectors(self, token_ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `read`, but instead of the logits what they are made from, [rows, time, embedding]."""
        outputs, state = self.recurrent.read(self.embedding(token_ids), state)
        return self.readout.project(outputs), state

    def prefill(self, token_ids: Tensor, lengths: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read prompts of mixed lengths.

        Args:
            token_ids: [rows, time], int64, anything past a row's length.
            lengths: [rows], int64, at least 1.
            state: [rows, state_size]; zeros start anew.

        Returns:
            Logits [rows, vocabulary] after each row's last token, and the state there.
        """
        outputs, state = self.recurrent(self.embedding(token_ids), lengths, state)
        return self.readout(self.recurrent.last_output(outputs, lengths)), state

    def step(self, token_ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read one token per row: `token_ids` [rows], `state` [rows, state_size]; returns as `prefill`."""
        outputs, state = self.recurrent.read(self.embedding(token_ids[:, None]), state)  # [rows, 1, hidden]
        return self.readout(outputs[:, 0]), state
