"""What the front does around the engines: places, tokens, deadlines, and what it tells the metrics."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.errors import (
    DeadlineExceededError,
    EngineLostError,
    InferenceFailedError,
    QueueFullError,
    TextTooLongError,
)
from service.serving.api import LabelResult
from service.serving.engines.hosts import InlineHost
from service.serving.engines.messages import ClassifyWork, Command, DecodeWork
from service.serving.front import Front
from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.sequences import FeatureRows, InputSequence, Words
from service.serving.tasks.reading import INLINE_CHARACTERS
from service.serving.truncation import Truncation
from service.text.tokenizer import Tokenizer
from tests.bundles import publish_tiny
from tests.unit.serving.running import running, soon

CLASSIFIER, GENERATOR, TRANSLATOR = "tiny-classification", "tiny-generation", "tiny-translation"
TAGGER, FORECASTER = "tiny-labelling", "tiny-labelling-features"
LONG = "a" * (INLINE_CHARACTERS + 1)


class StuckHost(InlineHost):
    """An engine that opens models, and does no work."""

    def send(self, command: Command) -> None:
        if not isinstance(command, ClassifyWork | DecodeWork):
            super().send(command)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for task in ("classification", "labelling", "labelling-features", "generation", "translation"):
        publish_tiny(folder, task)
    return folder


async def generate(front: Front, deadline: float) -> None:
    async for _ in front.generate(GENERATOR, "A", GenerateOptions(5), deadline=deadline):
        pass


async def label(front: Front, *sequences: InputSequence, model: str = TAGGER, seconds: float = 10.0) -> LabelResult:
    return await front.label(model, sequences, top_label_count=None, deadline=soon(seconds))


CALLS: dict[str, Callable[[Front, float], Coroutine[Any, Any, object]]] = {
    CLASSIFIER: lambda front, deadline: front.classify(CLASSIFIER, ["good"], deadline=deadline),
    TAGGER: lambda front, deadline: front.label(TAGGER, ["Mary"], top_label_count=None, deadline=deadline),
    GENERATOR: generate,
    TRANSLATOR: lambda front, deadline: front.translate(TRANSLATOR, ["dog"], TranslateOptions(5), deadline=deadline),
}
EVERY_TASK = pytest.mark.parametrize("model", CALLS)


# Long texts


async def test_long_texts_are_split_on_a_thread_and_the_loop_goes_on(repository: Path) -> None:
    async with running(repository) as parts, parts.gated(CLASSIFIER) as (_, tokenizer):
        call = asyncio.create_task(parts.front.classify(CLASSIFIER, [LONG, "good"], deadline=soon()))
        await asyncio.sleep(0.05)
        short = await parts.front.classify(CLASSIFIER, ["good"], deadline=soon())
        assert not call.done()
        tokenizer.gate.set()
        found = await call
        assert found.classifications[1].labels == short.classifications[0].labels
        on_loop = [(text, thread is threading.main_thread()) for text, thread in tokenizer.split]
        assert on_loop == [(LONG, False), ("good", True), ("good", False)]


async def test_a_deadline_is_kept_while_texts_are_split_and_the_place_is_free(repository: Path) -> None:
    async with running(repository) as parts, parts.gated(CLASSIFIER) as (ready, _):
        call = asyncio.create_task(parts.front.classify(CLASSIFIER, [LONG], deadline=soon(0.1)))
        await asyncio.sleep(0.03)
        assert ready.outstanding == 1
        with pytest.raises(DeadlineExceededError):
            await call
        assert ready.outstanding == 0
        assert parts.rejected(CLASSIFIER, "DEADLINE_EXCEEDED") == 1


async def test_a_full_queue_refuses_before_texts_are_split(repository: Path) -> None:
    async with running(repository) as parts, parts.gated(CLASSIFIER) as (_, tokenizer):
        with pytest.raises(QueueFullError):
            await parts.front.classify(CLASSIFIER, [LONG] * 65, deadline=soon())
        assert not tokenizer.split


@pytest.mark.parametrize(
    ("truncation", "part"),
    [
        pytest.param(Truncation.KEEP_BEGINNING, "bad " * 60 + "good " * 4, id="the beginning"),
        pytest.param(Truncation.KEEP_END, "bad " * 56 + "good " * 8, id="the end"),
    ],
)
async def test_a_text_that_is_truncated_is_classified_as_its_part_and_the_answer_says_so(
    repository: Path, truncation: Truncation, part: str
) -> None:
    text = "bad " * 60 + "good " * 8
    async with running(repository) as parts:
        with pytest.raises(TextTooLongError):
            await parts.front.classify(CLASSIFIER, [text], deadline=soon())
        answer = await parts.front.classify(CLASSIFIER, [text, part], deadline=soon(), truncation=truncation)
        cut, whole = answer.classifications
        assert (cut.labels, cut.token_count, cut.truncated) == (whole.labels, 64, True)
        assert (whole.token_count, whole.truncated) == (64, False)


async def test_labels_of_a_sequence_that_is_truncated_are_those_of_its_words(repository: Path) -> None:
    words = tuple(["Mary"] * 3 + ["Rome"] * 64)
    async with running(repository) as parts:
        answer = await parts.front.label(
            TAGGER, [Words(words), Words(words[3:])], top_label_count=None, deadline=soon(),
            truncation=Truncation.KEEP_END,
        )  # fmt: skip
        cut, whole = answer.sequences
        assert (cut.steps, cut.truncated, whole.truncated) == (whole.steps, True, False)


async def test_texts_are_refused_that_are_too_long_together(repository: Path) -> None:
    async with running(repository) as parts:
        with pytest.raises(TextTooLongError) as refused:
            await parts.front.classify(CLASSIFIER, ["a" * 10_000, "b" * 10_000, "c" * 10_001], deadline=soon())
        assert refused.value.field == "texts[2]"
        with pytest.raises(TextTooLongError) as refused:
            await parts.front.classify(CLASSIFIER, ["a" * 8_000] * 4, deadline=soon())
        assert (refused.value.field, refused.value.facts["limit"]) == ("texts", "30000")
        assert parts.rejected(CLASSIFIER, "TEXT_TOO_LONG") == 2


async def test_sequences_are_refused_that_are_too_long_alone_or_together(repository: Path) -> None:
    async with running(repository) as parts:
        for sequence, field in (("a" * 10_001, "text"), (Words(("a" * 5_001,) * 2), "words")):
            with pytest.raises(TextTooLongError) as refused:
                await label(parts.front, "Mary", sequence)
            assert refused.value.field == f"sequences[1].{field}"
            assert refused.value.facts["limit"] == "10000"
        with pytest.raises(TextTooLongError) as refused:
            await label(parts.front, *["a" * 8_000] * 4)
        assert (refused.value.field, refused.value.facts["limit"]) == ("sequences", "30000")


class SlowTokenizer(Tokenizer):
    """Splits texts into words slowly, and notes on which threads."""

    def __init__(self, other: Tokenizer) -> None:
        super().__init__(other._backend)
        self.threads: list[threading.Thread] = []

    def word_spans(self, text: str) -> list[tuple[int, int]]:
        self.threads.append(threading.current_thread())
        time.sleep(0.2 if len(text) > INLINE_CHARACTERS else 0)
        return super().word_spans(text)


async def test_a_long_sequence_is_read_on_a_thread_until_its_deadline(repository: Path) -> None:
    async with running(repository) as parts:
        with parts.catalog.lend(TAGGER) as ready:
            tokenizer = SlowTokenizer(ready.tokenizers[0])
            ready.tokenizers = (tokenizer,)
        await label(parts.front, "Mary")
        with pytest.raises(DeadlineExceededError):
            await label(parts.front, LONG, seconds=0.05)
        assert ready.outstanding == 0
        assert [thread is threading.main_thread() for thread in tokenizer.threads] == [True, False]
        assert parts.rejected(TAGGER, "DEADLINE_EXCEEDED") == 1


async def test_many_readings_are_answered_as_few_are(repository: Path) -> None:
    day = {"temperature": 12.0, "humidity": 80.0, "wind": 3.0}
    async with running(repository) as parts:
        few = await label(parts.front, FeatureRows((day,) * 60), model=FORECASTER)
        many = await label(parts.front, *[FeatureRows((day,) * 60)] * 60, model=FORECASTER)  # 10,800 readings
        assert many.sequences == few.sequences * 60


# Metrics


@EVERY_TASK
async def test_what_expires_in_the_queue_has_its_time_there_and_its_reason_counted(
    repository: Path, model: str
) -> None:
    async with running(repository, StuckHost) as parts:
        with pytest.raises(DeadlineExceededError):
            await CALLS[model](parts.front, soon(0.1))
        assert parts.sample("queue_seconds_count", model) == 1
        waited = parts.sample("queue_seconds_sum", model)
        assert waited is not None
        assert 0.09 < waited < 1
        assert parts.rejected(model, "DEADLINE_EXCEEDED") == 1
        assert parts.sample("texts_in_flight", model) == 0


@EVERY_TASK
async def test_what_a_lost_engine_held_has_its_time_and_its_reason_counted(repository: Path, model: str) -> None:
    async with running(repository, StuckHost) as parts:
        call = asyncio.create_task(CALLS[model](parts.front, soon()))
        await asyncio.sleep(0.05)
        pool = parts.front._pool
        pool._lose(pool._engines[0], "a test")
        with pytest.raises(EngineLostError):
            await call
        assert parts.sample("queue_seconds_count", model) == 1
        assert parts.rejected(model, "ENGINE_LOST") == 1


@EVERY_TASK
async def test_what_is_answered_is_counted_once_and_as_no_refusal(repository: Path, model: str) -> None:
    async with running(repository) as parts:
        await CALLS[model](parts.front, soon())
        assert parts.sample("queue_seconds_count", model) == 1
        refusals = [
            one.value
            for family in parts.registry.collect()
            if family.name == "seqserve_requests_rejected"
            for one in family.samples
        ]
        assert refusals
        assert not any(refusals)


async def test_what_a_client_leaves_before_the_deadline_is_no_refusal(repository: Path) -> None:
    async with running(repository, StuckHost) as parts:
        call = asyncio.create_task(parts.front.classify(CLASSIFIER, ["good"], deadline=soon()))
        await asyncio.sleep(0.05)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        assert parts.rejected(CLASSIFIER, "DEADLINE_EXCEEDED") == 0
        assert parts.sample("queue_seconds_count", CLASSIFIER) == 1


async def test_a_stream_that_is_closed_at_its_deadline_counts_as_expired(repository: Path) -> None:
    async with running(repository) as parts:
        stream = parts.front.generate(GENERATOR, "A", GenerateOptions(200), deadline=soon(0.2))
        await anext(stream)
        await asyncio.sleep(0.2)  # the reader is slow
        await stream.aclose()  # type: ignore[attr-defined]
        assert parts.rejected(GENERATOR, "DEADLINE_EXCEEDED") == 1
        assert parts.sample("texts_in_flight", GENERATOR) == 0


@pytest.mark.parametrize("model", [GENERATOR, TRANSLATOR])
async def test_the_time_to_the_first_token_is_observed_once_per_request(repository: Path, model: str) -> None:
    async with running(repository) as parts:
        begun = time.monotonic()
        await CALLS[model](parts.front, soon())
        took = time.monotonic() - begun
        assert parts.sample("time_to_first_token_seconds_count", model) == 1
        first = parts.sample("time_to_first_token_seconds_sum", model)
        assert first is not None
        assert 0 < first < took


async def test_a_tokenizer_that_breaks_costs_its_own_request_alone(repository: Path) -> None:
    class Broken(Tokenizer):
        def encode(self, text: str) -> list[int]:
            raise InferenceFailedError("the tokenizer broke on a text")

    async with running(repository) as parts:
        with parts.catalog.lend(CLASSIFIER) as ready:
            sound, ready.tokenizers = ready.tokenizers, (Broken(ready.tokenizers[0]._backend),)
        with pytest.raises(InferenceFailedError):
            await parts.front.classify(CLASSIFIER, ["good"], deadline=soon())
        assert ready.outstanding == 0
        ready.tokenizers = sound
        await parts.front.classify(CLASSIFIER, ["good"], deadline=soon())
