"""Looks inside a trained model while it reads: every gate of every layer and direction.   Draws nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.bundle.features import scale_rows
from service.bundle.manifest import FeatureInput
from service.errors import InvalidArgumentError
from service.text.tokenizer import Tokenizer
from service.text.words import encode_words, split_words
from training.data.encoding.tokenization import BOS_ID, EOS_ID
from training.errors import DataError
from training.models.layers.cells import gru_over_time, lstm_over_time, rnn_over_time, weights_of
from training.models.layers.recurrent import Recurrent
from training.models.seq2seq import translate_greedily
from training.preparation.prepare import AnyTask
from training.tasks.base import Text
from training.tasks.classification import ClassificationTask
from training.tasks.generation import GenerationTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

FloatArray = npt.NDArray[np.float32]
_READING = ("forwards", "backwards")


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed in one direction while it read an example.

    Attributes:
        title: which layer, such as `encoder, layer 2, backwards`.
        steps: what was read, in the example's order, also where a layer read it from the end.
        signals: by name, gates and states [steps, units], the memory last.
        start: [units], the memory before the first step that was read.
        backwards: whether it read from the end.
    """

    title: str
    steps: Sequence[str]
    signals: Mapping[str, FloatArray]
    start: FloatArray
    backwards: bool = False


def trace_gates(task: AnyTask, text: str, *, limit: int) -> list[LayerTrace]:
    """Run every layer and direction over a text by the written-out equations; a translator also over what it writes.

    Args:
        task: whose model, in evaluation mode.
        text: what it reads. For a labeller of readings, rows apart by `;`, each of `name=number` apart by blanks.
        limit: at most so many steps are read, and at most so many written.

    Returns:
        From the first layer to the last, forwards before backwards; the encoder before the decoder.

    Raises:
        DataError: the text has no tokens, or is no readings that the model takes.
    """
    if not text.strip():
        raise DataError("the text is empty: there is nothing to draw")
    if isinstance(task, TranslationTask):
        return _trace_translation(task, text, limit)
    if isinstance(task, LabellingTask) and not isinstance(task.reads, Text):
        return trace_rows(task, _parse_rows(text)[:limit])
    tokenizer, token_ids = _tokens_of(task, text)
    read = token_ids[:limit]
    with torch.no_grad():
        inputs = task.model.embedding(torch.tensor(read))  # [steps, embedding]
        return _trace_layers(task.model.recurrent, inputs, tokenizer.tokens(read))


def trace_rows(task: LabellingTask, rows: Sequence[Mapping[str, float]]) -> list[LayerTrace]:
    """As `trace_gates`, for rows of readings by name; what is missing is left out of a row.

    Raises:
        DataError: the model reads words, or does not take these readings.
    """
    if isinstance(task.reads, Text):
        raise DataError("the model reads words, not rows of readings")
    with torch.no_grad():
        inputs = task.model.embedding(torch.tensor(_scaled(task.reads, rows)))  # [steps, embedding]
        return _trace_layers(task.model.recurrent, inputs, [str(number) for number in range(1, len(rows) + 1)])


def _tokens_of(task: ClassificationTask | GenerationTask | LabellingTask, text: str) -> tuple[Tokenizer, list[int]]:
    """What a model of one text reads, as the service gives it."""
    if isinstance(task, LabellingTask):
        tokenizer, settings = cast("Text", task.reads).tokenizer, task.recipe.labelling
        words = split_words(tokenizer, text, settings.split)
        return tokenizer, encode_words(tokenizer, words, settings.label_position).token_ids
    tokenizer = task.text.tokenizer
    return tokenizer, [BOS_ID] * isinstance(task, GenerationTask) + tokenizer.encode(text)


@torch.no_grad()
def _trace_translation(task: TranslationTask, text: str, limit: int) -> list[LayerTrace]:
    """The encoder over a source and its end, then the decoder over what it had written before each token."""
    model, target = task.model, task.target.tokenizer
    read = [*task.source.tokenizer.encode(text)[: limit - 1], EOS_ID]
    row, length = torch.tensor([read]), torch.tensor([len(read)])
    (written,) = translate_greedily(model, row, length, bos_id=BOS_ID, eos_id=EOS_ID, max_output_token_count=limit)
    before = [BOS_ID, *written][:limit]
    state, inputs = model.decoder_inputs(row, length, torch.tensor([before]))
    sources = model.source_embedding(row[0])  # [steps, embedding]
    return [
        *_trace_layers(model.encoder, sources, task.source.tokenizer.tokens(read), "encoder, "),
        *_trace_layers(model.decoder, inputs[0], target.tokens(before), "decoder, ", state),
    ]


def _trace_layers(
    recurrent: Recurrent, inputs: Tensor, steps: Sequence[str], part: str = "", state: Tensor | None = None
) -> list[LayerTrace]:
    """Trace a stack over inputs [steps, width], from a state [1, state_size] or from zeros."""
    first = inputs.new_zeros(1, recurrent.state_size) if state is None else state
    before = recurrent.split(first)[..., 0, :]  # [hidden and cell, layers, directions, units]
    traces: list[LayerTrace] = []
    for layer in range(recurrent.layers):
        outputs: list[Tensor] = []
        for direction in range(recurrent.directions):
            backwards, start = direction == 1, before[:, layer, direction]  # [hidden and cell, units]
            hidden, signals = _run_layer(recurrent, layer, inputs, start, backwards=backwards)
            reading = f", {_READING[direction]}" if recurrent.directions == 2 else ""
            title = f"{part}layer {layer + 1}{reading}"
            traces.append(LayerTrace(title, steps, signals, start[-1].numpy(), backwards))
            outputs.append(hidden)
        inputs = recurrent.joined(layer, inputs, torch.cat(outputs, dim=1))
    return traces


def _run_layer(
    recurrent: Recurrent, layer: int, inputs: Tensor, start: Tensor, *, backwards: bool
) -> tuple[Tensor, dict[str, FloatArray]]:
    """Run a layer over inputs [steps, width]; returns its hidden states, and gates and states [steps, units]."""
    weights = weights_of(recurrent.layer(layer), backward=backwards)
    read = inputs.flip(0) if backwards else inputs
    signals: dict[str, Tensor]
    match recurrent.cell:
        case "lstm":
            lstm = lstm_over_time(read, weights, *start)
            signals = {
                "forget gate": lstm.forget_gate,
                "input gate": lstm.input_gate,
                "output gate": lstm.output_gate,
                "cell state": lstm.cell,
            }
            hidden = lstm.hidden
        case "gru":
            gru = gru_over_time(read, weights, *start)
            signals = {"reset gate": gru.reset_gate, "update gate": gru.update_gate, "hidden state": gru.hidden}
            hidden = gru.hidden
        case "rnn":
            hidden = rnn_over_time(read, weights, *start)
            signals = {"hidden state": hidden}
    order = [0] if backwards else []  # back into the example's order
    return hidden.flip(order), {name: signal.flip(order).numpy() for name, signal in signals.items()}


def _scaled(reads: FeatureInput, rows: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """Scale rows as the service does."""
    try:
        return scale_rows(reads.features, rows)
    except InvalidArgumentError as error:
        raise DataError(error.message) from error


def _parse_rows(text: str) -> list[dict[str, float]]:
    """Read `temperature=11.5 wind=4; temperature=9`."""
    try:
        return [
            {name: float(value) for name, _, value in (reading.partition("=") for reading in row.split())}
            for row in text.split(";")
        ]
    except ValueError as error:
        raise DataError(f"{text!r}: expected rows apart by `;`, each of `name=number` apart by blanks") from error
