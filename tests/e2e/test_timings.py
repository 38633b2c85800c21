"""What every reply and every refusal of a real server tells of itself: the model's version, and where the time went."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from demo.server import ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from tests.e2e.calls import (
    CLASSIFIER,
    FORECASTER,
    GENERATOR,
    TAGGER,
    TRANSLATOR,
    Client,
    eventually,
    frozen_engines,
    in_flight,
    refused,
    text,
)

HELD_SECONDS = 0.3


def score(client: Client, *targets: str) -> inference.ScoreTranslationResponse:
    pairs = [inference.TextPair(source="the dog", target=target) for target in targets]
    return client.inference.ScoreTranslation(inference.ScoreTranslationRequest(model=TRANSLATOR, pairs=pairs))


def told(client: Client, **fields: Any) -> tuple[inference.ModelVersion, inference.ServerTimings]:
    """What a whole stream tells: the version in its first message, the timings in its last, and in no other."""
    messages = client.generate(prompt="X:1", seed=1, max_output_token_count=20, **fields)
    assert [message.HasField("model_version") for message in messages] == [True] + [False] * (len(messages) - 1)
    assert [message.HasField("timings") for message in messages] == [False] * (len(messages) - 1) + [True]
    return messages[0].model_version, messages[-1].timings


def of(answer: object) -> tuple[inference.ModelVersion, inference.ServerTimings]:
    return answer.model_version, answer.timings  # type: ignore[attr-defined]


CALLS = [
    pytest.param(CLASSIFIER, lambda client: of(client.classify("a good film", "a bad one")), id="classify"),
    pytest.param(TAGGER, lambda client: of(client.label(text("Mary lives"))), id="label words"),
    pytest.param(GENERATOR, told, id="generate"),
    pytest.param(GENERATOR, lambda client: told(client, sample_count=3), id="generate three"),
    pytest.param(GENERATOR, lambda client: told(client, stop_sequences=["1"]), id="generate up to a stop"),
    pytest.param(TRANSLATOR, lambda client: of(client.translate("the dog", "a")), id="translate"),
    pytest.param(TRANSLATOR, lambda client: of(client.translate(*["the dog"] * 40, beam_size=4)), id="search"),
    pytest.param(TRANSLATOR, lambda client: of(score(client, "il cane", "a")), id="score"),
]
Call = Callable[[Client], tuple[inference.ModelVersion, inference.ServerTimings]]


@pytest.mark.parametrize(("model", "call"), CALLS)
def test_a_reply_tells_its_version_and_times_that_add_up(client: Client, model: str, call: Call) -> None:
    began = time.monotonic()
    version, timings = call(client)
    waited = time.monotonic() - began
    queue, compute, total = seconds(timings)
    assert (version.name, version.version) == (model, 1)
    assert queue > 0
    assert compute > 0
    assert queue + compute <= total + 1e-8  # each is rounded to a nanosecond
    assert total <= waited


@pytest.mark.parametrize(("model", "call"), CALLS)
def test_time_without_an_engine_is_time_in_the_queue(
    server: ServerProcess, client: Client, model: str, call: Call
) -> None:
    with ThreadPoolExecutor() as pool:
        with frozen_engines(server):
            answer = pool.submit(call, client)
            eventually(lambda: in_flight(server, model) > 0)
            time.sleep(HELD_SECONDS)
        _, timings = answer.result(20)
    queue, _, total = seconds(timings)
    assert HELD_SECONDS <= queue <= total


@pytest.mark.parametrize(
    ("model", "call"),
    [
        pytest.param(CLASSIFIER, lambda client: client.classify("good " * 65), id="classify"),
        pytest.param(TAGGER, lambda client: client.label(text("a " * 65)), id="label words"),
        pytest.param(FORECASTER, lambda client: client.label(text("a"), model=FORECASTER), id="label rows"),
        pytest.param(GENERATOR, lambda client: client.generate(max_output_token_count=5000), id="generate"),
        pytest.param(TRANSLATOR, lambda client: client.translate("x" * 65), id="translate"),
        pytest.param(TRANSLATOR, lambda client: score(client, "x" * 50), id="score"),
        pytest.param(CLASSIFIER, lambda client: client.generate(CLASSIFIER), id="another task"),
    ],
)
def test_a_refusal_by_a_version_names_it(client: Client, model: str, call: Callable[[Client], object]) -> None:
    refusal = refused(lambda: call(client))
    assert (refusal.facts["model"], refusal.facts["version"]) == (model, "1")


def seconds(timings: inference.ServerTimings) -> tuple[float, float, float]:
    """Queue, compute and total."""
    parts = timings.queue_duration, timings.compute_duration, timings.total_duration
    queue, compute, total = (part.ToNanoseconds() / 1e9 for part in parts)
    return queue, compute, total
