"""Looks inside a trained model while it reads: every gate of its first layer.   Draws nothing."""

import numpy as np
import numpy.typing as npt
import torch

from training.errors import DataError
from training.models.cells import gru_over_time, lstm_over_time, rnn_over_time, weights_of
from training.prepare import AnyTask
from training.tasks.translation import TranslationTask

FloatArray = npt.NDArray[np.float32]


def trace_gates(task: AnyTask, text: str) -> tuple[dict[str, FloatArray], list[str]]:
    """Run the first layer, forward direction, over a text by the written-out equations.

    Returns:
        By name, gates and states [tokens, units], the memory last; and the tokens.

    Raises:
        DataError: the text has no tokens.
    """
    if isinstance(task, TranslationTask):
        tokenizer, embedding, recurrent = task.source.tokenizer, task.model.source_embedding, task.model.encoder
    else:
        tokenizer, embedding, recurrent = task.text.tokenizer, task.model.embedding, task.model.recurrent
    token_ids = tokenizer.encode(text)
    if not token_ids:
        raise DataError("the text is empty: there is nothing to draw")
    with torch.no_grad():
        inputs = embedding(torch.tensor(token_ids))  # [tokens, embedding]
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
    return {name: signal.numpy() for name, signal in signals.items()}, tokenizer.tokens(token_ids)
