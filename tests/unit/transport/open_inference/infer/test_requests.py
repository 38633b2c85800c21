"""ModelInfer requests: which version they mean, which way in, which outputs, and that the own API's checks apply."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidArgumentError, ModelNotFoundError, ModelNotReadyError, ServiceError
from service.serving.api import FeatureInfo, ModelInfo
from service.serving.sequences import FeatureTable, TokenIds
from service.transport.convert_generation import GenerateCall
from service.transport.convert_translations import TranslateCall
from service.transport.open_inference.infer.requests import InferCall, LogitsCall, known_model, to_infer_call
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from tests.infer_messages import infer_request
from tests.unit.transport.fake_front import FakeFront

LABELS = ("negative", "positive")
FEATURES = tuple(FeatureInfo(name, "", None) for name in ("temperature", "wind"))
CLASSIFIER = ModelInfo("classifier", 3, "active", task="classification", labels=LABELS)
TAGGER = ModelInfo("tagger", 1, "active", task="labelling", labels=LABELS)
FORECASTER = ModelInfo("forecaster", 1, "active", task="labelling", labels=LABELS, features=FEATURES)
GENERATOR = ModelInfo("generator", 1, "active", task="generation")
TRANSLATOR = ModelInfo("translator", 1, "active", task="translation")
FAILED = ModelInfo("failed", 2, "failed", failure="why", task=None)
FRONT = FakeFront(models=[CLASSIFIER, TAGGER, FORECASTER, GENERATOR, TRANSLATOR, FAILED])


def call(
    model: str, inputs: dict[str, Any], outputs: Mapping[str, int | None] | None = None, **parameters: Any
) -> InferCall:
    return to_infer_call(FRONT, infer_request(model, inputs, outputs, **parameters))


def refused(*arguments: Any, **parameters: Any) -> ServiceError:
    with pytest.raises(InvalidArgumentError) as caught:
        call(*arguments, **parameters)
    return caught.value


# Versions


def test_an_empty_version_is_the_one_that_serves() -> None:
    assert call("classifier", {"texts": ["a"]}).reference == "classifier@3"


@pytest.mark.parametrize("version", ["3", "03"])
def test_a_version_is_a_decimal_number(version: str) -> None:
    assert known_model(FRONT, "classifier", version, "name") == CLASSIFIER


@pytest.mark.parametrize("version", ["-1", "x", "1.0", " 1", "1" * 19, "\N{ARABIC-INDIC DIGIT THREE}", "3\0", "3@3"])
def test_what_is_no_number_is_refused_as_a_version(version: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        known_model(FRONT, "classifier", version, "model_name")
    assert caught.value.field == "model_version"


@pytest.mark.parametrize("version", ["0", "4"])
def test_an_unknown_version_is_not_found(version: str) -> None:
    with pytest.raises(ModelNotFoundError):
        known_model(FRONT, "classifier", version, "name")


@pytest.mark.parametrize("name", ["classifier@3", "@", "../classifier"])
def test_the_own_apis_way_to_name_a_version_is_nobodys_name(name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        known_model(FRONT, name, "", "name")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        known_model(FRONT, name, "", "name")


def test_a_model_that_does_not_answer_is_unavailable_with_the_reason() -> None:
    with pytest.raises(ModelNotReadyError, match="failed@2 is not at ready state, it is failed: why"):
        call("failed", {"texts": ["a"]})


# Ways in


def test_texts_token_ids_and_readings_become_sequences() -> None:
    assert call("classifier", {"texts": ["a", "b"]}).call == LogitsCall(("a", "b"), None)
    ids = np.array([[1, 2, 3], [4, 0, 0]])
    assert call("tagger", {"token_ids": ids}).call == LogitsCall((TokenIds([1, 2, 3]), TokenIds([4, 0, 0])), None)
    table = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert call("forecaster", {"features": table}).call == LogitsCall((FeatureTable([[1, 2], [3, 4]]),), None)


def test_lengths_cut_the_padding_off() -> None:
    found = call("classifier", {"token_ids": np.array([[1, 2], [3, 0]]), "lengths": np.array([2, 1])}).call
    assert found == LogitsCall((TokenIds([1, 2]), TokenIds([3])), None)


@pytest.mark.parametrize("lengths", [[0, 1], [1, 3], [1, -1], [2**62, 1]], ids=str)
def test_a_length_outside_the_tensor_is_refused_by_its_place(lengths: list[int]) -> None:
    error = refused("classifier", {"token_ids": np.array([[1, 2], [3, 0]]), "lengths": np.array(lengths)})
    assert error.field in {"lengths[0]", "lengths[1]"}
    assert "expected 1 to 2" in error.message


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({}, "none of them"),
        ({"texts": ["a"], "token_ids": np.array([[1]])}, "texts and token_ids"),
        ({"texts": ["a"], "lengths": np.array([1])}, "texts have none"),
        ({"lengths": np.array([1])}, "none of them"),
        ({"texts": []}, "empty batch"),
        ({"token_ids": np.zeros((0, 3), dtype=np.int64)}, "empty batch"),
    ],
    ids=str,
)
def test_a_classifier_takes_one_way_in(inputs: dict[str, Any], problem: str) -> None:
    assert problem in refused("classifier", inputs).message


def test_blank_texts_are_refused_by_the_own_apis_check() -> None:
    for model in ("classifier", "tagger", "translator"):
        assert refused(model, {"texts": ["a", " "]}).field == "texts[1]"


def test_more_entries_than_the_own_api_takes_are_refused() -> None:
    for model, most in (("classifier", 256), ("translator", 64)):
        assert f"must be <= {most}" in refused(model, {"texts": ["a"] * (most + 1)}).message
        assert call(model, {"texts": ["a"] * most}).reference.startswith(model)
    assert "must be <= 1" in refused("generator", {"prompt": ["a", "b"]}).message
    assert "empty batch" in refused("generator", {"prompt": []}).message


# Parameters


def test_a_generation_is_asked_as_the_own_api_asks_it() -> None:
    found = call("generator", {"prompt": ["X"]}, temperature=0.5, seed=7, sample_count=2, stop_sequences='["|"]').call
    assert isinstance(found, GenerateCall)
    assert (found.prompt, found.options.sampling.temperature, found.options.sampling.seed) == ("X", 0.5, 7)
    assert (found.options.sample_count, found.options.stop_sequences) == (2, ("|",))


def test_a_translation_is_asked_as_the_own_api_asks_it() -> None:
    inputs = {"texts": ["a", "b"], "target_prefixes": ["", "x"]}
    found = call("translator", inputs, beam_size=4, hypothesis_count=2, length_penalty=1).call
    assert isinstance(found, TranslateCall)
    assert (found.texts, found.options.target_prefixes) == (("a", "b"), ("", "x"))
    assert (found.options.beam_size, found.options.hypothesis_count, found.options.length_penalty) == (4, 2, 1.0)


@pytest.mark.parametrize(
    ("model", "parameters", "field"),
    [
        ("generator", {"temperature": math.nan}, "temperature"),
        ("generator", {"temperature": 1e300}, "temperature"),
        ("generator", {"top_k": 0}, "top_k"),
        ("generator", {"seed": -1}, "seed"),
        ("generator", {"stop_sequences": '[""]'}, "stop_sequences[0]"),
        ("generator", {"token_biases": '{"G": NaN}'}, "token_biases[G]"),
        ("generator", {"sample_count": 17}, "sample_count"),
        ("translator", {"beam_size": 33}, "beam_size"),
        ("translator", {"beam_size": 2, "hypothesis_count": 3}, "hypothesis_count"),
        ("translator", {"seed": 1}, "seed"),
        ("classifier", {"top_label_count": 0}, "top_label_count"),
        ("classifier", {"temperature": 1.0}, "parameters"),
        ("classifier", {"timeout": -1}, "parameters[timeout]"),
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_refused_by_name(model: str, parameters: dict[str, Any], field: str) -> None:
    name = "prompt" if model == "generator" else "texts"
    assert refused(model, {name: ["a"]}, **parameters).field == field


def test_prefixes_come_one_for_each_text() -> None:
    assert "differ in their batch size" in refused("translator", {"texts": ["a"], "target_prefixes": ["", ""]}).message


def test_a_timeout_and_what_the_protocol_keeps_for_itself_are_taken() -> None:
    assert call("classifier", {"texts": ["a"]}, timeout=2_000_000, priority=1).timeout_seconds == 2.0


# Outputs


def test_without_outputs_all_are_given_and_with_them_those_in_their_order() -> None:
    assert call("classifier", {"texts": ["a"]}).outputs == ("labels", "scores", "logits", "probabilities")
    wanted = {"logits": None, "labels": None}
    assert call("classifier", {"texts": ["a"]}, wanted).outputs == ("logits", "labels")


def test_a_translation_computes_scores_where_they_are_asked_for() -> None:
    for outputs, scored in ((None, True), ({"scores": None}, True), ({"translations": None}, False)):
        found = call("translator", {"texts": ["a"]}, outputs).call
        assert isinstance(found, TranslateCall)
        assert found.options.include_token_scores is scored


def test_classes_are_given_of_the_logits_and_probabilities_of_a_classifier() -> None:
    assert call("classifier", {"texts": ["a"]}, {"logits": 2, "labels": None}).top_counts == {"logits": 2}
    for model, output in (("classifier", "labels"), ("tagger", "logits"), ("translator", "scores")):
        error = refused(model, {"texts": ["a"]}, {output: 2})
        assert error.field == "outputs[0].parameters[classification]"


@pytest.mark.parametrize("count", [10_000, 200_000])
def test_a_request_of_unknown_things_is_refused_at_the_first_of_them(count: int) -> None:
    request = protocol.ModelInferRequest(model_name="classifier")
    request.inputs.extend([protocol.ModelInferRequest.InferInputTensor(name="nothing")] * count)
    with pytest.raises(InvalidArgumentError) as caught:
        to_infer_call(FRONT, request)
    assert caught.value.field == "inputs[0].name"
