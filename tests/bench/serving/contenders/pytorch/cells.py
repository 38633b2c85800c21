"""A bundle's network as fast as PyTorch steps it: layers as LSTMCells, packed rows, int8 weights.   Loads nothing."""

import warnings
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from training.models.language_model import LanguageModel
from training.models.layers.recurrent import Recurrent
from training.models.layers.vocabulary import Readout
from training.models.seq2seq import Seq2Seq


class CellStack(nn.Module):
    """One step of a stack of LSTM layers in one direction.

    Args:
        recurrent: the layers.
    """

    def __init__(self, recurrent: Recurrent) -> None:
        super().__init__()
        if recurrent.cell != "lstm" or recurrent.directions != 1:
            raise ValueError(f"the steps are of {recurrent.cell} layers, expected lstm layers of one direction")
        self.recurrent = recurrent
        self.cells = nn.ModuleList(_cell(recurrent.layer(index)) for index in range(recurrent.layers))

    def forward(self, data: Tensor, state: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs [rows, hidden] of `data` [rows, features], and hidden by layer, then cell by layer, of the state.

        `state` [rows, any width] begins with what came before, in that order.
        """
        width, layers = self.recurrent.hidden_size, self.recurrent.layers
        before = torch.split(state[:, : 2 * layers * width], width, dim=1)
        hidden, cells = [], []
        for layer, cell in enumerate(self.cells):
            new_hidden, new_cell = cell(data, (before[layer], before[layers + layer]))
            hidden.append(new_hidden)
            cells.append(new_cell)
            given = new_hidden + data if self.recurrent.sums(layer) else new_hidden
            norm = self.recurrent.norm(layer)
            data = given if norm is None else norm(given)
        return data, [*hidden, *cells]


class LinearReadout(nn.Module):
    """A readout whose last layer is a linear one, too, as quantisation looks for."""

    def __init__(self, readout: Readout) -> None:
        super().__init__()
        self.projection, self.output = readout.projection, _linear(readout.weight, readout.bias)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [rows, vocabulary] of `data` [rows, features], and the vectors [rows, embedding] they are made of."""
        vector = torch.tanh(self.projection(data))
        return self.output(vector), vector


class CellDecoder(nn.Module):
    """A translator's decoder step of LSTMCells.

    Args:
        network: of LSTM layers.
    """

    def __init__(self, network: Seq2Seq) -> None:
        super().__init__()
        self.stack, self.feeds_input = CellStack(network.decoder), network.feeds_input
        self.embedding, self.attention = network.target_embedding, network.attention
        self.readout = LinearReadout(network.readout)
        self.width = 2 * network.decoder.layers * network.decoder.hidden_size

    def forward(
        self,
        token_ids: Tensor,
        state: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `Seq2Seq.decoder_step`, without the attention weights."""
        data = self.embedding(token_ids)
        if self.feeds_input:
            data = torch.cat([data, state[:, self.width :]], dim=1)
        data, after = self.stack(data, state)
        if self.attention is not None:
            contexts, _ = self.attention(data[:, None], keys, values, lengths)
            data = torch.cat([data, contexts[:, 0]], dim=1)
        logits, vector = self.readout(data)
        return logits, torch.cat([*after, vector] if self.feeds_input else after, dim=1)


class CellStep(nn.Module):
    """A language model's step of LSTMCells.

    Args:
        network: of LSTM layers.
    """

    def __init__(self, network: LanguageModel) -> None:
        super().__init__()
        self.stack, self.embedding = CellStack(network.recurrent), network.embedding
        self.readout = LinearReadout(network.readout)

    def forward(self, token_ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As `LanguageModel.step`."""
        data, after = self.stack(self.embedding(token_ids), state)
        return self.readout(data)[0], torch.cat(after, dim=1)


class PackedPrefill(nn.Module):
    """Reads a language model's prompts as packed sequences, from the beginning.

    Args:
        network: of LSTM layers.
    """

    def __init__(self, network: LanguageModel) -> None:
        super().__init__()
        self.embedding, self.recurrent = network.embedding, network.recurrent
        self.reader, self.readout = PackedReader(network.recurrent), LinearReadout(network.readout)

    def forward(self, token_ids: Tensor, lengths: Tensor, _state: Tensor) -> tuple[Tensor, Tensor]:
        """As `LanguageModel.prefill`; the state that is given is zeros."""
        outputs, state = self.reader(self.embedding(token_ids), lengths)
        return self.readout(self.recurrent.last_output(outputs, lengths))[0], state


class PackedReader(nn.Module):
    """Reads padded rows as packed sequences, as quantised LSTMs take them.

    Args:
        recurrent: LSTM layers with nothing in between.
    """

    def __init__(self, recurrent: Recurrent) -> None:
        super().__init__()
        if recurrent.cell != "lstm" or recurrent.residual or len(recurrent.norms):
            raise ValueError("expected lstm layers with nothing in between")
        self.layers, self.recurrent = nn.ModuleList(recurrent.fused), recurrent

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [rows, time, features] of `inputs`, zero past a row's length, and the state there."""
        data: PackedSequence = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        hidden, cells = [], []
        for layer in self.layers:
            data, (last_hidden, last_cell) = layer(data)
            hidden.append(last_hidden)
            cells.append(last_cell)
        outputs, _ = pad_packed_sequence(data, batch_first=True, total_length=inputs.shape[1])
        return outputs, self.recurrent.pack(torch.cat([*hidden, *cells]))


def quantised(module: nn.Module) -> nn.Module:
    """A copy whose LSTMs, cells and linear layers have int8 weights and quantise what they read as it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells of another package for this
        from torch.ao.quantization import quantize_dynamic

        kinds = {nn.LSTM, nn.LSTMCell, nn.Linear}
        return cast("nn.Module", quantize_dynamic(module, kinds, dtype=torch.qint8))  # type: ignore[no-untyped-call]


def _cell(layer: nn.RNNBase) -> nn.LSTMCell:
    cell = nn.LSTMCell(layer.input_size, layer.hidden_size)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell.load_state_dict({name: getattr(layer, f"{name}_l0").detach() for name in names})
    return cell.eval()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return linear.eval()
