"""The front's end of the socket to an engine process."""

import asyncio
import socket

from service.serving.engines.hosts import _Channel
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
