"""Requests on one stream: order, bounds, failures, deadlines, and how the stream ends."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.errors import ModelNotFoundError, QueueFullError, ServiceError, ShuttingDownError, UndecodableMessageError
from service.transport.open_inference.infer.inferrer import Replies, Started
from service.transport.open_inference.infer.stream import MOST_AT_ONCE, MOST_REPLIES_WAITING, Reply, exchange
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

Request = protocol.ModelInferRequest


class Model:
    """Answers by the request's id: `3 replies`, `1 reply`, `refused`, `broken`; held back until its gate is open."""

    def __init__(self, *, seconds: float = 10.0) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.started: list[str] = []
        self.working = 0
        self._seconds = seconds

    def start(self, request: Request) -> Started:
        name, _, kind = request.id.partition(" ")
        self.started.append(name)
        if kind == "refused":
            raise ModelNotFoundError(f"{name} is refused")
        deadline = time.monotonic() + self._seconds
        return Started(self._replies(name, kind), kind.endswith("replies"), deadline)

    async def _replies(self, name: str, kind: str) -> Replies:
        self.working += 1
        try:
            if name in self.gates:
                await self.gates[name].wait()
            if kind == "fails":
                raise QueueFullError(f"{name} has no place")
            if kind == "broken":
                raise KeyError(name)
            for index in range(int(kind.partition(" ")[0])):
                yield protocol.ModelInferResponse(id=f"{name}{index}")
        finally:
            self.working -= 1

    def hold(self, name: str) -> asyncio.Event:
        self.gates[name] = asyncio.Event()
        return self.gates[name]


async def sent(*ids: str, error: BaseException | None = None, forever: bool = False) -> AsyncIterator[Request]:
    for name in ids:
        yield Request(id=name)
    if error is not None:
        raise error
    if forever:
        await asyncio.Event().wait()


def ask(model: Model, requests: AsyncIterator[Request], stopping: asyncio.Event | None = None, **options: bool) -> Any:
    return exchange(
        requests, model.start, stopping or asyncio.Event(), real_statuses=options.get("real_statuses", False)
    )


async def told(replies: AsyncIterator[Reply]) -> list[str]:
    """Ids of the replies, or the message of a failure."""
    return [reply.error_message or reply.infer_response.id async for reply in replies]


async def eventually(fact: Callable[[], object]) -> None:
    async with asyncio.timeout(2):
        while not fact():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


async def test_a_stream_without_requests_ends() -> None:
    assert await told(ask(Model(), sent())) == []


async def test_requests_with_one_reply_are_worked_on_together_and_told_in_order() -> None:
    model = Model()
    gate = model.hold("a")
    telling = asyncio.create_task(told(ask(model, sent("a 1 reply", "b 1 reply", "c refused", "d 1 reply"))))
    await eventually(lambda: model.started == ["a", "b", "c", "d"])
    await asyncio.sleep(0.01)
    assert not telling.done()
    gate.set()
    assert await telling == ["a0", "b0", "c is refused", "d0"]


async def test_requests_with_many_replies_hold_nobody_up() -> None:
    model = Model()
    gate = model.hold("a")
    replies = ask(model, sent("a 2 replies", "b 1 reply", "c 2 replies"))
    first = [(await anext(replies)).infer_response.id for _ in range(3)]
    assert sorted(first) == ["b0", "c0", "c1"]
    assert first.index("c0") < first.index("c1")
    gate.set()
    assert await told(replies) == ["a0", "a1"]


async def test_a_failure_is_told_with_the_requests_id_and_the_stream_goes_on() -> None:
    replies = ask(Model(), sent("a refused", "b fails", "c 1 reply"))
    found = [reply async for reply in replies]
    assert [reply.error_message for reply in found] == ["a is refused", "b has no place", ""]
    assert [reply.infer_response.id for reply in found] == ["a refused", "b fails", "c0"]
    assert all(reply.infer_response.parameters["triton_final_response"].bool_param for reply in found[:2])


async def test_a_failure_nobody_foresaw_is_told_by_an_id_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        (message,) = await told(ask(Model(), sent("a broken")))
    assert message.startswith("internal error")
    assert message.split()[-1] in caplog.text
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("kind", ["refused", "fails"])
async def test_with_real_statuses_the_first_failure_ends_the_stream(kind: str) -> None:
    model = Model()
    model.hold("c")
    replies = ask(model, sent("a 1 reply", f"b {kind}", "c 1 reply", forever=True), real_statuses=True)
    assert (await anext(replies)).infer_response.id == "a0"
    with pytest.raises((ModelNotFoundError, QueueFullError)):
        await anext(replies)
    assert model.working == 0


async def test_what_is_no_message_ends_the_stream_with_its_error() -> None:
    with pytest.raises(UndecodableMessageError):
        await told(ask(Model(), sent("a 1 reply", error=UndecodableMessageError("junk"))))


async def test_an_error_of_the_connection_ends_the_stream() -> None:
    with pytest.raises(OSError, match="gone"):
        await told(ask(Model(), sent(error=OSError("gone"))))


async def test_no_more_requests_are_read_than_are_answered_at_once() -> None:
    model = Model()
    gate = model.hold("x")
    telling = asyncio.create_task(told(ask(model, sent(*["x 1 reply"] * (MOST_AT_ONCE + 5)))))
    await eventually(lambda: len(model.started) == MOST_AT_ONCE)
    await asyncio.sleep(0.02)
    assert len(model.started) == MOST_AT_ONCE
    gate.set()
    assert len(await telling) == MOST_AT_ONCE + 5


async def test_a_client_that_does_not_read_holds_a_bounded_number_of_replies_and_nothing_past_the_deadline() -> None:
    model = Model(seconds=0.1)
    replies = ask(model, sent("a 100000 replies", "b 100000 replies", forever=True))
    await anext(replies)
    await eventually(lambda: model.working == 2)
    await eventually(lambda: model.working == 0)
    waiting = [(await anext(replies)).error_message for _ in range(MOST_REPLIES_WAITING + 2)]
    assert [message for message in waiting if message] == ["the deadline passed before the whole answer was taken"] * 2
    await replies.aclose()


async def test_a_reply_that_waits_for_its_turn_past_its_deadline_is_a_failure() -> None:
    model = Model(seconds=0.05)
    model.hold("a")
    found = await told(ask(model, sent("a 1 reply", "b 1 reply")))
    assert len(found) == 2
    assert all("deadline" in message for message in found)


async def test_a_client_that_leaves_takes_its_requests_along() -> None:
    model = Model()
    model.hold("b")
    replies = ask(model, sent("a 1 reply", "b 1 reply", "c 3 replies", forever=True))
    await anext(replies)
    await eventually(lambda: model.working)
    await replies.aclose()
    assert model.working == 0


async def test_a_server_that_stops_answers_what_it_has_read_and_says_so() -> None:
    model, stopping = Model(), asyncio.Event()
    gate = model.hold("a")
    replies = ask(model, sent("a 1 reply", forever=True), stopping)
    first = asyncio.create_task(anext(replies))
    await eventually(lambda: model.working)
    stopping.set()
    await asyncio.sleep(0.01)
    assert not first.done()
    gate.set()
    assert (await first).infer_response.id == "a0"
    with pytest.raises(ShuttingDownError):
        await anext(replies)


async def test_an_idle_stream_ends_when_the_server_stops() -> None:
    stopping = asyncio.Event()
    ending = asyncio.create_task(told(ask(Model(), sent(forever=True), stopping)))
    await asyncio.sleep(0.01)
    stopping.set()
    with pytest.raises(ServiceError, match="shutting down"):
        await asyncio.wait_for(ending, 1)
