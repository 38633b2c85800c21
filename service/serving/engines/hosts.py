"""Where an engine lives: in a process of its own, on a thread, or inside the event loop.   One interface for all.

docs/engine-layouts.md has the measurements behind the default.
"""

import asyncio
import contextlib
import logging
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from service.serving.engines.engine_loop import LOADING_POLL_SECONDS, EngineLimits, EngineLoop, run_engine
from service.serving.engines.messages import EVENTS, Command, Event, FrameBuffer, Stop, frame

logger = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0005
"""Interpreter switch interval with an engine thread: the default of 5 ms starves it beside a saturated event loop."""

LOOP_TURNS = 6
"""Turns of the event loop between two of an engine that shares it: a call takes several from its bytes to its work.

With one, calls come to the engine few at a time, and every step has few rows. Who calls alone waits for one.
"""

MOST_WAITING_COMMANDS = 10_000
MOST_WAITING_BYTES = 8_000_000
"""What may be on its way to an engine that does not read, before more is refused."""

STOP_SECONDS = 5.0
"""How long an engine may take to end after it was told to."""

Deliver = Callable[[list[Event]], None]
Lost = Callable[[str], None]


class Host(Protocol):
    """An engine, wherever it lives. Events are delivered on the event loop."""

    async def start(self, deliver: Deliver, lost: Lost) -> None:
        """Start the engine. `lost` is called once, with the reason, if it ends without being told to."""
        ...

    @property
    def congested(self) -> bool:
        """Whether so much is on its way that nothing more should be sent."""
        ...

    def send(self, command: Command) -> None:
        """Hand a command over; never waits. What is sent to an engine that is gone is lost with it."""
        ...

    async def close(self) -> None:
        """Stop the engine and free what it holds."""
        ...


class InlineHost:
    """Runs the engine's turns on the event loop itself: for steps well under a millisecond, without another process."""

    def __init__(self, limits: EngineLimits) -> None:
        self._engine = EngineLoop(limits)
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self, deliver: Deliver, lost: Lost) -> None:
        """Start taking turns."""
        self._task = asyncio.create_task(self._run(deliver, lost), name="engine")

    @property
    def congested(self) -> bool:
        """Whether too many commands wait."""
        return self._commands.qsize() > MOST_WAITING_COMMANDS

    def send(self, command: Command) -> None:
        """Hand a command over."""
        self._commands.put_nowait(command)

    async def close(self) -> None:
        """Stop taking turns."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, deliver: Deliver, lost: Lost) -> None:
        try:
            while True:
                events: list[Event] = []
                if not (self._engine.busy or self._engine.loading):
                    events += self._engine.handle(await self._commands.get())
                while not self._commands.empty():
                    events += self._engine.handle(self._commands.get_nowait())
                deliver(events + self._engine.turn())
                for _ in range(LOOP_TURNS if self._engine.work_count > 1 else 1):
                    await asyncio.sleep(0)
                if self._engine.loading and not self._engine.busy:
                    await asyncio.sleep(LOADING_POLL_SECONDS)
        except Exception as error:
            logger.exception("engine_lost layout=inline")
            lost(f"{type(error).__name__}: {error}")


class ThreadHost:
    """Runs the engine on a thread: model runs release the interpreter lock, the rest competes for it."""

    def __init__(self, limits: EngineLimits) -> None:
        self._engine = EngineLoop(limits)
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def start(self, deliver: Deliver, lost: Lost) -> None:
        """Start the thread and shorten the interpreter's switch interval."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        loop = asyncio.get_running_loop()

        def tell(function: Callable[..., None], *arguments: object) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(function, *arguments)

        def run() -> None:
            try:
                run_engine(self._engine, self._receive, lambda events: tell(deliver, events))
            except Exception as error:
                logger.exception("engine_lost layout=thread")
                tell(lost, f"{type(error).__name__}: {error}")

        self._thread = threading.Thread(target=run, name="engine", daemon=True)
        self._thread.start()

    @property
    def congested(self) -> bool:
        """Whether too many commands wait."""
        return self._commands.qsize() > MOST_WAITING_COMMANDS

    def send(self, command: Command) -> None:
        """Hand a command over."""
        self._commands.put(command)

    async def close(self) -> None:
        """Stop the thread after the turn it is in."""
        self.send(Stop())
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _receive(self, timeout: float | None) -> list[Command]:
        commands: list[Command] = []
        with contextlib.suppress(queue.Empty):
            commands.append(self._commands.get(block=timeout != 0, timeout=timeout))
            while True:
                commands.append(self._commands.get_nowait())
        return commands


class ProcessHost:
    """Runs the engine in a process of its own: it never competes with the front for the interpreter lock.

    Args:
        limits: how much it does at once.
        niceness: by how much it gives way to the front, 0 to 19.
    """

    def __init__(self, limits: EngineLimits, niceness: int = 0) -> None:
        self._limits = limits
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: _Channel | None = None

    async def start(self, deliver: Deliver, lost: Lost) -> None:
        """Start the process. A dead process is told by the end of its stream."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            self._process = _start_process(theirs.fileno(), self._limits, self._niceness)
            undo.pop_all()
        self._channel = channel = _Channel(deliver, lost)
        channel.transport, _ = await asyncio.get_running_loop().create_connection(lambda: channel, sock=ours)

    @property
    def congested(self) -> bool:
        """Whether the engine leaves too much unread."""
        return self._channel is not None and self._channel.unread_bytes > MOST_WAITING_BYTES

    def send(self, command: Command) -> None:
        """Hand a command over."""
        if self._channel is not None:
            self._channel.send(command)

    async def close(self) -> None:
        """Stop the process; kill it if it does not end in time."""
        if self._process is None or self._channel is None:
            return
        self._channel.closing = True
        self.send(Stop())
        try:
            await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await self._channel.closed


class _Channel(asyncio.Protocol):
    """The front's end of the socket to an engine process; what comes is delivered without a task between.

    Args:
        deliver: takes what the engine tells.
        lost: is told why the stream ended, unless it is `closing`.
    """

    def __init__(self, deliver: Deliver, lost: Lost) -> None:
        self._deliver = deliver
        self._lost = lost
        self._frames = FrameBuffer()
        self.transport: asyncio.Transport | None = None
        self._end = "its process ended"
        self.closing = False
        self.closed = asyncio.get_running_loop().create_future()

    @property
    def unread_bytes(self) -> int:
        """How much of what was sent is still here."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def send(self, command: Command) -> None:
        """Write a command, unless the stream has ended."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(frame(command))

    def data_received(self, data: bytes) -> None:
        """Deliver the events of every message that is whole."""
        try:
            for body in self._frames.take(data):
                self._deliver(EVENTS.decode(body))
        except Exception as error:
            logger.exception("engine_unreadable")
            self._end = f"what it said could not be read: {type(error).__name__}"
            if self.transport is not None:
                self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell that the engine is gone."""
        self.closed.set_result(None)
        if not self.closing:
            self._lost(self._end)


def _start_process(descriptor: int, limits: EngineLimits, niceness: int) -> "subprocess.Popen[bytes]":
    """Start an engine on an inherited socket. Not by the event loop: its fork would run gRPC's handlers."""
    arguments = str(descriptor), msgspec.json.encode(limits).decode(), str(niceness)
    command = (sys.executable, "-m", "service.engine_process", *arguments)
    return subprocess.Popen(command, pass_fds=[descriptor])  # noqa: S603 - our own module
