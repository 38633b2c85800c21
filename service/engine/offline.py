"""Whole data sets through the engine, without a service: what evaluation and benchmarks' limits run."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from service.engine.batches import pad, pad_features, pad_ids
from service.engine.classify import logits_by_row
from service.engine.decode import DecodeLoop
from service.engine.requests import DEFAULT_LENGTH_PENALTY, DecodeOptions, DecodeRequest
from service.engine.steps import Classify, FloatArray, IntArray, Label, LanguageSteps, RowModel, Step


def classify_all(
    classify: Classify, sequences: Sequence[Sequence[int]], *, pad_id: int, max_rows: int = 32
) -> FloatArray:
    """Classify every sequence, in batches of similar length.

    Returns:
        [sequences, labels] logits, in the order given.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    logits: dict[int, FloatArray] = {}
    for start in range(0, len(order), max_rows):
        chosen = order[start : start + max_rows]
        token_ids, lengths = pad([_ids(sequences[index]) for index in chosen], pad_id)
        logits.update(zip(chosen, classify(token_ids, lengths), strict=True))
    return np.stack([logits[index] for index in range(len(sequences))])


def label_all(
    label: Label, sequences: Sequence[Sequence[Step]], *, pad_id: int | None, max_rows: int = 32
) -> list[FloatArray]:
    """Label every step of every sequence, in batches of similar length.

    Args:
        label: the labeller.
        sequences: token ids, or rows of scaled features.
        pad_id: fills up token ids; None for features, which zeros fill up.
        max_rows: most sequences that run at once.

    Returns:
        [steps, labels] logits per sequence, in the order given.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    logits: dict[int, FloatArray] = {}
    for start in range(0, len(order), max_rows):
        chosen = order[start : start + max_rows]
        batch = [sequences[index] for index in chosen]
        steps, lengths = pad_features(batch) if pad_id is None else pad_ids(batch, pad_id)
        logits.update(zip(chosen, logits_by_row(label(steps, lengths), lengths), strict=True))
    return [logits[index] for index in range(len(sequences))]


def decode_all(
    model: RowModel,
    sequences: Sequence[Sequence[int]],
    *,
    max_output_token_count: int,
    beam_size: int = 1,
    length_penalty: float = DEFAULT_LENGTH_PENALTY,
    capacity: int = 32,
) -> list[list[int]]:
    """Decode every prompt or source, greedily or by beam search, requests joining as others leave.

    Args:
        model: its steps.
        sequences: token ids, without special tokens.
        max_output_token_count: most tokens to write.
        beam_size: hypotheses kept at every step; 1 is greedy.
        length_penalty: as `DecodeOptions` takes it.
        capacity: rows that step together, at least `beam_size`.

    Returns:
        Ids of the best hypothesis per sequence, in the order given, without the end-of-sequence token.
    """
    options = DecodeOptions(max_output_token_count, beam_size=beam_size, length_penalty=length_penalty)
    loop = DecodeLoop(model, capacity=max(capacity, beam_size))
    outputs: list[list[int]] = [[] for _ in sequences]
    waiting = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    while waiting or loop.count:
        joining = [waiting.pop() for _ in range(min(loop.free // beam_size, len(waiting)))]
        ended = (
            loop.join([DecodeRequest(index, _ids(sequences[index]), options) for index in joining]) if joining else []
        )
        for finished in ended + loop.step():
            outputs[finished.key] = finished.hypotheses[0].token_ids if finished.hypotheses else []
    return outputs


def token_log_likelihoods(
    model: LanguageSteps, sequences: Sequence[Sequence[int]], *, max_rows: int = 64
) -> list[npt.NDArray[np.float64]]:
    """Compute ln p(token | tokens before) of each token of each sequence, and of its end.

    Returns:
        Per sequence, in the order given, [tokens + 1] in nats, each <= 0.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    found: dict[int, npt.NDArray[np.float64]] = {}
    for start in range(0, len(order), max_rows):
        chosen = order[start : start + max_rows]
        inputs, lengths = pad([_ids([model.bos_id, *sequences[index]]) for index in chosen], model.eos_id)
        targets, _ = pad([_ids([*sequences[index], model.eos_id]) for index in chosen], model.eos_id)
        rows = _batch_log_likelihoods(model, inputs, targets)
        found.update((index, row[:length]) for index, row, length in zip(chosen, rows, lengths, strict=True))
    return [found[index] for index in range(len(sequences))]


def stream_log_likelihoods(model: LanguageSteps, sequences: Iterable[Sequence[int]]) -> list[npt.NDArray[np.float64]]:
    """Compute ln p(token | all before it) over sequences that follow one another: the state is carried on.

    The beginning-of-sequence token is read before each sequence and is no news. One token is read at a time, so that
    sequences may be of any length.

    Returns:
        As `token_log_likelihoods`.
    """
    state = np.zeros((1, model.state_size), dtype=np.float32)
    found = []
    for sequence in sequences:
        inputs, targets = _ids([model.bos_id, *sequence]), _ids([*sequence, model.eos_id])
        row = np.empty(len(targets), dtype=np.float64)
        for time in range(len(inputs)):
            logits, state = model.step(inputs[time : time + 1], state)
            row[time] = _log_probabilities(logits, targets[time : time + 1])[0]
        _, state = model.step(targets[-1:], state)  # the end is read, too, before the next begins
        found.append(row)
    return found


def _log_probabilities(logits: FloatArray, token_ids: IntArray) -> npt.NDArray[np.float64]:
    """Log p of one token per row: `logits` [rows, vocabulary], `token_ids` [rows]."""
    scores = logits.astype(np.float64)
    top = scores.max(axis=-1, keepdims=True)
    normaliser: npt.NDArray[np.float64] = top[:, 0] + np.log(np.exp(scores - top).sum(axis=-1))
    chosen: npt.NDArray[np.float64] = scores[np.arange(len(scores)), token_ids] - normaliser
    return chosen


def _batch_log_likelihoods(model: LanguageSteps, inputs: IntArray, targets: IntArray) -> npt.NDArray[np.float64]:
    """Return ln p of `targets` after `inputs`, all [rows, time]; what stands on padding is of no meaning."""
    state = np.zeros((len(inputs), model.state_size), dtype=np.float32)
    steps = []
    for time in range(inputs.shape[1]):
        logits, state = model.step(inputs[:, time].copy(), state)
        steps.append(_log_probabilities(logits, targets[:, time]))
    return np.stack(steps, axis=1)


def _ids(sequence: Sequence[int]) -> IntArray:
    return np.array(sequence, dtype=np.int64)
