"""Both clients, method by method, against a real server."""

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from seqserve import (
    AsyncClient,
    Attention,
    Classification,
    Client,
    DeadlineExceededError,
    Feature,
    FinishReason,
    Hypothesis,
    InternalError,
    InvalidArgumentError,
    LabelledSequence,
    LabelledStep,
    LabelScheme,
    LabelScore,
    LabelSpan,
    ModelState,
    ModelVersion,
    NotFoundError,
    Readings,
    ResourceExhaustedError,
    SeqserveError,
    Task,
    Timings,
    TokenScore,
    TranslationScore,
    Truncation,
    UnavailableError,
)
from seqserve.v1 import inference_service_pb2 as inference

if TYPE_CHECKING:
    from tests.unit.seqserve.fake_server import FakeServer


async def test_one_text_is_classified(client: AsyncClient) -> None:
    result = await client.classify("fake", "a fine film")
    assert result.model_version == ModelVersion("fake", 3)
    assert result.classifications == (
        Classification(labels=(LabelScore("good", 0.75), LabelScore("bad", 0.25)), token_count=3),
    )
    assert result.classifications[0].best.label == "good"
    assert result.timings == Timings(queue_seconds=0.25, compute_seconds=1.0, total_seconds=2.0)


async def test_texts_are_classified_in_order(client: AsyncClient) -> None:
    result = await client.classify("fake", ["one", "one two", "one two three"], top_label_count=1)
    assert [c.token_count for c in result.classifications] == [1, 2, 3]
    assert [len(c.labels) for c in result.classifications] == [1, 1, 1]


async def test_a_text_is_labelled_word_by_word(client: AsyncClient) -> None:
    result = await client.label("fake", "Mary Smith")
    assert (result.model_version, result.timings.total_seconds) == (ModelVersion("fake", 3), 2.0)
    scores = (LabelScore("B-PER", 0.75), LabelScore("O", 0.25))
    steps = (LabelledStep(scores, "Mary"), LabelledStep(scores, "Smith"))
    assert result.sequences == (LabelledSequence(steps, (LabelSpan("PER", 0, 1, 0.75),), token_count=4),)
    assert result.sequences[0].steps[1].best.label == "B-PER"


async def test_texts_words_and_rows_are_sent_as_what_they_are(client: AsyncClient, server: "FakeServer") -> None:
    rows: list[Readings] = [{"wind": 1.5, "humidity": None}, {"wind": math.nan}]
    result = await client.label("fake", ["Mary Smith", ["Mary", "Smith"], rows, []], top_label_count=1)
    text, words, readings, nothing = server.received[0].request.sequences
    assert (text.text, list(words.words)) == ("Mary Smith", ["Mary", "Smith"])
    assert [dict(row.features) for row in readings.rows] == [
        {"wind": 1.5},
        {"wind": pytest.approx(math.nan, nan_ok=True)},
    ]
    assert nothing == inference.InputSequence()
    assert [len(sequence.steps) for sequence in result.sequences] == [2, 2, 2, 0]
    assert [len(step.labels) for step in result.sequences[2].steps] == [1, 1]
    assert result.sequences[2].spans == ()


@pytest.mark.parametrize(
    ("sequences", "place"),
    [
        pytest.param([{"wind": 1.5}], r"sequences\[0\] is one row", id="a row where a sequence belongs"),
        pytest.param(["Mary", ["Mary", {"wind": 1.5}]], r"sequences\[1\] must be", id="words and rows"),
        pytest.param([[1, 2]], r"sequences\[0\] must be", id="numbers"),
    ],
)
async def test_what_is_no_sequence_is_not_sent(
    sequences: Any, place: str, client: AsyncClient, server: "FakeServer"
) -> None:
    with pytest.raises(TypeError, match=place):
        await client.label("fake", sequences)
    assert server.received == []


async def test_what_is_not_given_is_not_sent(client: AsyncClient, server: "FakeServer") -> None:
    await client.classify("fake", "text")
    await client.translate("fake", "text")
    await client.generate_text("fake")
    classify, translate, generate = (received.request for received in server.received)
    assert not classify.HasField("top_label_count")
    assert not translate.HasField("max_output_token_count")
    assert [field.name for field, _ in generate.ListFields()] == ["model"]


@pytest.mark.parametrize(("truncation", "sent"), [(None, 0), *((one, one.value) for one in Truncation)])
async def test_what_becomes_of_long_inputs_is_sent_and_told(
    client: AsyncClient, server: "FakeServer", truncation: Truncation | None, sent: int
) -> None:
    classified = await client.classify("fake", "text", truncation=truncation)
    labelled = await client.label("fake", "text", truncation=truncation)
    translated = await client.translate("fake", "text", truncation=truncation)
    assert [received.request.truncation for received in server.received] == [sent] * 3
    told = (
        classified.classifications[0].truncated, labelled.sequences[0].truncated, translated.translations[0].truncated
    )  # fmt: skip
    assert told == (sent > 1,) * 3


def test_truncations_have_the_numbers_of_the_protocol() -> None:
    assert {f"TRUNCATION_{one.name}": one.value for one in Truncation} == {
        name: value for name, value in inference.Truncation.items() if value
    }


async def test_every_generation_option_is_sent(client: AsyncClient, server: "FakeServer") -> None:
    await client.generate_text("fake", "x", max_output_token_count=9, temperature=0.5, top_k=3, top_p=0.25, seed=2**62)
    request = server.received[0].request
    sent = (request.max_output_token_count, request.temperature, request.top_k, request.top_p, request.seed)
    assert sent == (9, 0.5, 3, 0.25, 2**62)


async def test_several_samples_come_back_as_several_texts(client: AsyncClient, server: "FakeServer") -> None:
    texts = await client.generate_texts(
        "fake", "one two", sample_count=3, include_token_scores=True, alternative_count=1, stop_sequences=["x"],
        token_biases={"a": -1.5}, banned_tokens=None, echo=True, allow_partial=True, repetition_penalty=1.5,
    )  # fmt: skip
    assert [text.text for text in texts] == [f"one {sample} two {sample} " for sample in range(3)]
    assert {(text.token_count, text.prompt_token_count, text.finish_reason) for text in texts} == {
        (2, 7, FinishReason.STOP)
    }
    assert texts[2].token_scores[0] == TokenScore("one", -0.5, (TokenScore("uno", -1.5),))
    request = server.received[0].request
    assert (request.sample_count, list(request.stop_sequences), request.echo) == (3, ["x"], True)
    assert (dict(request.token_biases), request.repetition_penalty) == ({"a": -1.5}, 1.5)
    assert request.allow_partial


async def test_a_deadlines_partial_answer_says_so(client: AsyncClient) -> None:
    text = await client.generate_text("fake", "late", allow_partial=True)
    assert (text.text, text.finish_reason) == ("late ", FinishReason.DEADLINE)


async def test_a_search_brings_its_alternatives_and_scores(client: AsyncClient, server: "FakeServer") -> None:
    result = await client.translate(
        "fake", "ab", beam_size=4, hypothesis_count=3, length_penalty=0.5, target_prefixes=["x"],
        include_token_scores=True, max_length_factor=2, coverage_penalty=None,
    )  # fmt: skip
    (translation,) = result.translations
    assert (translation.text, translation.score, translation.source_token_count) == ("ba", -0.5, 2)
    assert translation.token_scores == (TokenScore("c", -0.5), TokenScore("<eos>", -0.25))
    assert translation.alternatives == tuple(
        Hypothesis(f"ba{rank}", 2, FinishReason.STOP, -0.5 - rank) for rank in (1, 2)
    )
    assert result.seed is None
    request = server.received[0].request
    assert (request.beam_size, request.hypothesis_count, request.length_penalty) == (4, 3, 0.5)
    assert (list(request.target_prefixes), request.max_length_factor) == (["x"], 2.0)
    assert not request.HasField("coverage_penalty")


async def test_a_sampled_translation_tells_its_seed(client: AsyncClient) -> None:
    result = await client.translate("fake", "ab", temperature=0.5, top_k=4, seed=8)
    assert (result.seed, result.translations[0].score) == (8, None)


async def test_translations_are_scored_in_order(client: AsyncClient, server: "FakeServer") -> None:
    result = await client.score_translation("fake", [("a b", "c"), ("d", "e")])
    scores = (TokenScore("c", -0.5), TokenScore("<eos>", -0.25))
    assert result.scores == (TranslationScore(-0.75, scores, 2),) * 2
    pairs = [(pair.source, pair.target) for pair in server.received[0].request.pairs]
    assert pairs == [("a b", "c"), ("d", "e")]


async def test_texts_are_translated_in_order(client: AsyncClient) -> None:
    result = await client.translate("fake", ["abc", "xyz"], max_output_token_count=4)
    assert [translation.text for translation in result.translations] == ["cba", "zyx"]
    assert [translation.attention for translation in result.translations] == [None, None]
    assert result.translations[0].finish_reason is FinishReason.LENGTH


async def test_attention_comes_when_asked_for(client: AsyncClient) -> None:
    result = await client.translate("fake", "abc", include_attention=True)
    assert result.translations[0].attention == Attention(("a", "b"), ("c",), ((0.5, 0.5),))


async def test_a_whole_text_is_generated(client: AsyncClient) -> None:
    result = await client.generate_text("fake", "one two three", seed=5)
    assert (result.text, result.token_count, result.seed) == ("one two three ", 3, 5)
    assert result.finish_reason is FinishReason.STOP
    assert result.model_version == ModelVersion("fake", 3)
    assert result.timings.total_seconds == 2.0


async def test_a_text_goes_on_from_a_state_token(client: AsyncClient, server: "FakeServer") -> None:
    first = await client.generate_text("fake", "one", include_state_token=True, state_token_interval=8)
    assert (first.text, first.held_back_text, first.state_token) == ("one ", "...", b"+")
    second = await client.generate_text(
        "fake", "two", state_token=first.state_token, include_state_token=True, allow_inexact_state=True
    )
    assert second.state_token == b"++"
    asked, further = (received.request for received in server.received)
    assert (asked.state_token_interval, asked.state_token, asked.allow_inexact_state) == (8, b"", False)
    assert (further.state_token, further.allow_inexact_state, further.HasField("temperature")) == (b"+", True, False)
    unasked = await client.generate_text("fake", "one", state_token=None)
    assert (unasked.state_token, unasked.held_back_text) == (None, "")


async def test_sequences_go_on_from_state_tokens(client: AsyncClient, server: "FakeServer") -> None:
    result = await client.label(
        "fake", ["Bo", "Al"], state_tokens=[None, b"x"], include_state_token=True, allow_inexact_state=True
    )
    assert [sequence.state_token for sequence in result.sequences] == [b"+", b"x+"]
    assert server.received[0].request.allow_inexact_state
    plain = await client.label("fake", ["Bo"])
    assert plain.sequences[0].state_token is None
    assert not server.received[1].request.include_state_token


async def test_state_tokens_that_do_not_match_the_sequences_are_refused_before_anything_is_sent(
    client: AsyncClient, server: "FakeServer"
) -> None:
    with pytest.raises(ValueError, match="1 state_tokens for 2 sequences"):
        await client.label("fake", ["Bo", "Al"], state_tokens=[b"x"])
    assert not server.received


async def test_a_stream_without_its_last_message_is_an_error(client: AsyncClient) -> None:
    with pytest.raises(InternalError, match="first or its last message"):
        await client.generate_text("fake", "unfinished")


async def test_every_page_of_models_is_read(client: AsyncClient, server: "FakeServer") -> None:
    models = await client.list_models()
    assert [str(ModelVersion(model.name, model.version)) for model in models] == [
        "fake-classifier@2",
        "fake-broken@1",
        "fake-translator@1",
        "fake-labeller@1",
    ]
    assert [received.request.page_token for received in server.received] == ["", "2"]


async def test_a_model_is_described(client: AsyncClient) -> None:
    model = await client.get_model("fake-classifier")
    assert (model.state, model.task, model.labels) == (ModelState.ACTIVE, Task.CLASSIFICATION, ("bad", "good"))
    assert (model.digest, model.precision, model.max_token_count, model.load_seconds) == ("ab12", "fp32", 512, 0.5)
    broken = await client.get_model("fake-broken")
    assert (broken.state, broken.failure, broken.task) == (ModelState.FAILED, "no [such] graph", Task.OTHER)
    labeller = await client.get_model("fake-labeller")
    assert (labeller.task, labeller.label_scheme) == (Task.LABELLING, LabelScheme.PLAIN)
    assert labeller.features == (Feature("humidity", "%", 70.0), Feature("wind", "", None))
    assert (model.features, model.label_scheme) == ((), LabelScheme.OTHER)
    assert (labeller.carries_state, labeller.numerics_class, model.carries_state) == (True, "fp32/cpu", False)
    assert (labeller.exact, model.exact) == (True, False)


async def test_health_tells_whether_the_server_serves(client: AsyncClient) -> None:
    assert await client.health()
    assert not await client.health("idle")
    with pytest.raises(NotFoundError):
        await client.health("nobody")


async def test_a_call_has_the_clients_deadline(client: AsyncClient, server: "FakeServer") -> None:
    await client.classify("fake", "text")
    await client.generate_text("fake", "text")
    await client.list_models(timeout_s=5)
    default, stream, own, _ = (received.seconds_left for received in server.received)
    assert default is not None
    assert stream is not None
    assert own is not None
    assert 25 < default < 31  # gRPC rounds up on the wire
    assert 25 < stream < 31
    assert 1 < own < 6


async def test_a_passed_deadline_is_an_error(client: AsyncClient, server: "FakeServer") -> None:
    server.delay_seconds = 5
    with pytest.raises(DeadlineExceededError):
        await client.classify("fake", "text", timeout_s=0.2)


@pytest.mark.parametrize("timeout_s", [0, -1, math.inf, math.nan])
async def test_a_timeout_that_is_none_is_refused(timeout_s: float, client: AsyncClient, server: "FakeServer") -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        await client.classify("fake", "text", timeout_s=timeout_s)
    with pytest.raises(ValueError, match="timeout_s"):
        Client(server.target, timeout_s=timeout_s)
    with pytest.raises(ValueError, match="timeout_s"):
        AsyncClient(server.target, timeout_s=timeout_s)


async def test_an_unavailable_server_is_asked_again(
    client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.UNAVAILABLE, "engine lost", reason="ENGINE_LOST")
    refuse(grpc.StatusCode.UNAVAILABLE, "engine lost", reason="ENGINE_LOST")
    assert (await client.translate("fake", "abc")).translations[0].text == "cba"
    assert len(server.received) == 3


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        pytest.param("classify", ("text",), id="classify"),
        pytest.param("label", ("text",), id="label"),
        pytest.param("generate_text", ("text",), id="generate"),
        pytest.param("translate", ("x" * 2**20,), id="translate a megabyte"),
        pytest.param("score_translation", ([("x", "y")],), id="score"),
    ],
)
async def test_every_call_is_repeated_that_met_no_server(
    method: str, arguments: Any, client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.UNAVAILABLE, "engine lost", reason="ENGINE_LOST")
    await getattr(client, method)("fake", *arguments)
    assert len(server.received) == 2


async def test_a_stream_comes_back_when_a_full_queue_says_when(
    client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_seconds=0.05)
    assert (await client.generate_text("fake", "one")).text == "one "
    first, second = server.received
    assert second.seconds - first.seconds >= 0.05


async def test_a_server_that_stays_unavailable_is_asked_four_times(
    client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    for _ in range(9):
        refuse(grpc.StatusCode.UNAVAILABLE, "engine lost", reason="ENGINE_LOST")
    with pytest.raises(UnavailableError, match="ENGINE_LOST: engine lost"):
        await client.classify("fake", "text")
    assert len(server.received) == 4


async def test_nobody_listening_is_unavailable() -> None:
    with Client("127.0.0.1:1", timeout_s=10) as client, pytest.raises(UnavailableError):
        await asyncio.to_thread(client.list_models)


async def test_a_full_queue_is_asked_again_when_it_says_when(
    client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_seconds=0.05)
    await client.classify("fake", "text")
    first, second = server.received
    assert second.seconds - first.seconds >= 0.05


async def test_a_full_queue_is_not_asked_again_after_the_deadline(
    client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_seconds=0.9)
    with pytest.raises(ResourceExhaustedError) as caught:
        await client.classify("fake", "text", timeout_s=0.5)
    assert caught.value.retry_delay_seconds == 0.9
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT]
)
async def test_what_would_fail_again_is_not_repeated(
    code: grpc.StatusCode, client: AsyncClient, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(code)
    with pytest.raises(SeqserveError) as caught:
        await client.classify("fake", "text")
    assert caught.value.code is code
    assert len(server.received) == 1


async def test_an_error_brings_reason_facts_and_fields(client: AsyncClient, refuse: Callable[..., None]) -> None:
    refuse(grpc.StatusCode.INVALID_ARGUMENT, "too long", reason="TEXT_TOO_LONG", field="texts[3]", token_count="600")
    with pytest.raises(InvalidArgumentError) as caught:
        await client.classify("fake", "text")
    error = caught.value
    assert (error.reason, error.message, error.facts) == ("TEXT_TOO_LONG", "too long", {"token_count": "600"})
    assert [(v.field, v.description) for v in error.field_violations] == [("texts[3]", "too long")]
    assert str(error) == "TEXT_TOO_LONG: too long (in texts[3])"


async def test_an_answer_above_grpcs_own_limit_arrives(client: AsyncClient) -> None:
    text = "x" * 5 * 2**20
    assert (await client.translate("fake", text)).translations[0].text == text


async def test_a_request_above_the_clients_limit_is_not_sent(client: AsyncClient, server: "FakeServer") -> None:
    with pytest.raises(ResourceExhaustedError):
        await client.translate("fake", "x" * 17 * 2**20)
    assert server.received == []
