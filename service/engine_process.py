"""Entry point of an engine in a process of its own: commands in, events out, over one inherited socket.

Started by `service.serving.engines.hosts.ProcessHost`, never by hand. It ends when told to, or when the front is gone.
"""

import logging
import os
import select
import signal
import socket
import sys

import msgspec

from service.serving.engines.engine_loop import EngineLimits, EngineLoop, run_engine
from service.serving.engines.messages import COMMAND, Command, Event, FrameBuffer, Stop, frame

RECEIVE_BYTES = 1 << 18


class Channel:
    """The engine's end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()  # unlike select, it takes any descriptor number
        self._poll.register(connection, select.POLLIN)
        self._frames = FrameBuffer()
        self._received = memoryview(bytearray(RECEIVE_BYTES))

    def receive(self, timeout: float | None) -> list[Command]:
        """Wait up to `timeout` seconds for commands; a closed socket reads as Stop."""
        # a busy engine asks at every step, so without a poll before, and without a new buffer
        if timeout != 0 and not self._poll.poll(None if timeout is None else timeout * 1000):
            return []
        try:
            count = self._connection.recv_into(self._received, flags=socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        if not count:
            return [Stop()]
        return [COMMAND.decode(body) for body in self._frames.take(self._received[:count])]

    def send(self, events: list[Event]) -> None:
        """Tell the front; waits while it does not read."""
        self._connection.sendall(frame(events))


def main() -> None:
    """Run an engine over the socket of the first argument's number; limits and niceness are the second and third."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the front decides when the engine ends
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s engine %(name)s %(message)s")
    os.nice(int(sys.argv[3]))
    limits = msgspec.json.decode(sys.argv[2], type=EngineLimits)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        channel = Channel(connection)
        try:
            run_engine(EngineLoop(limits), channel.receive, channel.send)
        except (BrokenPipeError, ConnectionResetError):
            logging.getLogger(__name__).warning("front_gone")


if __name__ == "__main__":
    main()
