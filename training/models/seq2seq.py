"""Many to many through an encoder and a decoder: read a whole sentence, then write another."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from training.models.layers.attention import Attention
from training.models.layers.recurrent import Noise, Recurrent
from training.models.layers.vocabulary import Readout, new_embedding
from training.settings.model import ModelSettings


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

    Attention joins after the decoder's recurrence, in the readout's tanh(W [h; context]), the attentional vector. So in
    training the recurrence runs over a whole target at once. With input feeding it also reads the attentional vector
    of the step before, and has to go step by step; the state then carries that vector behind the decoder's own.

    A one-directional encoder ends in the decoder's first state. With both directions, a linear layer makes it of the
    two final vectors of each layer. `dot` attention compares source states with decoder states as they are: where the
    encoder reads in both directions, each direction has half the decoder's width.

    Source: Luong et al. 2015, arXiv:1508.04025, section 3.3 (input feeding).
    """

    def __init__(self, settings: ModelSettings, source_vocabulary_size: int, target_vocabulary_size: int) -> None:
        super().__init__()
        size, hidden, both = settings.embedding_size, settings.hidden_size, settings.bidirectional
        self.target_embedding = new_embedding(target_vocabulary_size, settings)
        self.source_embedding = (
            self.target_embedding if settings.share_embeddings else new_embedding(source_vocabulary_size, settings)
        )
        halved = both and settings.attention == "dot"
        self.encoder = Recurrent.of(settings, hidden_size=hidden // 2 if halved else hidden, both=both)
        self.feeds_input = settings.input_feeding
        self.decoder = Recurrent.of(settings, input_size=2 * size if self.feeds_input else size)
        self.bridge = nn.Linear(self.encoder.output_size, hidden) if both else None
        values = self.encoder.output_size
        self.attention = (
            None
            if settings.attention is None
            else Attention(settings.attention, hidden, values, scaled=settings.scale_attention)
        )
        width = hidden if self.attention is None else hidden + values
        self.readout = Readout(width, self.target_embedding, tied=settings.tie_weights, dropout=settings.output_dropout)

    @property
    def state_size(self) -> int:
        """Width of what a decoder carries: its own state and, with input feeding, the last attentional vector."""
        return self.decoder.state_size + (self.target_embedding.embedding_dim if self.feeds_input else 0)

    def forward(self, source_ids: Tensor, source_lengths: Tensor, target_ids: Tensor) -> Tensor:
        """Teacher forcing: logits of each next target token, given the true ones before it.

        Args:
            source_ids: [rows, source time], int64.
            source_lengths: [rows], int64.
            target_ids: [rows, target time], int64, beginning with `bos`.

        Returns:
            [rows, target time, target vocabulary].
        """
        return self.readout.logits(self.vectors(source_ids, source_lengths, target_ids))

    def vectors(self, source_ids: Tensor, source_lengths: Tensor, target_ids: Tensor) -> Tensor:
        """As `forward`, but instead of the logits what they are made from, [rows, target time, embedding]."""
        source = self.encode(source_ids, source_lengths)
        embedded = self.target_embedding(target_ids)
        if self.feeds_input:
            return self._read_in_steps(embedded, source, source_lengths)
        outputs, _ = self.decoder.read(embedded, source.state)
        return self._attend(outputs, source.keys, source.values, source_lengths)[0]

    def encode(self, token_ids: Tensor, lengths: Tensor) -> EncodedSource:
        """Read sources `token_ids` [rows, time] up to `lengths` [rows]."""
        values, state = self.encoder(self.source_embedding(token_ids), lengths)  # values: zero past a row's length
        state = self._cross(state)
        if self.attention is None:
            return EncodedSource(None, None, state)
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
        source = EncodedSource(keys, values, state)
        vectors, state, weights = self._step(self.target_embedding(token_ids), source, lengths, None)
        return self.readout.logits(vectors), state, weights

    def decoder_inputs(self, source_ids: Tensor, source_lengths: Tensor, target_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the decoder's layers begin with [rows, state] and read [rows, target time, width].

        Arguments as `forward`.
        """
        source = self.encode(source_ids, source_lengths)
        embedded = self.target_embedding(target_ids)
        if not self.feeds_input:
            return source.state, embedded
        vectors = self._read_in_steps(embedded, source, source_lengths)
        fed = torch.cat([torch.zeros_like(vectors[:, :1]), vectors[:, :-1]], dim=1)  # each from the step before
        return source.state[:, : self.decoder.state_size], torch.cat([embedded, fed], dim=-1)

    def _read_in_steps(self, embedded: Tensor, source: EncodedSource, lengths: Tensor) -> Tensor:
        """Return the attentional vectors [rows, time, embedding] of targets `embedded`, of the same size."""
        noise = self.decoder.draw_noise(torch.cat([embedded, embedded], dim=-1))
        vectors: list[Tensor] = []
        for now in embedded.unbind(dim=1):
            vector, state, _ = self._step(now, source, lengths, noise)
            source = replace(source, state=state)
            vectors.append(vector)
        return torch.stack(vectors, dim=1)

    def _step(
        self, embedded: Tensor, source: EncodedSource, lengths: Tensor, noise: Noise | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return attentional vectors [rows, embedding], the state after, and weights [rows, time] (or None)."""
        state = source.state
        if self.feeds_input:
            state, fed = torch.split(state, [self.decoder.state_size, embedded.shape[1]], dim=1)
            embedded = torch.cat([embedded, fed], dim=1)
        outputs, state = self.decoder.read(embedded[:, None], state, noise)  # [rows, 1, hidden]
        vectors, weights = self._attend(outputs, source.keys, source.values, lengths)
        vector = vectors[:, 0]
        if self.feeds_input:
            state = torch.cat([state, vector], dim=1)
        return vector, state, None if weights is None else weights[:, 0]

    def _attend(
        self, outputs: Tensor, keys: Tensor | None, values: Tensor | None, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return attentional vectors [rows, steps, embedding] and weights [rows, steps, time] (or None)."""
        if self.attention is None or keys is None or values is None:
            return self.readout.project(outputs), None
        contexts, weights = self.attention(outputs, keys, values, lengths)
        return self.readout.project(torch.cat([outputs, contexts], dim=-1)), weights

    def _cross(self, state: Tensor) -> Tensor:
        """Make the decoder's first state of the encoder's last."""
        if self.bridge is not None:
            pairs = state.view(state.shape[0], -1, self.encoder.output_size)  # [rows, vectors, both directions]
            state = self.bridge(pairs).flatten(1)
        if self.feeds_input:
            state = torch.cat([state, state.new_zeros(len(state), self.target_embedding.embedding_dim)], dim=1)
        return state


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
