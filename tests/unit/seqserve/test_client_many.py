"""Runs of many inputs, by both clients: well-sized requests, several at a time; answers in order; refusals alone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from seqserve import (
    PAUSE,
    Answer,
    AsyncClient,
    Client,
    DeadlineExceededError,
    FinishReason,
    InvalidArgumentError,
    ModelVersion,
    NotFoundError,
    Pause,
)

if TYPE_CHECKING:
    from tests.unit.seqserve.fake_server import FakeServer

Many = Callable[..., Awaitable[list[Answer[Any, Any]]]]


@pytest.fixture(params=["Client", "AsyncClient"])
def many(request: pytest.FixtureRequest, sync_client: Client, async_client: AsyncClient) -> Many:
    """All answers of a run by either client: `many("translate_many", "fake", texts)`."""

    async def by_async(method: str, *arguments: Any, **options: Any) -> list[Answer[Any, Any]]:
        return [answer async for answer in getattr(async_client, method)(*arguments, **options)]

    async def by_sync(method: str, *arguments: Any, **options: Any) -> list[Answer[Any, Any]]:
        return await asyncio.to_thread(lambda: list(getattr(sync_client, method)(*arguments, **options)))

    return by_async if request.param == "AsyncClient" else by_sync


def sizes(server: "FakeServer", field: str = "texts") -> list[int]:
    return sorted(len(getattr(received.request, field)) for received in server.received)


async def test_answers_come_in_order_with_their_inputs(many: Many, server: "FakeServer") -> None:
    answers = await many("translate_many", "fake", (f"{number}" for number in range(200)))
    assert [answer.index for answer in answers] == list(range(200))
    assert [answer.value.text for answer in answers] == [str(number)[::-1] for number in range(200)]
    assert answers[123].input == "123"
    assert (answers[0].model_version, answers[0].error) == (ModelVersion("fake", 3), None)
    assert answers[0].timings is not None
    assert sizes(server) == [8, 64, 64, 64]


async def test_long_inputs_are_fewer_in_a_request(many: Many, server: "FakeServer") -> None:
    answers = await many("translate_many", "fake", ["é" * 10_000] * 10 + ["x" * 100_000])
    assert len(answers) == 11
    assert sizes(server) == [1, 1, 3, 3, 3]


async def test_every_task_takes_many(many: Many, server: "FakeServer") -> None:
    texts = [f"word {number}" for number in range(70)]
    labels = await many("classify_many", "fake", texts, top_label_count=1)
    assert {answer.value.best.label for answer in labels} == {"good"}
    rows = [[{"wind": 1.0}, {"wind": None}]] * 70
    assert {len(answer.value.steps) for answer in await many("label_many", "fake", rows, top_label_count=1)} == {2}
    scores = await many("score_translation_many", "fake", [(text, text) for text in texts])
    assert {answer.value.log_probability for answer in scores} == {-0.75}
    assert [len(received.request.ListFields()) for received in server.received] == [3, 3, 3, 3, 2, 2]


async def test_many_prompts_are_continued_in_order(many: Many, server: "FakeServer") -> None:
    answers = await many("generate_many", "fake", [f"one {number}" for number in range(40)], sample_count=2)
    assert [answer.value[1].text for answer in answers] == [f"one 1 {number} 1 " for number in range(40)]
    assert (answers[0].seed, answers[0].value[0].finish_reason) == (77, FinishReason.STOP)
    assert {received.request.sample_count for received in server.received} == {2}


async def test_options_and_a_drawn_seed_are_told(many: Many, server: "FakeServer") -> None:
    answers = await many("translate_many", "fake", ["ab"], temperature=0.5, seed=8, timeout_s=5)
    assert (answers[0].seed, server.received[0].request.temperature) == (8, 0.5)
    assert (server.received[0].seconds_left or 0) < 6


async def test_nothing_is_asked_for_no_inputs(many: Many, server: "FakeServer") -> None:
    assert await many("classify_many", "fake", []) == []
    assert server.received == []


@pytest.mark.parametrize(
    ("method", "make"),
    [
        pytest.param("classify_many", str, id="classify"),
        pytest.param("label_many", str, id="label"),
        pytest.param("translate_many", str, id="translate"),
        pytest.param("score_translation_many", lambda text: (text, "x"), id="score"),
        pytest.param("generate_many", str, id="generate"),
    ],
)
async def test_a_bad_input_fails_alone_under_its_index(method: str, make: Callable[[str], Any], many: Many) -> None:
    texts = [f"{'bad' if number in (3, 71, 72) else 'good'} {number}" for number in range(80)]
    answers = await many(method, "fake", map(make, texts))
    assert [answer.index for answer in answers] == list(range(80))
    assert [answer.index for answer in answers if answer.error is not None] == [3, 71, 72]
    with pytest.raises(InvalidArgumentError) as caught:
        _ = answers[71].value
    field = {"label_many": "sequences[71]", "score_translation_many": "pairs[71]", "generate_many": "prompt"}
    assert caught.value.field_violations[0].field == field.get(method, "texts[71]")
    assert str(caught.value) == f"INVALID_ARGUMENT: {field.get(method, 'texts[71]')} is bad"
    assert (answers[71].model_version, caught.value.facts) == (None, {"field": "x"})


async def test_what_is_too_large_together_is_halved(many: Many, server: "FakeServer") -> None:
    server.most_inputs = 20
    answers = await many("translate_many", "fake", [str(number) for number in range(64)])
    assert [answer.value.text for answer in answers] == [str(number)[::-1] for number in range(64)]
    assert sizes(server) == [16, 16, 16, 16, 32, 32, 64]


async def test_what_is_too_large_alone_fails_alone(many: Many, server: "FakeServer") -> None:
    answers = await many("translate_many", "fake", ["ok", "x" * 17 * 2**20, "ok"])
    assert [answer.error is None for answer in answers] == [True, False, True]


async def test_what_concerns_all_inputs_is_raised_and_tells_which_were_lost(
    many: Many, refuse: Callable[..., None]
) -> None:
    for _ in range(4):
        refuse(grpc.StatusCode.NOT_FOUND, "no model x", reason="MODEL_NOT_FOUND")
    with pytest.raises(NotFoundError, match="no model x") as caught:
        await many("translate_many", "x", ["text"] * 100, max_in_flight=1)
    assert caught.value.__notes__ == ["inputs 0 to 63 were not answered, nor were those after"]


async def test_a_full_queue_is_asked_until_there_is_room(many: Many, refuse: Callable[..., None]) -> None:
    for _ in range(9):
        refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_seconds=0.01)
    assert [answer.value.text for answer in await many("translate_many", "fake", ["ab"])] == ["ba"]


async def test_a_full_queue_is_asked_for_no_longer_than_the_deadline(many: Many, refuse: Callable[..., None]) -> None:
    for _ in range(99):
        refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_seconds=0.05)
    with pytest.raises(Exception, match="QUEUE_FULL"):
        await many("generate_many", "fake", ["ab"], timeout_s=0.3)


async def test_no_more_requests_are_in_flight_than_allowed(many: Many, server: "FakeServer") -> None:
    server.delay_seconds = 0.2
    await many("translate_many", "fake", ["x"] * 64 * 6, max_in_flight=3)
    assert (len(server.received), server.most_delayed) == (6, 3)


@pytest.mark.parametrize("max_in_flight", [0, -1])
async def test_a_run_without_requests_is_refused(max_in_flight: int, many: Many) -> None:
    with pytest.raises(ValueError, match="max_in_flight"):
        await many("classify_many", "fake", ["x"], max_in_flight=max_in_flight)


@pytest.mark.parametrize(
    ("method", "inputs", "words"),
    [
        pytest.param("classify_many", ["x", 5], r"texts\[1\] is int", id="number"),
        pytest.param("translate_many", ["x", None], r"texts\[1\] is NoneType", id="None"),
        pytest.param("generate_many", ["\udcff"], r"prompt\[0\] is not UTF-8", id="no UTF-8"),
        pytest.param("label_many", ["x", [{"wind": 1.0}, "y"]], r"sequences\[1\] must be", id="mixed sequence"),
        pytest.param("score_translation_many", [("x", "y"), ("x", 3)], r"pairs\[1\]\.target is int", id="pair"),
    ],
)
async def test_what_is_no_input_is_named_by_its_index(method: str, inputs: list[Any], words: str, many: Many) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        await many(method, "fake", inputs)


async def test_inputs_are_read_no_further_than_requests_are_sent(sync_client: Client) -> None:
    numbers = count()

    def read() -> list[Answer[str, Any]]:
        return list(islice(sync_client.translate_many("fake", map(str, numbers), max_in_flight=2), 3))

    assert len(await asyncio.to_thread(read)) == 3
    assert next(numbers) <= 5 * 64 + 1


async def test_a_pause_has_everything_before_it_answered(sync_client: Client) -> None:
    answered: list[int] = []
    known_at_pause: list[int] = []

    def inputs() -> Iterator[str | Pause]:
        for word in ("a", "b", "c"):
            yield word
            yield PAUSE
            known_at_pause.append(len(answered))

    def read() -> None:
        for answer in sync_client.translate_many("fake", inputs()):
            answered.append(answer.index)  # noqa: PERF401 - the inputs look at it meanwhile

    await asyncio.to_thread(read)
    assert (answered, known_at_pause) == ([0, 1, 2], [1, 2, 3])


async def test_asyncio_takes_asynchronous_inputs_with_pauses(async_client: AsyncClient) -> None:
    answered: list[str] = []

    async def inputs() -> AsyncIterator[str | Pause]:
        yield "ab"
        yield PAUSE
        yield answered[-1] + "!"

    async for answer in async_client.translate_many("fake", inputs()):
        answered.append(answer.value.text)  # noqa: PERF401 - the inputs look at it meanwhile
    assert answered == ["ba", "!ab"]


ONE_FAST_REQUEST_AND_SLOW_ONES = ["fast"] * 64 + ["slow"] * 64 * 3
"""The fast one is answered when two slow ones have begun."""


async def every_slow_call_was_left(server: "FakeServer") -> None:
    async with asyncio.timeout(5):
        while server.slow_begun < 2 or server.slow_left < server.slow_begun:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_leaving_a_run_cancels_what_is_in_flight(sync_client: Client, server: "FakeServer") -> None:
    def read_one() -> None:
        for answer in sync_client.translate_many("fake", ONE_FAST_REQUEST_AND_SLOW_ONES, max_in_flight=3):
            assert answer.index == 0
            break

    await asyncio.to_thread(read_one)
    await every_slow_call_was_left(server)


async def test_leaving_a_run_cancels_what_is_in_flight_in_asyncio(
    async_client: AsyncClient, server: "FakeServer"
) -> None:
    async for answer in async_client.translate_many("fake", ONE_FAST_REQUEST_AND_SLOW_ONES, max_in_flight=3):
        assert answer.index == 0
        break
    await every_slow_call_was_left(server)


async def test_a_run_that_is_left_has_no_threads(sync_client: Client) -> None:
    def read() -> None:
        run = sync_client.translate_many("fake", ["x"] * 1000)
        next(run)
        run.close()  # type: ignore[attr-defined]

    await asyncio.to_thread(read)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("seqserve")] == []


async def test_a_passed_deadline_ends_a_run(many: Many, server: "FakeServer") -> None:
    server.delay_seconds = 5
    with pytest.raises(DeadlineExceededError):
        await many("classify_many", "fake", ["x"] * 100, timeout_s=0.2)
