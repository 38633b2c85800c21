"""Parameters of a request: into the own API's fields by name and type, and the protocol's own."""

from typing import Any

import pytest
from google.protobuf.message import Message

from seqserve.v1 import inference_service_pb2 as own
from service.errors import InvalidArgumentError
from service.transport.open_inference.infer.parameters import (
    GENERATION_PARAMETERS,
    LABEL_PARAMETERS,
    TRANSLATION_PARAMETERS,
    set_parameters,
    timeout_seconds,
    top_count,
)
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

NOT_TAKEN = {
    own.ClassifyTextRequest: {"model", "texts"},
    own.GenerateTextRequest: {"model", "prompt", "include_token_scores", "alternative_count"},
    own.TranslateTextRequest: {"model", "texts", "target_prefixes", "include_attention", "include_token_scores"},
}


def parameter(value: object) -> protocol.InferParameter:
    """A value as the stock client sends it."""
    match value:
        case bool():
            return protocol.InferParameter(bool_param=value)
        case int():
            return protocol.InferParameter(int64_param=value)
        case float():
            return protocol.InferParameter(double_param=value)
        case str():
            return protocol.InferParameter(string_param=value)
    return protocol.InferParameter()


def parameters(**values: object) -> dict[str, protocol.InferParameter]:
    return {name: parameter(value) for name, value in values.items()}


def generation(**values: object) -> own.GenerateTextRequest:
    message = own.GenerateTextRequest()
    set_parameters(message, parameters(**values), GENERATION_PARAMETERS)
    return message


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (own.ClassifyTextRequest, LABEL_PARAMETERS),
        (own.LabelSequenceRequest, LABEL_PARAMETERS),
        (own.GenerateTextRequest, GENERATION_PARAMETERS),
        (own.TranslateTextRequest, TRANSLATION_PARAMETERS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_parameters_are_fields_of_the_own_api(message: type[Message], names: tuple[str, ...]) -> None:
    assert set(names) <= set(message.DESCRIPTOR.fields_by_name)
    assert not set(names) & NOT_TAKEN.get(message, set())


def test_scalars_are_set_by_their_names() -> None:
    found = generation(temperature=0.5, top_k=3, seed=2**62, echo=True)
    assert found == own.GenerateTextRequest(temperature=0.5, top_k=3, seed=2**62, echo=True)


def test_an_integer_is_a_number_and_unsigned_ones_are_integers() -> None:
    assert generation(temperature=1).temperature == 1
    message = own.GenerateTextRequest()
    set_parameters(message, {"top_k": protocol.InferParameter(uint64_param=7)}, GENERATION_PARAMETERS)
    assert message.top_k == 7


def test_lists_and_maps_come_as_json() -> None:
    found = generation(stop_sequences='["\\n", "é"]', banned_tokens="[]", token_biases='{"G": -1, "A": 0.5}')
    assert list(found.stop_sequences) == ["\n", "é"]
    assert dict(found.token_biases) == {"G": -1.0, "A": 0.5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", 1.0),
        ("top_k", True),
        ("top_k", "3"),
        ("top_k", 2**31),
        ("top_k", -(2**31) - 1),
        ("top_k", None),
        ("temperature", "0.5"),
        ("temperature", True),
        ("echo", 1),
        ("echo", "true"),
        ("stop_sequences", "x"),
        ("stop_sequences", '"x"'),
        ("stop_sequences", "[1]"),
        ("stop_sequences", '["\\ud800"]'),
        ("stop_sequences", "[" * 100_000),
        ("stop_sequences", True),
        ("token_biases", "[]"),
        ("token_biases", '{"G": true}'),
        ("token_biases", '{"G": "1"}'),
        ("token_biases", '{"G": 1' + "0" * 400 + "}"),
        ("token_biases", '{"G": 1' + "0" * 5000 + "}"),
        ("token_biases", '{"\\udfff": 1}'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        generation(**{name: value})
    assert caught.value.field == f"parameters[{name}]"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("name", ["beam_size", "include_token_scores", "model", "prompt", "x" * 10_000, "a\0b", ""])
def test_an_unknown_parameter_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="it takes allow_partial, banned_tokens") as caught:
        generation(**{name: 1})
    assert caught.value.field == "parameters"
    assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    "values",
    [
        {"priority": 1},
        {"timeout": 5},
        {"sequence_id": 0},
        {"sequence_id": ""},
        {"sequence_start": True, "sequence_end": False},
        {"triton_enable_empty_final_response": True},
        {"binary_data_output": True, "content_type": "str", "headers": "x"},
    ],
    ids=str,
)
def test_what_the_protocol_keeps_for_itself_is_no_parameter_of_the_model(values: dict[str, Any]) -> None:
    assert generation(**values) == own.GenerateTextRequest()


@pytest.mark.parametrize("sequence", [1, "a"])
def test_a_sequence_is_refused_for_none_are_kept(sequence: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        generation(sequence_id=sequence)
    assert caught.value.field == "parameters[sequence_id]"


@pytest.mark.parametrize(("value", "seconds"), [(1_500_000, 1.5), (1, 1e-6), (0, None)])
def test_a_timeout_is_in_microseconds_and_0_is_none(value: int, seconds: float | None) -> None:
    assert timeout_seconds(parameters(timeout=value)) == seconds
    assert timeout_seconds({}) is None


@pytest.mark.parametrize("value", [-1, 0.5, "5", True, None])
def test_another_timeout_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        timeout_seconds(parameters(timeout=value))
    assert caught.value.field == "parameters[timeout]"


def test_an_output_may_be_given_as_so_many_classes() -> None:
    assert top_count(parameters(classification=3), "outputs[0]") == 3
    assert top_count(parameters(binary_data=True), "outputs[0]") is None


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True])
def test_another_count_of_classes_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        top_count(parameters(classification=value), "outputs[2]")
    assert caught.value.field == "outputs[2].parameters[classification]"
