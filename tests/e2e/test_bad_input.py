"""Bad input through a real server process: the documented code, reason, field, and the next good request answered."""

import math
import shutil
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from demo.server import ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from tests.bundles import publish_tiny
from tests.e2e.calls import (
    CLASSIFIER,
    GENERATOR,
    TAGGER,
    TRANSLATOR,
    Client,
    code_of,
    eventually,
    refusal_of,
    refused,
    sample,
)
from tests.e2e.calls import (
    text as as_text,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CLASSIFY_METHOD = "/seqserve.v1.InferenceService/ClassifyText"
GENERATE_METHOD = "/seqserve.v1.InferenceService/GenerateText"
TRANSLATE_METHOD = "/seqserve.v1.InferenceService/TranslateText"
LABEL_METHOD = "/seqserve.v1.InferenceService/LabelSequence"


@pytest.fixture(autouse=True)
def the_next_good_request_is_answered(server: ServerProcess, client: Client) -> Iterator[None]:
    yield
    assert len(client.classify("a good film").classifications[0].labels) == 2
    assert client.generate(prompt="X:1", max_output_token_count=3, seed=1)[-1].finish_reason
    assert client.translate("The black dog").translations[0].finish_reason
    assert len(client.label(as_text("Mary lives")).sequences[0].steps) == 2
    assert server.process.poll() is None
    assert "Traceback" not in "".join(server.log)


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\N{EM SPACE}"], ids=["empty", "space", "white", "em space"])
def test_an_empty_text_is_refused_by_its_place(client: Client, text: str) -> None:
    for refusal in (refused(lambda: client.classify("fine", text)), refused(lambda: client.translate("fine", text))):
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", ("texts[1]",))


def test_no_texts_at_all_and_too_many_are_refused(client: Client) -> None:
    for call in (client.classify, client.translate):
        assert refused(call).fields == ("texts",)
    assert refused(lambda: client.classify(*["a"] * 257)).facts == {"text_count": "257", "limit": "256"}
    assert refused(lambda: client.translate(*["a"] * 65)).facts == {"text_count": "65", "limit": "64"}


def test_a_text_too_long_is_refused_by_its_place_with_both_lengths(client: Client) -> None:
    refusal = refused(lambda: client.classify("fine", "good " * 65))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "TEXT_TOO_LONG", ("texts[1]",))
    assert refusal.facts == {"token_count": "65", "limit": "64", "model": CLASSIFIER, "version": "1"}
    refusal = refused(lambda: client.translate("\N{SNOWMAN}" * 65))
    assert (refusal.reason, refusal.fields) == ("TEXT_TOO_LONG", ("texts[0]",))
    refusal = refused(lambda: client.generate(prompt="X" * 129))
    assert (refusal.reason, refusal.fields) == ("TEXT_TOO_LONG", ("prompt",))


def test_the_longest_text_is_answered(client: Client) -> None:
    assert client.classify("good " * 64).classifications[0].token_count == 64


def test_a_text_of_millions_of_characters_is_refused_before_it_is_split(client: Client) -> None:
    refusal = refused(lambda: client.classify("x" * 3_000_000))
    assert (refusal.reason, refusal.fields) == ("TEXT_TOO_LONG", ("texts[0]",))
    assert refusal.facts["character_count"] == "3000000"


@pytest.mark.parametrize(
    "text",
    ["\0", "a\0b", "\N{COMBINING ACUTE ACCENT}" * 60, "\N{RIGHT-TO-LEFT OVERRIDE}abc", "\N{MAN}\u200d\N{WOMAN}"],
    ids=["NUL", "NUL inside", "combining", "right to left", "joined emoji"],
)
def test_an_odd_text_is_answered_or_refused_as_invalid(client: Client, text: str) -> None:
    for call in (client.classify, client.translate):
        assert code_of(lambda call=call: call(text)) in {grpc.StatusCode.OK, INVALID}  # type: ignore[misc]


@pytest.mark.parametrize(
    "model",
    ["nothing", "tiny-classification@99", "tiny-classification@", "tiny-classification@1@1", "tiny-classification@01",
     "../tiny-classification", "tiny-classification/1", "a\0b", "TINY-CLASSIFICATION", "x" * 200],
    ids=["unknown", "version", "no version", "two versions", "zero", "up", "path", "NUL", "capitals", "long"],
)  # fmt: skip
def test_an_unknown_model_is_not_found(client: Client, model: str) -> None:
    calls = (
        lambda: client.classify("a", model=model),
        lambda: client.generate(model),
        lambda: client.translate("a", model=model),
        lambda: client.label(as_text("a"), model=model),
        lambda: client.model(model),
    )
    for call in calls:
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert refusal.fields == ("model",)


@pytest.mark.parametrize("model", ["", "  ", "x" * 201, "x" * 100_000], ids=["empty", "blank", "201", "100000"])
def test_a_model_name_that_cannot_be_one_is_invalid(client: Client, model: str) -> None:
    for call in (lambda: client.classify("a", model=model), lambda: client.model(model)):
        refusal = refused(call)
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", ("model",))


def test_made_up_names_make_no_series(server: ServerProcess, client: Client) -> None:
    before = sample(server, 'seqserve_requests_rejected_total{model="_unknown",reason="MODEL_NOT_FOUND"}')
    for index in range(5):
        refused(lambda index=index: client.classify("a", model=f"made-up-{index}"))  # type: ignore[misc]
    after = sample(server, 'seqserve_requests_rejected_total{model="_unknown",reason="MODEL_NOT_FOUND"}')
    assert after - before == 5


def test_a_model_of_another_task_is_a_failed_precondition(client: Client) -> None:
    calls = (
        (lambda: client.classify("a", model=GENERATOR), "generation"),
        (lambda: client.generate(TRANSLATOR), "translation"),
        (lambda: client.translate("a", model=CLASSIFIER), "classification"),
        (lambda: client.label(as_text("a"), model=CLASSIFIER), "classification"),
        (lambda: client.classify("a", model=TAGGER), "labelling"),
    )
    for call, task in calls:
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_TASK")
        assert refusal.fields == ("model",)
        assert refusal.facts["task"] == task


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -1.0),
        ("temperature", 1e38),
        ("top_p", math.nan),
        ("top_p", 0.0),
        ("top_p", -math.inf),
        ("top_p", 1.5),
        ("top_k", 0),
        ("top_k", -1),
        ("seed", -1),
        ("max_output_token_count", 0),
        ("max_output_token_count", -1),
        ("max_output_token_count", 257),
        ("max_output_token_count", 2**31 - 1),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(client: Client, field: str, value: float) -> None:
    fields: dict[str, Any] = {field: value}
    refusal = refused(lambda: client.generate(prompt="X", **fields))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", (field,))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"min_p": math.nan}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"no_repeat_ngram_size": 33}, "no_repeat_ngram_size"),
        ({"min_output_token_count": 257}, "min_output_token_count"),
        ({"banned_tokens": ["G", "GA"]}, "banned_tokens[1]"),
        ({"token_biases": {"G": math.inf}}, "token_biases[G]"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"sample_count": 2, "temperature": 0.0}, "sample_count"),
        ({"top_k": 5, "temperature": 0.0}, "top_k"),
        ({"banned_tokens": ["G"], "token_biases": {"G": 1.0}}, "token_biases[G]"),
        ({"alternative_count": 1}, "alternative_count"),
    ],
    ids=str,
)
def test_a_generation_that_cannot_be_is_refused_by_name(client: Client, fields: dict[str, Any], field: str) -> None:
    refusal = refused(lambda: client.generate(prompt="X", **fields))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", (field,))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": 33}, "beam_size"),
        ({"beam_size": 2, "hypothesis_count": 3}, "hypothesis_count"),
        ({"length_penalty": math.nan}, "length_penalty"),
        ({"beam_size": 2, "coverage_penalty": -0.5}, "coverage_penalty"),
        ({"coverage_penalty": 0.5}, "coverage_penalty"),
        ({"max_length_factor": math.inf}, "max_length_factor"),
        ({"target_prefixes": ["a", "b"]}, "target_prefixes"),
        ({"beam_size": 4, "temperature": 0.5}, "temperature"),
        ({"min_p": 0.5}, "min_p"),
    ],
    ids=str,
)
def test_a_search_that_cannot_be_is_refused_by_name(client: Client, fields: dict[str, Any], field: str) -> None:
    refusal = refused(lambda: client.translate("a", **fields))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", (field,))


def test_a_pair_that_cannot_be_scored_is_refused_by_its_place(client: Client) -> None:
    def score(*pairs: tuple[str, str]) -> inference.ScoreTranslationResponse:
        given = [inference.TextPair(source=source, target=target) for source, target in pairs]
        request = inference.ScoreTranslationRequest(model=TRANSLATOR, pairs=given)
        return client.inference.ScoreTranslation(request, timeout=20)

    assert refused(score).fields == ("pairs",)
    assert refused(lambda: score(("a", "b"), ("a", " "))).fields == ("pairs[1].target",)
    refusal = refused(lambda: score(("a", "\N{SNOWMAN}" * 49)))
    assert (refusal.reason, refusal.fields) == ("TEXT_TOO_LONG", ("pairs[0].target",))
    assert score(("a", "b")).scores[0].log_probability < 0


def test_parameters_of_the_other_methods_are_refused_by_name(client: Client) -> None:
    assert refused(lambda: client.translate("a", max_output_token_count=49)).fields == ("max_output_token_count",)
    assert refused(lambda: client.translate("a", max_output_token_count=0)).fields == ("max_output_token_count",)
    request = inference.ClassifyTextRequest(model=CLASSIFIER, texts=["a"], top_label_count=0)
    assert refused(lambda: client.inference.ClassifyText(request)).fields == ("top_label_count",)
    listing = models.ListModelsRequest(page_size=-1)
    assert refused(lambda: client.models.ListModels(listing)).fields == ("page_size",)
    listing = models.ListModelsRequest(page_token="made up")
    assert refused(lambda: client.models.ListModels(listing)).fields == ("page_token",)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_a_message_over_4_mib_is_refused_by_grpc_itself(client: Client, compression: grpc.Compression) -> None:
    message = inference.ClassifyTextRequest(model=CLASSIFIER, texts=["x" * (5 * 1024 * 1024)]).SerializeToString()
    refusal = refused(lambda: client.raw(CLASSIFY_METHOD, message, compression=compression))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")


@pytest.mark.parametrize("method", [CLASSIFY_METHOD, GENERATE_METHOD, TRANSLATE_METHOD, LABEL_METHOD])
@pytest.mark.parametrize(
    "message",
    [b"\xff" * 20, b"\x0a\x05ab", b"\x08\x01" * 3 + b"\x07", b"\x0a\x02\xed\xa0"],
    ids=["no tag", "cut short", "wrong end", "surrogate"],
)
def test_bytes_that_are_no_message_are_invalid(client: Client, method: str, message: bytes) -> None:
    refusal = refused(lambda: client.raw(method, message))
    assert (refusal.code, refusal.reason) == (INVALID, "UNDECODABLE_MESSAGE")


def test_a_flood_of_junk_leaves_at_most_one_line_per_second(server: ServerProcess, client: Client) -> None:
    before = len(server.log)
    for _ in range(100):
        refused(lambda: client.raw(CLASSIFY_METHOD, b"\xff" * 20))
    assert len(server.log) - before <= 3


def test_fields_of_a_later_version_are_passed_over(client: Client) -> None:
    message = inference.ClassifyTextRequest(model=CLASSIFIER, texts=["a good film"]).SerializeToString()
    assert client.raw(CLASSIFY_METHOD, message + b"\xf8\x07\x01")


def test_a_method_that_does_not_exist_is_unimplemented(client: Client) -> None:
    refusal = refused(lambda: client.raw("/seqserve.v1.InferenceService/Nothing", b""))
    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


def test_large_metadata_is_refused_by_grpc_itself(client: Client) -> None:
    message = inference.ClassifyTextRequest(model=CLASSIFIER, texts=["a"]).SerializeToString()
    assert client.raw(CLASSIFY_METHOD, message, metadata=[("x-large", "x" * 7000)])
    refusal = refused(lambda: client.raw(CLASSIFY_METHOD, message, metadata=[("x-large", "x" * 20_000)]))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_broken_bundle_is_shown_as_failed_and_the_others_serve(server: ServerProcess, client: Client) -> None:
    folder = publish_tiny(server.models_folder, "classification", name="broken")
    eventually(lambda: state(client, "broken") == models.Model.STATE_ACTIVE)
    shutil.rmtree(folder.parent)
    eventually(lambda: state(client, "broken") is None)
    broken = publish_tiny(server.models_folder / "..", "classification", name="broken")
    (broken / "tokenizer.json").write_bytes(b"{}")
    shutil.move(broken.parent, server.models_folder)
    eventually(lambda: state(client, "broken") == models.Model.STATE_FAILED)
    assert "tokenizer.json" in client.model("broken").failure
    refusal = refused(lambda: client.classify("a good film", model="broken"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_READY")
    assert sample(server, 'seqserve_model_load_failures_total{model="broken"}') == 1


def test_a_broken_new_version_leaves_the_old_one_serving(server: ServerProcess, client: Client) -> None:
    publish_tiny(server.models_folder, "classification", name="updated")
    eventually(lambda: state(client, "updated") == models.Model.STATE_ACTIVE)
    second = server.models_folder / "updated" / "2"
    second.mkdir()
    (second / "manifest.json").write_text('{"format": 1, "surprise": true}')
    eventually(lambda: state(client, "updated@2") == models.Model.STATE_FAILED)
    assert client.classify("a good film", model="updated").model_version.version == 1
    refusal = refused(lambda: client.classify("a good film", model="updated@2"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_READY")


def state(client: Client, reference: str) -> models.Model.State | None:
    """State of a model, None if there is none of this name. Asked once: a model may be gone a moment later."""
    try:
        return client.model(reference).state
    except grpc.RpcError as error:
        if refusal_of(error).code is grpc.StatusCode.NOT_FOUND:
            return None
        raise
