"""A stack of recurrent layers whose whole memory is one tensor.   Runs torch's fused kernels, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from training.models.layers.dropout import DropoutRates, locked_mask
from training.settings.model import ModelSettings

Cell = Literal["rnn", "lstm", "gru"]

_LAYERS: dict[Cell, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
_KERNELS: dict[Cell, Callable[..., tuple[Tensor, ...]]] = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}

_SHUT = 1000.0
"""Shuts or opens a gate, whatever else it is told."""

_NO_DROPOUT = DropoutRates()


@dataclass(frozen=True)
class Noise:
    """What is dropped while a batch is read: drawn once, the same at every time.

    Attributes:
        weights: per layer, what the kernels take: matrices and biases, for each direction.
        masks: [rows, 1, features] each: of what each layer reads, then of what the last gives; None drops nothing.
    """

    weights: list[list[Tensor]]
    masks: list[Tensor | None]

    def packed(self, batch_sizes: Tensor) -> "Noise":
        """Return the same for packed positions, where `batch_sizes` [time] counts the rows that reach each time."""
        rows = torch.cat([torch.arange(count) for count in batch_sizes.tolist()])  # [positions]
        return Noise(self.weights, [None if mask is None else mask[rows, 0] for mask in self.masks])


class Recurrent(nn.Module):
    """Recurrent layers over right-padded rows.

        read = data * mask          data = norm(f(read) + data)

    for each layer f in turn; the sum only with `residual` and where the widths match, the norm only with `layer_norm`.
    Both stand between the layers and not in the cells, so that each layer is one fused kernel.

    `state` is [rows, state_size]: the hidden vectors layer by layer (in each layer the forward direction, then the
    backward), then, for an LSTM, the cell vectors in the same order. Zeros are the start.

    Args:
        cell: which equations.
        input_size: width of an input vector.
        hidden_size: width of a hidden vector, in each direction.
        layers: how many are stacked.
        bidirectional: also read backwards; the outputs of both directions are concatenated.
        residual: add what a layer reads to what it gives.
        layer_norm: normalise what each layer gives.
        dropout: what is dropped while training.

    Source: Wu et al. 2016, arXiv:1609.08144 (residual); Ba et al. 2016, arXiv:1607.06450 (the norm); Gal & Ghahramani
    2016, arXiv:1512.05287 (one mask for all times); Merity et al. 2017, arXiv:1708.02182 (dropped weights).
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        dropout: DropoutRates = _NO_DROPOUT,
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.layers = layers
        self.directions = 2 if bidirectional else 1
        self.residual = residual
        self.dropout = dropout
        widths = [input_size, *[self.output_size] * (layers - 1)]
        self.fused = nn.ModuleList(_LAYERS[cell](width, hidden_size, bidirectional=bidirectional) for width in widths)
        self.norms = nn.ModuleList(nn.LayerNorm(self.output_size) for _ in range(layers if layer_norm else 0))
        for index in range(layers):
            _initialise(self.layer(index))

    @classmethod
    def of(
        cls,
        settings: ModelSettings,
        *,
        input_size: int | None = None,
        hidden_size: int | None = None,
        both: bool = False,
    ) -> Self:
        """Build the stack that a recipe asks for.

        Args:
            settings: cell, layers, what stands between them, and the rates of dropout.
            input_size: in place of the embedding's width.
            hidden_size: in place of the recipe's.
            both: read in both directions.
        """
        return cls(
            settings.cell,
            input_size or settings.embedding_size,
            hidden_size or settings.hidden_size,
            layers=settings.layers,
            bidirectional=both,
            residual=settings.residual,
            layer_norm=settings.layer_norm,
            dropout=DropoutRates(
                settings.input_dropout, settings.hidden_dropout, settings.output_dropout, settings.weight_drop
            ),
        )

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

    def layer(self, index: int) -> nn.RNNBase:
        """Return the weights of a layer, in both directions if it has two."""
        return cast("nn.RNNBase", self.fused[index])

    def norm(self, layer: int) -> nn.LayerNorm | None:
        """Return what normalises the outputs of a layer, if anything does."""
        return cast("nn.LayerNorm", self.norms[layer]) if self.norms else None

    def sums(self, layer: int) -> bool:
        """Return whether what a layer reads is added to what it gives."""
        return self.residual and (layer > 0 or self.input_size == self.output_size)

    def joined(self, layer: int, data: Tensor, outputs: Tensor) -> Tensor:
        """Return what the next layer reads, where this one read `data` and gave `outputs`: their sum, normalised."""
        if self.sums(layer):
            outputs = outputs + data
        norm = self.norm(layer)
        return outputs if norm is None else cast("Tensor", norm(outputs))

    def forward(self, inputs: Tensor, lengths: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read each row up to its length.

        Args:
            inputs: [rows, time, input_size].
            lengths: [rows], int64, at least 1 and at most time.
            state: [rows, state_size], or None for zeros.

        Returns:
            The outputs [rows, time, output_size], zero past a row's length, and the state at each row's length.
        """
        if self.cell == "lstm" and inputs.device.type == "cpu" and (state is None or self.directions == 1):
            return self._read_padded(inputs, lengths, state)
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        first = self._start(inputs) if state is None else state
        noise = self.draw_noise(inputs).packed(packed.batch_sizes)
        data, last = self._run(packed.data, first[packed.sorted_indices], noise, packed.batch_sizes)
        outputs = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        return padded, last[packed.unsorted_indices]

    def read(self, inputs: Tensor, state: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        """Read every row to its end, padding included: faster than `forward`, for one direction alone.

        What an output past a row's length holds is of no meaning, and so is the state of a row that is padded.

        Args:
            inputs: [rows, time, input_size].
            state: [rows, state_size], or None for zeros.
            noise: where a batch is read in parts, what `draw_noise` gave for all of them.
        """
        first = self._start(inputs) if state is None else state
        return self._run(inputs, first, noise or self.draw_noise(inputs))

    def draw_noise(self, inputs: Tensor) -> Noise:
        """Draw what is dropped while `inputs` [rows, time, input_size] are read; outside training, nothing."""
        rates = self.dropout if self.training else _NO_DROPOUT
        places = [
            (self.input_size, rates.inputs),
            *[(self.output_size, rates.hidden)] * (self.layers - 1),
            (self.output_size, rates.outputs),
        ]
        masks = [locked_mask(inputs, len(inputs), features, rate) for features, rate in places]
        return Noise([_dropped_weights(self.layer(index), rates.weights) for index in range(self.layers)], masks)

    def last_output(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Return what each direction gave last [rows, output_size]: at the row's end, and, backwards, at its begin."""
        ends = outputs[torch.arange(len(lengths), device=outputs.device), lengths - 1]  # [rows, output_size]
        if self.directions == 1:
            return ends
        return torch.cat([ends[:, : self.hidden_size], outputs[:, 0, self.hidden_size :]], dim=1)

    def pack(self, vectors: Tensor) -> Tensor:
        """Turn vectors [vector_count, rows, hidden_size] into one state."""
        return vectors.transpose(0, 1).reshape(vectors.shape[1], self.state_size)

    def unpack(self, state: Tensor) -> Tensor:
        """Turn a state into vectors; the opposite of `pack`."""
        return state.view(state.shape[0], self.vector_count, self.hidden_size).transpose(0, 1).contiguous()

    def split(self, state: Tensor) -> Tensor:
        """Return the vectors of a state apart: [hidden and cell, layers, directions, rows, hidden_size]."""
        kinds = 2 if self.cell == "lstm" else 1
        return self.unpack(state).view(kinds, self.layers, self.directions, len(state), self.hidden_size)

    def _start(self, inputs: Tensor) -> Tensor:
        return inputs.new_zeros(len(inputs), self.state_size)

    def _read_padded(self, inputs: Tensor, lengths: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `forward`, for LSTMs: a fused kernel knows no lengths, but packed positions have no fused kernel on a CPU.

        At padding one more feature, of which only gates know, shuts the input gate and opens the forget gate, so that
        the cell vector stays as it is, to the bit.
        """
        padding = torch.arange(inputs.shape[1]) >= lengths[:, None]  # [rows, time]
        if not padding.any():
            return self.read(inputs, state)
        before = self.split(self._start(inputs) if state is None else state)
        noise = self.draw_noise(inputs)
        data, hidden, cells = inputs.masked_fill(padding[..., None], 0.0), [], []
        for layer, weights in enumerate(noise.weights):
            flagged = torch.cat([_masked(data, noise.masks[layer]), padding[..., None].to(data.dtype)], dim=-1)
            outputs, _, cell = self._kernel(flagged, before[:, layer], _padding_aware(weights), None)
            hidden.append(self._by_direction(self.last_output(outputs, lengths)))
            cells.append(cell)
            data = self.joined(layer, data, outputs).masked_fill(padding[..., None], 0.0)
        vectors = torch.cat([*hidden, *cells])  # [vector_count, rows, hidden_size]
        return _masked(data, noise.masks[-1]), self.pack(vectors)

    def _run(
        self, data: Tensor, state: Tensor, noise: Noise, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run all layers over [rows, time, features] or, with `batch_sizes`, over packed positions [all, features]."""
        before = self.split(state)
        after: list[Tensor] = []
        for layer, weights in enumerate(noise.weights):
            outputs, *last = self._kernel(_masked(data, noise.masks[layer]), before[:, layer], weights, batch_sizes)
            data = self.joined(layer, data, outputs)
            after.append(torch.stack(last))  # [hidden and cell, directions, rows, hidden_size]
        vectors = torch.stack(after, dim=1).flatten(0, 2)  # [vector_count, rows, hidden_size]
        return _masked(data, noise.masks[-1]), self.pack(vectors)

    def _by_direction(self, vectors: Tensor) -> Tensor:
        """[directions, rows, hidden_size] of vectors [rows, output_size]."""
        return vectors.view(len(vectors), self.directions, self.hidden_size).transpose(0, 1)

    def _kernel(
        self, data: Tensor, before: Tensor, weights: list[Tensor], batch_sizes: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Run one layer; returns its outputs and its last vectors: hidden and, for an LSTM, cell."""
        first = tuple(before) if self.cell == "lstm" else before[0]
        options = (True, 1, 0.0, self.training, self.directions == 2)  # biases, one layer, no dropout between layers
        if batch_sizes is None:
            return _KERNELS[self.cell](data, first, weights, *options, True)  # rows before time
        return _KERNELS[self.cell](data, batch_sizes, first, weights, *options)


def _masked(data: Tensor, mask: Tensor | None) -> Tensor:
    return data if mask is None else data * mask


def _dropped_weights(layer: nn.RNNBase, rate: float) -> list[Tensor]:
    """What the kernels take: for each direction input matrix, recurrent matrix (some of it dropped), both biases."""
    weights: list[Tensor] = []
    for by_input, recurrent, *biases in layer.all_weights:
        weights += [by_input, functional.dropout(recurrent, rate) if rate > 0 else recurrent, *biases]
    return weights


def _padding_aware(weights: list[Tensor]) -> list[Tensor]:
    """Weights of an LSTM layer that reads one more feature: 1 at padding, where the state has to stay."""
    by_input = weights[0]
    column = by_input.new_zeros(len(by_input) // 4, 1)
    # gates input, forget, cell, output; the sigmoid of 1,000 is 1 and that of -1,000 is 0 in every type
    flag = torch.cat([column - _SHUT, column + _SHUT, column, column])
    return [torch.cat([one, flag], dim=1) if index % 4 == 0 else one for index, one in enumerate(weights)]


def _initialise(layer: nn.RNNBase) -> None:
    """Xavier for inputs, orthogonal per gate for recurrence, zero biases but a forget bias of 1."""
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            for gate in torch.split(parameter.data, layer.hidden_size):
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih") and isinstance(layer, nn.LSTM):
                parameter.data[layer.hidden_size : 2 * layer.hidden_size] = 1.0
