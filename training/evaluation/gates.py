"""Looks inside a trained model while it reads: every gate of its first layer.   Draws nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.bundle.features import scale_rows
from service.bundle.manifest import FeatureInput
from service.errors import InvalidArgumentError
from service.text.tokenizer import Tokenizer
from service.text.words import encode_words, split_words
from training.errors import DataError
from training.models.layers.cells import gru_over_time, lstm_over_time, rnn_over_time, weights_of
from training.models.layers.recurrent import Recurrent
from training.preparation.prepare import AnyTask
from training.tasks.base import Text
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

FloatArray = npt.NDArray[np.float32]


def trace_gates(task: AnyTask, text: str) -> tuple[dict[str, FloatArray], list[str]]:
    """Run the first layer, forward direction, over a text by the written-out equations.

    Args:
        task: whose model.
        text: what it reads. For a labeller of readings, rows apart by `;`, each of `name=number` apart by blanks.

    Returns:
        By name, gates and states [steps, units], the memory last; and the tokens, or the rows by their numbers.

    Raises:
        DataError: the text has no tokens, or is no readings that the model takes.
    """
    if not text.strip():
        raise DataError("the text is empty: there is nothing to draw")
    with torch.no_grad():
        inputs, names, recurrent = _first_layer(task, text)
        return _signals(recurrent, inputs), names


def trace_rows(task: LabellingTask, rows: Sequence[Mapping[str, float]]) -> tuple[dict[str, FloatArray], list[str]]:
    """As `trace_gates`, for rows of readings by name; what is missing is left out of a row.

    Raises:
        DataError: the model reads words, or does not take these readings.
    """
    if isinstance(task.reads, Text):
        raise DataError("the model reads words, not rows of readings")
    with torch.no_grad():
        inputs = task.model.embedding(torch.tensor(_scaled(task.reads, rows)))  # [steps, embedding]
        return _signals(task.model.recurrent, inputs), _numbers(rows)


def _signals(recurrent: Recurrent, inputs: Tensor) -> dict[str, FloatArray]:
    """Gates and states [steps, units] of the first of these layers, forward direction, over inputs [steps, width]."""
    weights = weights_of(recurrent.layer(0))
    match recurrent.cell:
        case "lstm":
            lstm = lstm_over_time(inputs, weights)
            signals = {
                "forget gate": lstm.forget_gate,
                "input gate": lstm.input_gate,
                "output gate": lstm.output_gate,
                "cell state": lstm.cell,
            }
        case "gru":
            gru = gru_over_time(inputs, weights)
            signals = {"reset gate": gru.reset_gate, "update gate": gru.update_gate, "hidden state": gru.hidden}
        case "rnn":
            signals = {"hidden state": rnn_over_time(inputs, weights)}
    return {name: signal.numpy() for name, signal in signals.items()}


def _first_layer(task: AnyTask, text: str) -> tuple[Tensor, list[str], Recurrent]:
    """What the first layer reads, [steps, embedding]; the names of the steps; and the layers."""
    if isinstance(task, TranslationTask):
        token_ids, names = _tokens(task.source.tokenizer, task.source.tokenizer.encode(text))
        return task.model.source_embedding(token_ids), names, task.model.encoder
    if not isinstance(task, LabellingTask):
        token_ids, names = _tokens(task.text.tokenizer, task.text.tokenizer.encode(text))
        return task.model.embedding(token_ids), names, task.model.recurrent
    if isinstance(task.reads, Text):
        tokenizer, settings = task.reads.tokenizer, task.recipe.labelling
        words = split_words(tokenizer, text, settings.split)
        steps, names = _tokens(tokenizer, encode_words(tokenizer, words, settings.label_position).token_ids)
    else:
        rows = _parse_rows(text)
        steps, names = torch.tensor(_scaled(task.reads, rows)), _numbers(rows)
    return task.model.embedding(steps), names, task.model.recurrent


def _tokens(tokenizer: Tokenizer, token_ids: list[int]) -> tuple[Tensor, list[str]]:
    return torch.tensor(token_ids), tokenizer.tokens(token_ids)


def _numbers(rows: Sequence[object]) -> list[str]:
    return [str(number) for number in range(1, len(rows) + 1)]


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
