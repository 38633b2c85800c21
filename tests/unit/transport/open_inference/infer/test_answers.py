"""Results as tensors: order, padding, shapes, and classes as texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from service.serving.api import (
    FinishReason,
    GeneratedChunk,
    Hypothesis,
    LogitsResult,
    ModelInfo,
    Timings,
    TranslateResult,
    Translation,
)
from service.serving.sequences import SequenceLogits
from service.transport.open_inference.infer.answers import (
    Writers,
    as_classes,
    chunk_writers,
    logits_writers,
    translation_writers,
)
from service.transport.open_inference.infer.tensors import to_response
from tests.infer_messages import tensors

TIMINGS = Timings(0.0, 0.0, 0.0)
CLASSIFIER = ModelInfo("m", 1, "active", task="classification", labels=("bad", "good", "odd"))
TAGGER = ModelInfo("m", 1, "active", task="labelling", labels=("O", "B-PER"))


def written(writers: Writers) -> dict[str, Any]:
    return tensors(to_response("", "m", 1, {name: write() for name, write in writers.items()}))


def sequence(*shares: Sequence[float], words: tuple[str, ...] = ()) -> SequenceLogits:
    """A sequence whose logits are ten times its probabilities."""
    return SequenceLogits([[10 * share for share in row] for row in shares], list(shares), words)


def logits(info: ModelInfo, *sequences: SequenceLogits, top: int | None = None) -> dict[str, Any]:
    return written(logits_writers(info, LogitsResult("m", 1, sequences, TIMINGS), top, {}))


def test_labels_come_best_first_and_numbers_in_the_models_order() -> None:
    found = logits(CLASSIFIER, sequence([0.2, 0.5, 0.3]), sequence([0.4, 0.2, 0.4]))
    assert found["labels"].tolist() == [["good", "odd", "bad"], ["bad", "odd", "good"]]
    np.testing.assert_array_equal(found["scores"], np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]], dtype=np.float32))
    np.testing.assert_array_equal(
        found["probabilities"], np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], dtype=np.float32)
    )
    np.testing.assert_array_equal(found["logits"], np.array([[2, 5, 3], [4, 2, 4]], dtype=np.float32))


def test_as_many_labels_come_as_were_asked_for() -> None:
    found = logits(CLASSIFIER, sequence([0.2, 0.5, 0.3]), top=2)
    assert (found["labels"].tolist(), found["scores"].shape) == ([["good", "odd"]], (1, 2))
    assert logits(CLASSIFIER, sequence([0.2, 0.5, 0.3]), top=9)["labels"].shape == (1, 3)


def test_every_step_has_its_labels_and_padding_has_none() -> None:
    long = sequence([0.1, 0.9], [0.75, 0.25], words=("Mary", "lives"))
    short = sequence([0.5, 0.5], words=("It",))
    found = logits(TAGGER, long, short)
    assert found["labels"].tolist() == [[["B-PER", "O"], ["O", "B-PER"]], [["O", "B-PER"], ["", ""]]]
    np.testing.assert_array_equal(
        found["scores"], np.array([[[0.9, 0.1], [0.75, 0.25]], [[0.5, 0.5], [0, 0]]], dtype=np.float32)
    )
    assert found["logits"].shape == found["probabilities"].shape == (2, 2, 2)
    np.testing.assert_array_equal(found["logits"][1, 1], [0, 0])
    assert found["words"].tolist() == [["Mary", "lives"], ["It", ""]]
    assert found["lengths"].tolist() == [[2], [1]]


def test_the_largest_classes_come_as_value_index_and_label() -> None:
    values = np.array([[0.25, 0.5, 0.25], [-1.0, -3.0, -2.5]])
    found = written({"x": lambda: as_classes(values, 2, ("bad", "good:ish", "odd"))})["x"]
    assert found.tolist() == [["0.500000:1:good:ish", "0.250000:0:bad"], ["-1.000000:0:bad", "-2.500000:2:odd"]]
    assert written({"x": lambda: as_classes(values, 9, ("a", "b", "c"))})["x"].shape == (2, 3)


def test_an_output_is_given_as_classes_where_that_was_asked_for() -> None:
    result = LogitsResult("m", 1, (sequence([0.2, 0.5, 0.3]),), TIMINGS)
    found = written(logits_writers(CLASSIFIER, result, None, {"logits": 1, "probabilities": 2}))
    assert found["logits"].tolist() == [["5.000000:1:good"]]
    assert found["probabilities"].tolist() == [["0.500000:1:good", "0.300000:2:odd"]]


def test_translations_have_a_row_for_each_text_and_a_column_for_each_hypothesis() -> None:
    two = (Hypothesis("ab", 2, FinishReason.STOP, -0.5), Hypothesis("è", 1, FinishReason.LENGTH, -1.5))
    one = (Hypothesis("", 0, FinishReason.DEADLINE, -0.25),)
    found = written(translation_writers(TranslateResult("m", 1, (Translation(3, two), Translation(4, one)), TIMINGS)))
    assert found["translations"].tolist() == [["ab", "è"], ["", ""]]
    assert found["scores"].tolist() == [[-0.5, -1.5], [-0.25, -np.inf]]
    assert found["token_counts"].tolist() == [[2, 1], [0, 0]]
    assert found["finish_reasons"].tolist() == [["stop", "length"], ["deadline", ""]]
    assert found["source_token_counts"].tolist() == [[3], [4]]


@pytest.mark.parametrize(("reason", "text"), [(None, ""), (FinishReason.LENGTH, "length")])
def test_a_chunk_tells_its_text_its_place_and_why_it_is_the_last(reason: FinishReason | None, text: str) -> None:
    found = written(chunk_writers(GeneratedChunk("m", 1, "hé", 4, 2, reason, sample_index=1)))
    assert {name: value.tolist() for name, value in found.items()} == {
        "text": [["hé"]],
        "finish_reason": [[text]],
        "sample_index": [[1]],
        "first_token_index": [[4]],
        "token_count": [[2]],
    }
