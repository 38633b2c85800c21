"""A bundle's network in PyTorch again, from the weights that the bundle carries: as written, and as fast as it goes.

`eager` runs the network as it was trained. The others write the decoder with LSTMCell: `cells`, `cells-int8` (torch's
dynamic quantisation, of the encoder too) and `cells-compiled` (torch.compile). All run in inference mode.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from service.bundle.store import WEIGHTS_NAME
from tests.bench.serving.peers.bare_models import AnyBareModel, Array, load
from training.export.weights import read_weights
from training.models.classifier import Classifier
from training.models.language_model import LanguageModel
from training.models.layers.pooling import pool
from training.models.layers.recurrent import Recurrent
from training.models.seq2seq import EncodedSource, Seq2Seq

ENGINES = ("eager", "cells", "cells-int8", "cells-compiled")
Call = Callable[..., tuple[Tensor | None, ...]]


def torch_model(folder: Path, engine: str, threads: int) -> AnyBareModel:
    """The model of a bundle, run by torch.

    Args:
        folder: a bundle with `weights.safetensors`.
        engine: one of `ENGINES`.
        threads: of torch.

    Raises:
        ExportError: the bundle has no weights.
        ValueError: the network is of another kind than this engine takes.
    """
    torch.set_num_threads(threads)
    network = read_weights(folder / WEIGHTS_NAME).network()
    if isinstance(network, Seq2Seq):
        calls = _translation_calls(network, engine)
    elif isinstance(network, Classifier):
        calls = {"classifier": _classifier_call(network, engine)}
    elif isinstance(network, LanguageModel) and engine == "eager":
        calls = {"prefill": network.prefill, "step": network.step}
    else:
        raise TypeError(f"{folder}: {type(network).__name__} is not measured with torch's {engine}")

    def run(role: str, *inputs: Array) -> list[Array]:
        with torch.inference_mode():
            found = calls[role](*map(torch.from_numpy, inputs))
        return [tensor.numpy() for tensor in found if tensor is not None]

    return load(folder, run)


def _translation_calls(network: Seq2Seq, engine: str) -> dict[str, Call]:
    if engine == "eager":
        return {"encoder": lambda *inputs: _unpacked(network.encode(*inputs)), "decoder_step": network.decoder_step}
    decoder: nn.Module = CellDecoder(network)
    encode: Call = lambda *inputs: _unpacked(network.encode(*inputs))  # noqa: E731
    if engine == "cells-int8":
        decoder = quantised(decoder)
        reader = quantised(PackedReader(network.encoder))

        def encode(token_ids: Tensor, lengths: Tensor) -> tuple[Tensor | None, ...]:
            values, state = reader(network.source_embedding(token_ids), lengths)
            keys = None if network.attention is None else network.attention.project(values)
            return keys, None if keys is None else values, network._cross(state)

    elif engine == "cells-compiled":
        decoder = cast("nn.Module", torch.compile(decoder, dynamic=True))
    return {"encoder": encode, "decoder_step": decoder}


def _classifier_call(network: Classifier, engine: str) -> Call:
    if engine == "eager":
        return network
    if engine != "cells-int8":
        raise ValueError(f"a classifier has no steps, so {engine} is not for it")
    reader, output = quantised(PackedReader(network.recurrent)), quantised(nn.Sequential(network.output))

    def classify(token_ids: Tensor, lengths: Tensor, _state: Tensor | None = None) -> tuple[Tensor]:
        outputs, _ = reader(network.embedding(token_ids), lengths)
        last = network.recurrent.last_output(outputs, lengths)
        return (output(pool(network.pooling, outputs, last, lengths)),)

    return classify


def quantised(module: nn.Module) -> nn.Module:
    """A copy whose LSTMs, cells and linear layers have int8 weights and quantise what they read as it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells of another package for this
        from torch.ao.quantization import quantize_dynamic

        kinds = {nn.LSTM, nn.LSTMCell, nn.Linear}
        return cast("nn.Module", quantize_dynamic(module, kinds, dtype=torch.qint8))  # type: ignore[no-untyped-call]


class CellDecoder(nn.Module):
    """A decoder step of LSTMCells.

    Args:
        network: of LSTM layers.
    """

    def __init__(self, network: Seq2Seq) -> None:
        super().__init__()
        if network.decoder.cell != "lstm":
            raise ValueError(f"the decoder is of {network.decoder.cell} layers, expected lstm")
        self.recurrent, self.feeds_input = network.decoder, network.feeds_input
        self.embedding, self.attention = network.target_embedding, network.attention
        self.cells = nn.ModuleList(_cell(network.decoder.layer(index)) for index in range(network.decoder.layers))
        self.projection = network.readout.projection
        self.output = _linear(network.readout.weight, network.readout.bias)

    def forward(
        self,
        token_ids: Tensor,
        state: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `Seq2Seq.decoder_step`, without the attention weights."""
        width, layers = self.recurrent.hidden_size, self.recurrent.layers
        before = torch.split(state[:, : 2 * layers * width], width, dim=1)  # hidden by layer, then cell by layer
        data = self.embedding(token_ids)
        if self.feeds_input:
            data = torch.cat([data, state[:, 2 * layers * width :]], dim=1)
        hidden, cells = [], []
        for layer, cell in enumerate(self.cells):
            new_hidden, new_cell = cell(data, (before[layer], before[layers + layer]))
            hidden.append(new_hidden)
            cells.append(new_cell)
            given = new_hidden + data if self.recurrent.sums(layer) else new_hidden
            norm = self.recurrent.norm(layer)
            data = given if norm is None else norm(given)
        if self.attention is not None:
            contexts, _ = self.attention(data[:, None], keys, values, lengths)
            data = torch.cat([data, contexts[:, 0]], dim=1)
        vector = torch.tanh(self.projection(data))
        after = [*hidden, *cells, vector] if self.feeds_input else [*hidden, *cells]
        return self.output(vector), torch.cat(after, dim=1)


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


def _unpacked(source: EncodedSource) -> tuple[Tensor | None, ...]:
    return source.keys, source.values, source.state


def _cell(layer: nn.RNNBase) -> nn.LSTMCell:
    cell = nn.LSTMCell(layer.input_size, layer.hidden_size)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell.load_state_dict({name: getattr(layer, f"{name}_l0").detach() for name in names})
    return cell.eval()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return linear.eval()
