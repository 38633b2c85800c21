"""The front's end of the socket to an engine process, and how an engine shares the event loop."""

import asyncio
import socket

import pytest

from service.serving.engines.engine_loop import EngineLimits, EngineLoop
from service.serving.engines.hosts import LOOP_TURNS, InlineHost, _Channel
from service.serving.engines.messages import FRAME_HEADER, Event, Failed, frame


async def test_a_message_that_comes_in_pieces_is_delivered_whole() -> None:
    told: list[list[Event]] = []
    lost: list[str] = []
    ours, theirs = socket.socketpair()
    channel = _Channel(told.append, lost.append)
    channel.transport, _ = await asyncio.get_running_loop().create_connection(lambda: channel, sock=ours)
    events: list[Event] = [Failed(7, "INFERENCE_FAILED", "why")]
    with theirs:
        for piece in (message := frame(events))[:3], message[3:]:
            assert told == []
            theirs.sendall(piece)
            await asyncio.sleep(0.01)
    await channel.closed
    assert told == [events]
    assert lost == ["its process ended"]


async def test_an_engine_that_says_what_cannot_be_read_is_lost_with_the_reason() -> None:
    told: list[list[Event]] = []
    lost: list[str] = []
    ours, theirs = socket.socketpair()
    channel = _Channel(told.append, lost.append)
    channel.transport, _ = await asyncio.get_running_loop().create_connection(lambda: channel, sock=ours)
    with theirs:
        theirs.sendall(FRAME_HEADER.pack(4) + b"\xc1\xc1\xc1\xc1")  # no MessagePack begins so
        await channel.closed
        assert theirs.recv(1) == b""
    assert told == []
    assert lost == ["what it said could not be read: DecodeError"]


class BusyEngine(EngineLoop):
    """Always has so many works, and does nothing for them."""

    busy = True
    work_count = 0


@pytest.mark.parametrize(("work_count", "turns"), [(1, 1), (2, LOOP_TURNS)])
async def test_the_loop_turns_between_two_steps_as_often_as_others_may_join(work_count: int, turns: int) -> None:
    limits = EngineLimits(max_batch_size=1, decode_slots=1, padding_budget=0.0)
    host, lost = InlineHost(limits), list[str]()
    host._engine = BusyEngine(limits)
    host._engine.work_count = work_count
    steps = 0

    def count(_: list[Event]) -> None:
        nonlocal steps
        steps += 1

    await host.start(count, lost.append)
    for _ in range(10 * turns):
        await asyncio.sleep(0)
    await host.close()
    assert steps == 10
    assert lost == []
