"""Results of the serving layer into output tensors.   Pure; only what was asked for is written."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from service.serving.api import GeneratedChunk, Hypothesis, LogitsResult, ModelInfo, TranslateResult
from service.transport.open_inference.infer.tensors import Array, OutputTensor, element, of_array, of_texts

Writers = Mapping[str, Callable[[], OutputTensor]]
"""By output, what writes it."""


def logits_writers(
    info: ModelInfo, result: LogitsResult, top_label_count: int | None, top_counts: Mapping[str, int]
) -> Writers:
    """The outputs of a classifier or labeller.

    Args:
        info: names the labels, and tells whether every step has its own.
        result: what the graph said.
        top_label_count: labels to rank; None means all.
        top_counts: by output, how many classes it is to be given as.
    """
    numbers = _LabelNumbers(info, result, top_label_count)
    writers: dict[str, Callable[[], OutputTensor]] = {
        "labels": numbers.labels,
        "scores": numbers.scores,
        "logits": lambda: of_array(numbers.logits, "FP32"),
        "probabilities": lambda: of_array(numbers.probabilities, "FP32"),
        "words": numbers.words,
        "lengths": lambda: of_array([[length] for length in numbers.lengths], "INT64"),
    }
    values = {"logits": numbers.logits, "probabilities": numbers.probabilities}
    return writers | {name: partial(as_classes, values[name], count, info.labels) for name, count in top_counts.items()}


class _LabelNumbers:
    """What a graph said of a batch, padded to its longest sequence with zeros and empty texts.

    `logits` and `probabilities` are [batch, labels] of a classifier, and [batch, steps, labels] of a labeller.
    """

    def __init__(self, info: ModelInfo, result: LogitsResult, top_label_count: int | None) -> None:
        self._info = info
        self._sequences = result.sequences
        self._top = top_label_count
        self.lengths = [len(one.logits) for one in result.sequences]
        self.logits = self._stacked([one.logits for one in result.sequences])
        self.probabilities = self._stacked([one.probabilities for one in result.sequences])

    def labels(self) -> OutputTensor:
        """Labels, best first; of equals the one that the model names first."""
        order = self._order()
        encoded = [*map(element, self._info.labels), element("")]
        if self._by_step:
            order[~self._real()] = len(self._info.labels)
        return OutputTensor("BYTES", order.shape, b"".join(encoded[place] for place in order.ravel().tolist()))

    def scores(self) -> OutputTensor:
        """The probabilities of `labels`."""
        return of_array(np.take_along_axis(self.probabilities, self._order(), axis=-1), "FP32")

    def words(self) -> OutputTensor:
        """The word of every step."""
        longest = max(self.lengths)
        padded = [[*one.words, *[""] * (longest - len(one.words))] for one in self._sequences]
        return of_texts((word for row in padded for word in row), (len(padded), longest))

    @property
    def _by_step(self) -> bool:
        return self._info.task == "labelling"

    def _order(self) -> Array:
        return np.argsort(-self.probabilities, axis=-1, kind="stable")[..., : self._top]

    def _real(self) -> Array:
        """[batch, steps]: which are not padding."""
        real: Array = np.arange(max(self.lengths)) < np.array(self.lengths)[:, np.newaxis]
        return real

    def _stacked(self, rows: Sequence[Sequence[Sequence[float]]]) -> Array:
        stacked = np.zeros((len(rows), max(self.lengths), len(self._info.labels)))  # [batch, steps, labels]
        for place, row in enumerate(rows):
            stacked[place, : len(row)] = row
        return stacked if self._by_step else stacked[:, 0]


def as_classes(values: Array, count: int, labels: Sequence[str]) -> OutputTensor:
    """The largest `count` of each row of [batch, labels] as texts, `value:index:label`, largest first."""
    order = np.argsort(-values, axis=-1, kind="stable")[:, :count]
    texts = [f"{values[row, place]:f}:{place}:{labels[place]}" for row, best in enumerate(order) for place in best]
    return of_texts(texts, order.shape)


def translation_writers(result: TranslateResult) -> Writers:
    """The outputs of a translator: a row per text, a column per hypothesis, the best first."""
    width = max(len(found.hypotheses) for found in result.translations)
    shape = (len(result.translations), width)
    rows = [[*found.hypotheses, *[None] * (width - len(found.hypotheses))] for found in result.translations]
    every: list[Hypothesis | None] = [one for row in rows for one in row]

    def numbers(of: Callable[[Hypothesis], float | None], datatype: str, missing: float) -> OutputTensor:
        found = [None if one is None else of(one) for one in every]
        values = np.array([missing if value is None else value for value in found]).reshape(shape)
        return of_array(values, datatype)

    return {
        "translations": lambda: of_texts(("" if one is None else one.text for one in every), shape),
        "scores": lambda: numbers(lambda one: one.score, "FP32", -np.inf),
        "token_counts": lambda: numbers(lambda one: one.token_count, "INT64", 0),
        "finish_reasons": lambda: of_texts(("" if one is None else one.finish_reason.value for one in every), shape),
        "source_token_counts": lambda: of_array([[one.source_token_count] for one in result.translations], "INT64"),
    }


def chunk_writers(chunk: GeneratedChunk) -> Writers:
    """The outputs of a generator, for one chunk."""
    reason = "" if chunk.finish_reason is None else chunk.finish_reason.value
    return {
        "text": lambda: of_texts([chunk.text], (1, 1)),
        "finish_reason": lambda: of_texts([reason], (1, 1)),
        "sample_index": lambda: of_array([[chunk.sample_index]], "INT64"),
        "first_token_index": lambda: of_array([[chunk.first_token_index]], "INT64"),
        "token_count": lambda: of_array([[chunk.token_count]], "INT64"),
    }
