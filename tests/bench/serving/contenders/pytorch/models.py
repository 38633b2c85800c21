"""A bundle's network in PyTorch again, from the weights that the bundle carries: as written, and as fast as it goes.

`eager` runs the network as it was trained. What steps is written with LSTMCell in the others: `cells`, `cells-int8`
(torch's dynamic quantisation, of what reads sources and prompts too) and `cells-compiled` (torch.compile). A classifier
has no steps: it is `int8` or `compiled` as a whole. All run in inference mode.
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from service.bundle.store import WEIGHTS_NAME
from tests.bench.serving.contenders.pytorch.cells import CellDecoder, CellStep, PackedPrefill, PackedReader, quantised
from tests.bench.serving.peers.bare_models import AnyBareModel, Array, load
from training.export.weights import read_weights
from training.models.classifier import Classifier
from training.models.language_model import LanguageModel
from training.models.layers.pooling import pool
from training.models.seq2seq import EncodedSource, Seq2Seq

ENGINES = ("eager", "cells", "cells-int8", "cells-compiled")
WHOLE_ENGINES = ("eager", "int8", "compiled")
"""Of a network without steps."""
Call = Callable[..., tuple[Tensor | None, ...]]


def torch_model(folder: Path, engine: str, threads: int, token_count: int | None = None) -> AnyBareModel:
    """The model of a bundle, run by torch.

    Args:
        folder: a bundle with `weights.safetensors`.
        engine: one of `ENGINES`, of a classifier of `WHOLE_ENGINES`.
        threads: of torch.
        token_count: most tokens of a generation; None: as many as the model may.

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
    elif isinstance(network, LanguageModel):
        calls = _generation_calls(network, engine)
    else:
        raise TypeError(f"{folder}: {type(network).__name__} is not measured with torch's {engine}")

    def run(role: str, *inputs: Array) -> list[Array]:
        with torch.inference_mode():
            found = calls[role](*map(torch.from_numpy, inputs))
        return [tensor.numpy() for tensor in found if tensor is not None]

    return load(folder, run, token_count)


def _translation_calls(network: Seq2Seq, engine: str) -> dict[str, Call]:
    encode: Call = lambda *inputs: _unpacked(network.encode(*inputs))  # noqa: E731
    if engine == "eager":
        return {"encoder": encode, "decoder_step": network.decoder_step}
    if engine == "cells-int8":
        reader = quantised(PackedReader(network.encoder))

        def encode(token_ids: Tensor, lengths: Tensor) -> tuple[Tensor | None, ...]:
            values, state = reader(network.source_embedding(token_ids), lengths)
            keys = None if network.attention is None else network.attention.project(values)
            return keys, None if keys is None else values, network._cross(state)

    return {"encoder": encode, "decoder_step": _stepping(CellDecoder(network), engine)}


def _generation_calls(network: LanguageModel, engine: str) -> dict[str, Call]:
    if engine == "eager":
        return {"prefill": network.prefill, "step": network.step}
    prefill = quantised(PackedPrefill(network)) if engine == "cells-int8" else network.prefill
    return {"prefill": prefill, "step": _stepping(CellStep(network), engine)}


def _stepping(step: nn.Module, engine: str) -> Call:
    """A step of cells in the way that an engine runs it."""
    if engine == "cells-int8":
        return quantised(step)
    return cast("Call", torch.compile(step, dynamic=True)) if engine == "cells-compiled" else step


def _classifier_call(network: Classifier, engine: str) -> Call:
    if engine == "eager":
        return network
    if engine == "compiled":
        return cast("Call", torch.compile(network, dynamic=True))
    if engine != "int8":
        raise ValueError(f"a classifier has no steps, so {engine} is not for it")
    reader, output = quantised(PackedReader(network.recurrent)), quantised(nn.Sequential(network.output))

    def classify(token_ids: Tensor, lengths: Tensor, _state: Tensor | None = None) -> tuple[Tensor]:
        outputs, _ = reader(network.embedding(token_ids), lengths)
        last = network.recurrent.last_output(outputs, lengths)
        return (output(pool(network.pooling, outputs, last, lengths)),)

    return classify


def _unpacked(source: EncodedSource) -> tuple[Tensor | None, ...]:
    return source.keys, source.values, source.state
