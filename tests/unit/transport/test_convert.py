"""Requests are checked before anything is asked of the serving layer."""

import math
from dataclasses import replace
from typing import cast

import pytest

from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from service.engine.sampling import Sampling
from service.errors import InvalidArgumentError
from service.serving.api import FeatureInfo, FinishReason, GeneratedChunk, ModelInfo, Timings
from service.serving.options import GenerateOptions
from service.serving.truncation import Truncation
from service.transport import convert
from service.transport.convert_generation import to_generate_call, to_generate_response
from service.transport.convert_translations import to_translate_call


def generate(**fields: object) -> inference.GenerateTextRequest:
    return inference.GenerateTextRequest(model="m", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        pytest.param(inference.ClassifyTextRequest(texts=["a"]), "model", id="no model"),
        pytest.param(inference.ClassifyTextRequest(model=" \t", texts=["a"]), "model", id="blank model"),
        pytest.param(inference.ClassifyTextRequest(model="m" * 201, texts=["a"]), "model", id="long model"),
        pytest.param(inference.ClassifyTextRequest(model="m"), "texts", id="no texts"),
        pytest.param(inference.ClassifyTextRequest(model="m", texts=["a"] * 257), "texts", id="many texts"),
        pytest.param(inference.ClassifyTextRequest(model="m", texts=["a", "", "b"]), "texts[1]", id="empty text"),
        pytest.param(inference.ClassifyTextRequest(model="m", texts=["a"] * 3 + [" \n"]), "texts[3]", id="blank text"),
        pytest.param(
            inference.ClassifyTextRequest(model="m", texts=["a"], top_label_count=0), "top_label_count", id="no labels"
        ),
        pytest.param(
            inference.ClassifyTextRequest(model="m", texts=["a"], top_label_count=-1), "top_label_count", id="-1 labels"
        ),
    ],
)
def test_a_bad_classification_is_refused_by_field(request_message: inference.ClassifyTextRequest, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        convert.to_classify_call(request_message)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -math.inf),
        ("temperature", -0.1),
        ("temperature", 100.1),
        ("temperature", 1e38),
        ("top_k", 0),
        ("top_k", -1),
        ("top_k", -(2**31)),
        ("top_p", math.nan),
        ("top_p", math.inf),
        ("top_p", 0.0),
        ("top_p", -0.5),
        ("top_p", 1.01),
        ("seed", -1),
        ("seed", -(2**63)),
        ("max_output_token_count", 0),
        ("max_output_token_count", -5),
    ],
)
def test_an_option_out_of_range_is_refused_by_field(field: str, value: float) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        to_generate_call(generate(**{field: value}))
    assert caught.value.field == field
    assert caught.value.facts["value"] == str(value if field == "seed" else getattr(generate(**{field: value}), field))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.0),
        ("temperature", 100.0),
        ("top_k", 1),
        ("top_k", 2**31 - 1),
        ("top_p", 1e-6),
        ("top_p", 1.0),
        ("seed", 0),
        ("seed", 2**63 - 1),
    ],
)
def test_an_option_at_the_edge_of_its_range_is_taken(field: str, value: float) -> None:
    call = to_generate_call(generate(**{field: value}))
    assert getattr(call.options.sampling, field) == pytest.approx(value, rel=1e-6)


def test_unset_options_mean_what_the_proto_says() -> None:
    call = to_generate_call(generate(seed=5))
    assert call.options == GenerateOptions(None, Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=5))
    assert call.prompt == ""


def test_an_unset_seed_is_drawn_anew_each_time_within_its_range() -> None:
    seeds = {to_generate_call(generate()).options.sampling.seed for _ in range(50)}
    assert len(seeds) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_as_many_texts_as_the_proto_says_are_taken() -> None:
    assert len(convert.to_classify_call(inference.ClassifyTextRequest(model="m", texts=["a"] * 256)).texts) == 256
    assert len(to_translate_call(inference.TranslateTextRequest(model="m", texts=["a"] * 64)).texts) == 64
    with pytest.raises(InvalidArgumentError, match="1 to 64"):
        to_translate_call(inference.TranslateTextRequest(model="m", texts=["a"] * 65))


def test_a_chunk_tells_model_and_seed_only_in_the_first_message() -> None:
    chunk = GeneratedChunk("m", 4, "ab", 2, 1)
    first, later = to_generate_response(replace(chunk, seed=0)), to_generate_response(chunk)
    assert (first.model_version.name, first.model_version.version, first.seed) == ("m", 4, 0)
    assert not later.HasField("model_version")
    assert (later.text, later.first_token_index, later.token_count) == ("ab", 2, 1)
    assert later.finish_reason == inference.FINISH_REASON_UNSPECIFIED


def test_a_last_chunk_tells_reason_and_timings() -> None:
    chunk = GeneratedChunk("m", 4, "", 2, 0, FinishReason.LENGTH, Timings(0.5, 1.25, 1.75))
    last = to_generate_response(chunk)
    assert last.finish_reason == inference.FINISH_REASON_LENGTH
    assert last.timings.queue_duration.ToMilliseconds() == 500
    assert last.timings.compute_duration.ToMilliseconds() == 1250
    assert last.timings.total_duration.ToMilliseconds() == 1750


KNOWN = [ModelInfo(name, version, "active") for name in ("a", "b", "c") for version in (1, 2, 10)]


def pages(size: int) -> list[list[str]]:
    found, token = [], ""
    while True:
        page = convert.to_page(models.ListModelsRequest(page_size=size, page_token=token), KNOWN)
        found.append([f"{model.name}@{model.version}" for model in page.models])
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.parametrize("size", [1, 2, 4, 8, 9, 10, 5000, 0])
def test_pages_join_to_the_whole_list_without_gap_or_repeat(size: int) -> None:
    expected = [f"{info.name}@{info.version}" for info in KNOWN]
    assert [entry for page in pages(size) for entry in page] == expected
    assert all(len(page) <= (size or 100) for page in pages(size))
    assert all(pages(size))


def test_a_page_is_at_most_1000_models_long() -> None:
    many = [ModelInfo("m", version, "active") for version in range(1, 1500)]
    assert len(convert.to_page(models.ListModelsRequest(page_size=2**31 - 1), many).models) == 1000
    assert len(convert.to_page(models.ListModelsRequest(), many).models) == 100


def test_a_page_starts_where_the_last_one_ended_though_its_last_model_is_gone() -> None:
    first = convert.to_page(models.ListModelsRequest(page_size=4), KNOWN)
    rest = [info for info in KNOWN if (info.name, info.version) != ("b", 1)]
    second = convert.to_page(models.ListModelsRequest(page_size=1, page_token=first.next_page_token), rest)
    assert (second.models[0].name, second.models[0].version) == ("b", 2)


@pytest.mark.parametrize("token", ["x", "====", "bm8gdmVyc2lvbg==", "/w==", "\N{SNOWMAN}", "YUBi"])
def test_a_page_token_from_elsewhere_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        convert.to_page(models.ListModelsRequest(page_token=token), KNOWN)
    assert caught.value.field == "page_token"


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        convert.to_page(models.ListModelsRequest(page_size=-1), KNOWN)
    assert caught.value.field == "page_size"


def test_a_model_shows_everything_that_is_known_of_it() -> None:
    info = ModelInfo(
        name="m",
        version=2,
        state="failed",
        failure="why",
        task="translation",
        digest="ab",
        precision="int8",
        provider="cpu",
        labels=("x",),
        max_token_count=5,
        max_output_token_count=6,
        source_language="en",
        target_language="it",
        has_attention=True,
        load_seconds=0.5,
        features=(FeatureInfo("humidity", "%", 70.0), FeatureInfo("wind", "", None)),
        label_scheme="bio",
        carries_state=True,
        numerics_class="int8/cpu/x86_64",
        exact=True,
    )
    shown = convert.to_model(info)
    assert shown.state == models.Model.STATE_FAILED
    assert shown.task == models.TASK_TRANSLATION
    assert shown.load_duration.ToMilliseconds() == 500
    assert [(one.name, one.unit, one.HasField("imputed_value")) for one in shown.features] == [
        ("humidity", "%", True),
        ("wind", "", False),
    ]
    assert shown.label_scheme == models.LABEL_SCHEME_BIO
    unset = [field.name for field in models.Model.DESCRIPTOR.fields if field not in dict(shown.ListFields())]
    assert unset == []


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (inference.TRUNCATION_UNSPECIFIED, Truncation.REFUSE),
        (inference.TRUNCATION_REFUSE, Truncation.REFUSE),
        (inference.TRUNCATION_KEEP_BEGINNING, Truncation.KEEP_BEGINNING),
        (inference.TRUNCATION_KEEP_END, Truncation.KEEP_END),
    ],
)
def test_every_request_of_texts_says_what_becomes_of_long_ones(given: inference.Truncation, meant: Truncation) -> None:
    classify = inference.ClassifyTextRequest(model="m", texts=["a"], truncation=given)
    label = inference.LabelSequenceRequest(model="m", truncation=given)
    translate = inference.TranslateTextRequest(model="m", texts=["a"], truncation=given)
    assert convert.to_classify_call(classify).truncation is meant
    assert {convert.checked_truncation(request) for request in (classify, label, translate)} == {meant}


def test_a_truncation_that_is_not_known_is_refused_by_field() -> None:
    request = inference.ClassifyTextRequest(model="m", texts=["a"], truncation=cast("inference.Truncation", 17))
    with pytest.raises(InvalidArgumentError) as refused:
        convert.to_classify_call(request)
    assert refused.value.field == "truncation"
    assert "TRUNCATION_KEEP_END" in refused.value.message
