"""A stack of recurrent layers whose whole memory is one tensor.   Wraps torch's fused RNN, LSTM and GRU."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Cell = Literal["rnn", "lstm", "gru"]

_FUSED: dict[Cell, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """Recurrent layers over right-padded rows.

    `state` is [rows, state_size]: the hidden vectors layer by layer (in each layer the forward direction, then the
    backward), then, for an LSTM, the cell vectors in the same order. Zeros are the start.

    Args:
        cell: which equations.
        input_size: width of an input vector.
        hidden_size: width of a hidden vector, in each direction.
        layers: how many are stacked.
        bidirectional: also read backwards; the outputs of both directions are concatenated.
        dropout: between the layers, in [0, 1).
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.hidden_size = hidden_size
        self.layers = layers
        self.directions = 2 if bidirectional else 1
        self.fused = _FUSED[cell](
            input_size,
            hidden_size,
            num_layers=layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        _initialise(self.fused)

    @property
    def output_size(self) -> int:
        """Width of an output vector: both directions together."""
        return self.hidden_size * self.directions

    @property
    def vector_count(self) -> int:
        """How many vectors of `hidden_size` the state holds."""
        return self.layers * self.directions * (2 if self.cell == "lstm" else 1)

    @property
    def state_size(self) -> int:
        """Width of the state."""
        return self.vector_count * self.hidden_size

    def forward(self, inputs: Tensor, lengths: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read each row up to its length.

        Args:
            inputs: [rows, time, input_size].
            lengths: [rows], int64, at least 1 and at most time.
            state: [rows, state_size], or None for zeros.

        Returns:
            The outputs [rows, time, output_size], zero past a row's length, and the state at each row's length.
        """
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = self.fused(packed, None if state is None else self.unpack(state))
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        return padded, self.pack(last)

    def read(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read every row to its end, padding included: faster than `forward`, for one direction alone.

        What an output past a row's length holds is of no meaning, and so is the state of a row that is padded.
        """
        outputs, last = self.fused(inputs, None if state is None else self.unpack(state))
        return outputs, self.pack(last)

    def last_output(self, state: Tensor) -> Tensor:
        """Return the top layer's hidden vectors of a state, [rows, output_size]."""
        rows = state.shape[0]
        hidden = state.view(rows, self.vector_count, self.hidden_size)[:, : self.layers * self.directions]
        return hidden[:, -self.directions :].reshape(rows, self.output_size)

    def pack(self, last: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Turn what torch returns ([vectors, rows, hidden], for an LSTM two of them) into one state."""
        vectors = torch.cat(last) if isinstance(last, tuple) else last  # [vector_count, rows, hidden]
        return vectors.transpose(0, 1).reshape(vectors.shape[1], self.state_size)

    def unpack(self, state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turn a state into what torch takes; the opposite of `pack`."""
        vectors = state.view(state.shape[0], self.vector_count, self.hidden_size).transpose(0, 1).contiguous()
        if self.cell != "lstm":
            return vectors
        hidden, cell = vectors.chunk(2)
        return hidden, cell


def _initialise(fused: nn.RNNBase) -> None:
    """Xavier for inputs, orthogonal per gate for recurrence, zero biases but a forget bias of 1."""
    for name, parameter in fused.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            for gate in torch.split(parameter.data, fused.hidden_size):
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih") and isinstance(fused, nn.LSTM):
                parameter.data[fused.hidden_size : 2 * fused.hidden_size] = 1.0
