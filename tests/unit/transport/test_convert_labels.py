"""Requests for labels are checked before anything is asked of the serving layer."""

import math

import pytest

from seqserve.v1 import inference_service_pb2 as inference
from service.errors import InvalidArgumentError
from service.serving.api import LabelledSequence, LabelledStep, LabelResult, LabelScore, LabelSpan, Timings
from service.serving.sequences import FeatureRows, Words
from service.state.requests import STATELESS, SequenceStates
from service.transport.convert_labels import to_label_call, to_label_response

GOOD = inference.InputSequence(text="fine")


def row(**features: float) -> inference.FeatureRow:
    return inference.FeatureRow(features=features)


def test_each_kind_of_sequence_becomes_a_plain_value() -> None:
    sequences = [
        inference.InputSequence(text=" Mary lives "),
        inference.InputSequence(words=["Mary", "lives"]),
        inference.InputSequence(rows=[row(wind=1.5), row()]),
    ]
    call = to_label_call(inference.LabelSequenceRequest(model="m@2", sequences=sequences, top_label_count=3))
    assert (call.model, call.top_label_count) == ("m@2", 3)
    assert call.sequences == (" Mary lives ", Words(("Mary", "lives")), FeatureRows(({"wind": 1.5}, {})))


def test_state_tokens_are_taken_by_sequence() -> None:
    sequences = [GOOD, inference.InputSequence(text="fine", state_token=b"token")]
    request = inference.LabelSequenceRequest(
        model="m", sequences=sequences, include_state_token=True, allow_inexact_state=True
    )
    assert to_label_call(request).states == SequenceStates((b"", b"token"), allow_inexact=True, include=True)
    assert to_label_call(inference.LabelSequenceRequest(model="m", sequences=[GOOD])).states == STATELESS


def test_values_that_are_no_numbers_are_left_to_the_model_to_judge() -> None:
    sequence = inference.InputSequence(rows=[row(wind=math.nan)])
    (found,) = to_label_call(inference.LabelSequenceRequest(model="m", sequences=[sequence])).sequences
    assert isinstance(found, FeatureRows)
    assert math.isnan(found.rows[0]["wind"])


@pytest.mark.parametrize(
    ("token", "include"), [pytest.param(b"token", False, id="taken"), pytest.param(b"", True, id="asked for")]
)
def test_a_part_of_a_sequence_has_no_state_to_go_on_from(token: bytes, include: bool) -> None:
    request = inference.LabelSequenceRequest(
        model="m", sequences=[inference.InputSequence(text="fine", state_token=token)], include_state_token=include,
        truncation=inference.TRUNCATION_KEEP_END,
    )  # fmt: skip
    with pytest.raises(InvalidArgumentError) as refused:
        to_label_call(request)
    assert refused.value.field == "truncation"


@pytest.mark.parametrize(
    ("sequence", "field"),
    [
        pytest.param(inference.InputSequence(), "sequences[1]", id="nothing"),
        pytest.param(inference.InputSequence(text="a", words=["a"]), "sequences[1]", id="text and words"),
        pytest.param(inference.InputSequence(words=["a"], rows=[row()]), "sequences[1]", id="words and rows"),
        pytest.param(inference.InputSequence(text=" \n"), "sequences[1].text", id="a blank text"),
        pytest.param(inference.InputSequence(words=["a", ""]), "sequences[1].words[1]", id="an empty word"),
        pytest.param(inference.InputSequence(words=["\t", "a"]), "sequences[1].words[0]", id="a blank word"),
        pytest.param(inference.InputSequence(words=["a"] * 50_001), "sequences", id="too many words"),
        pytest.param(inference.InputSequence(rows=[row()] * 50_001), "sequences", id="too many rows"),
    ],
)
def test_a_bad_sequence_is_refused_by_its_place(sequence: inference.InputSequence, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        to_label_call(inference.LabelSequenceRequest(model="m", sequences=[GOOD, sequence]))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        pytest.param(inference.LabelSequenceRequest(sequences=[GOOD]), "model", id="no model"),
        pytest.param(inference.LabelSequenceRequest(model="m"), "sequences", id="no sequences"),
        pytest.param(
            inference.LabelSequenceRequest(model="m", sequences=[GOOD] * 257), "sequences", id="257 sequences"
        ),
        pytest.param(
            inference.LabelSequenceRequest(model="m", sequences=[GOOD], top_label_count=0), "top_label_count", id="none"
        ),
    ],
)
def test_a_bad_request_is_refused_by_field(request_message: inference.LabelSequenceRequest, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        to_label_call(request_message)
    assert caught.value.field == field


def test_a_result_is_written_whole() -> None:
    steps = (LabelledStep((LabelScore("B-PER", 0.75), LabelScore("O", 0.25)), "Mary"), LabelledStep((), ""))
    sequence = LabelledSequence(steps, (LabelSpan("PER", 0, 1, 0.5),), 7)
    message = to_label_response(LabelResult("m", 4, (sequence,), Timings(0.5, 1.25, 1.75)))
    assert (message.model_version.name, message.model_version.version) == ("m", 4)
    (found,) = message.sequences
    assert [step.word for step in found.steps] == ["Mary", ""]
    assert [(score.label, score.probability) for score in found.steps[0].labels] == [("B-PER", 0.75), ("O", 0.25)]
    (span,) = found.spans
    assert (span.label, span.first_step_index, span.last_step_index, span.score) == ("PER", 0, 1, 0.5)
    assert found.token_count == 7
    assert message.timings.compute_duration.ToMilliseconds() == 1250
