"""Many to many through an encoder and a decoder: read a whole sentence, then write another."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.model_settings import ModelSettings
from training.models.attention import Attention
from training.models.dropout import LockedDropout
from training.models.recurrent import Recurrent
from training.models.vocabulary import Readout, new_embedding


@dataclass(frozen=True)
class EncodedSource:
    """What a decoder knows of its source.

    Attributes:
        keys: [rows, time, key_size], or None without attention.
        values: [rows, time, value_size], or None without attention.
        state: [rows, state_size], the decoder's first state.
    """

    keys: Tensor | None
    values: Tensor | None
    state: Tensor


class Seq2Seq(nn.Module):
    """Recurrent encoder and decoder, with attention or without.

    The decoder's recurrence does not see the contexts (no input feeding), so that in training it runs over a whole
    target at once; attention joins in the readout, tanh(W [h; context]).

    A one-directional encoder ends in the decoder's first state. With both directions, a linear layer makes it of the
    two final vectors of each layer.
    """

    def __init__(self, settings: ModelSettings, source_vocabulary_size: int, target_vocabulary_size: int) -> None:
        super().__init__()
        size, hidden = settings.embedding_size, settings.hidden_size
        self.source_embedding = new_embedding(source_vocabulary_size, size)
        self.target_embedding = new_embedding(target_vocabulary_size, size)
        self.dropout = LockedDropout(settings.dropout)
        self.encoder = Recurrent(
            settings.cell,
            size,
            hidden,
            layers=settings.layers,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout,
        )
        self.decoder = Recurrent(settings.cell, size, hidden, layers=settings.layers, dropout=settings.dropout)
        self.bridge = nn.Linear(2 * hidden, hidden) if settings.bidirectional else None
        values = self.encoder.output_size
        self.attention = None if settings.attention is None else Attention(settings.attention, hidden, values)
        width = hidden if self.attention is None else hidden + values
        self.readout = Readout(width, self.target_embedding, tied=settings.tie_weights, dropout=settings.dropout)

    @property
    def state_size(self) -> int:
        """Width of the decoder's state."""
        return self.decoder.state_size

    def forward(self, source_ids: Tensor, source_lengths: Tensor, target_ids: Tensor) -> Tensor:
        """Teacher forcing: logits of each next target token, given the true ones before it.

        Args:
            source_ids: [rows, source time], int64.
            source_lengths: [rows], int64.
            target_ids: [rows, target time], int64, beginning with `bos`.

        Returns:
            [rows, target time, target vocabulary].
        """
        source = self.encode(source_ids, source_lengths)
        outputs, _ = self.decoder.read(self.dropout(self.target_embedding(target_ids)), source.state)
        logits, _ = self._look_and_read_out(self.dropout(outputs), source.keys, source.values, source_lengths)
        return logits

    def encode(self, token_ids: Tensor, lengths: Tensor) -> EncodedSource:
        """Read sources `token_ids` [rows, time] up to `lengths` [rows]."""
        outputs, state = self.encoder(self.dropout(self.source_embedding(token_ids)), lengths)
        state = self._cross(state)
        if self.attention is None:
            return EncodedSource(None, None, state)
        values = self.dropout(outputs)  # [rows, time, value_size], zero past a row's length
        return EncodedSource(self.attention.project(values), values, state)

    def decoder_step(
        self, token_ids: Tensor, state: Tensor, keys: Tensor | None, values: Tensor | None, lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Write one token per row.

        Args:
            token_ids: [rows], int64, the tokens before; `bos` first.
            state: [rows, state_size].
            keys: [rows, time, key_size] of the encoder, or None without attention.
            values: [rows, time, value_size] of the encoder, or None without attention.
            lengths: [rows], of the sources.

        Returns:
            Logits [rows, target vocabulary], the state after, and attention weights [rows, time] (or None).
        """
        outputs, state = self.decoder.read(self.target_embedding(token_ids[:, None]), state)  # [rows, 1, hidden]
        logits, weights = self._look_and_read_out(outputs, keys, values, lengths)
        return logits[:, 0], state, None if weights is None else weights[:, 0]

    def _look_and_read_out(
        self, outputs: Tensor, keys: Tensor | None, values: Tensor | None, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        if self.attention is None or keys is None or values is None:
            return self.readout(outputs), None
        contexts, weights = self.attention(outputs, keys, values, lengths)
        return self.readout(torch.cat([outputs, contexts], dim=-1)), weights

    def _cross(self, state: Tensor) -> Tensor:
        """Make the decoder's first state of the encoder's last."""
        if self.bridge is None:
            return state
        pairs = state.view(state.shape[0], -1, 2 * self.encoder.hidden_size)  # [rows, vectors, both directions]
        vectors: Tensor = self.bridge(pairs)  # [rows, vectors, hidden]
        return vectors.flatten(1)


@torch.no_grad()
def translate_greedily(
    model: Seq2Seq, token_ids: Tensor, lengths: Tensor, *, bos_id: int, eos_id: int, max_output_token_count: int
) -> list[list[int]]:
    """Write the likeliest token at each step until every row has ended.

    For validation while training; the service decodes with its own engine.

    Args:
        model: in evaluation mode.
        token_ids: [rows, time] sources.
        lengths: [rows] of the sources.
        bos_id: what each target begins with; not part of the result.
        eos_id: what ends a target; not part of the result.
        max_output_token_count: where a target without end is cut.

    Returns:
        Token ids per row.
    """
    source = model.encode(token_ids, lengths)
    state, previous = source.state, token_ids.new_full((len(token_ids),), bos_id)
    ended = torch.zeros(len(token_ids), dtype=torch.bool, device=token_ids.device)
    steps: list[Tensor] = []
    while len(steps) < max_output_token_count and not ended.all():
        logits, state, _ = model.decoder_step(previous, state, source.keys, source.values, lengths)
        previous = logits.argmax(dim=-1)
        ended = ended | (previous == eos_id)
        steps.append(previous)
    rows: list[list[int]] = torch.stack(steps, dim=1).tolist()
    return [row[: row.index(eos_id)] if eos_id in row else row for row in rows]
