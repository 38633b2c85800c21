"""Frames between front and engine process: whole, split, joined, and a peer that is gone."""

import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine_process import Channel
from service.serving.engines.messages import EVENTS, FRAME_HEADER, Cancel, Command, Failed, Load, Stop, Unload, frame

COMMANDS: list[Command] = [Load(1, "a/b", "cpu"), Cancel(7), Unload(1)]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Channel(theirs)


def test_several_commands_may_come_at_once(ends: tuple[socket.socket, Channel]) -> None:
    front, channel = ends
    front.sendall(b"".join(map(frame, COMMANDS)))
    assert channel.receive(1.0) == COMMANDS


@pytest.mark.parametrize("timeout", [1.0, 0.0, None])
@given(cuts=st.lists(st.integers(0, 60), max_size=5))
def test_a_command_may_come_in_pieces(timeout: float | None, cuts: list[int]) -> None:
    data = b"".join(map(frame, COMMANDS))
    front, theirs = socket.socketpair()
    with front, theirs:
        channel = Channel(theirs)
        received: list[Command] = []
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for begin, end in itertools.pairwise(edges):
            if begin < end:
                front.sendall(data[begin:end])
                received += channel.receive(timeout)
        assert received == COMMANDS


def test_no_command_in_time_is_no_command(ends: tuple[socket.socket, Channel]) -> None:
    assert ends[1].receive(0.0) == []


@pytest.mark.parametrize("timeout", [1.0, 0.0, None])
def test_a_front_that_is_gone_reads_as_stop(ends: tuple[socket.socket, Channel], timeout: float | None) -> None:
    front, channel = ends
    front.close()
    assert channel.receive(timeout) == [Stop()]


def test_events_go_out_as_one_frame(ends: tuple[socket.socket, Channel]) -> None:
    front, channel = ends
    channel.send([Failed(3, "INFERENCE_FAILED", "it broke")])
    data = front.recv(1 << 16)
    (length,) = FRAME_HEADER.unpack(data[: FRAME_HEADER.size])
    assert EVENTS.decode(data[FRAME_HEADER.size :]) == [Failed(3, "INFERENCE_FAILED", "it broke")]
    assert length == len(data) - FRAME_HEADER.size
