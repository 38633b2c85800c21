"""Servers on one port each, as something that can be loaded: where, which process, and in which protocol."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from demo.server import start_server
from tests.bench.serving.load.processes import ROOT
from tests.bench.serving.load.spec import Item, Protocol

START_SECONDS = 180.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        target: `host:port`.
        pid: the process whose children are the server, too.
        protocol: that it speaks.
    """

    target: str
    pid: int
    protocol: Protocol = "seqserve"


@contextmanager
def seqserve_server(models: Path, *flags: str) -> Iterator[Server]:
    """Our own server."""
    server = start_server(models, "--log-level", "warning", *flags)
    try:
        yield Server(server.target, server.process.pid)
    finally:
        server.stop()


@contextmanager
def torch_server(folder: Path, *, engine: str, batch_size: int, token_count: int | None) -> Iterator[Server]:
    """grpc.aio and PyTorch, one text at a time or with a naive micro-batcher; generations of so many tokens."""
    port = free_port()
    module = "tests.bench.serving.contenders.pytorch.server"
    command = [sys.executable, "-W", "ignore", "-m", module, str(folder), engine]
    command += [str(batch_size), str(token_count or 0), str(port)]
    with running(command, lambda: is_listening(port)) as process:
        yield Server(f"127.0.0.1:{port}", process.pid)


@contextmanager
def ready_server(items: Sequence[Item], seconds: float) -> Iterator[Server]:
    """grpc.aio on our own messages, with every answer at hand: it comes after so many seconds in the mean."""
    port = free_port()
    with NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
        json.dump([asdict(item) for item in items], file)
        file.flush()
        module = "tests.bench.serving.contenders.ready_server"
        command = [sys.executable, "-m", module, str(port), str(seconds), file.name]
        with running(command, lambda: is_listening(port)) as process:
            yield Server(f"127.0.0.1:{port}", process.pid)


@contextmanager
def bare_front(folder: Path) -> Iterator[Server]:
    """One engine of ours behind a front without anything of its own, for the bundle in a folder."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.serving.contenders.bare_front", str(port), str(folder)]
    with running(command, lambda: is_listening(port)) as process:
        yield Server(f"127.0.0.1:{port}", process.pid)


@contextmanager
def running(
    command: Sequence[str],
    is_ready: Callable[[], bool],
    environment: dict[str, str] | None = None,
    folder: Path = ROOT,
) -> Iterator["subprocess.Popen[str]"]:
    """Start a server in a folder, wait until it is ready, and end it afterwards.

    Raises:
        RuntimeError: it ended, or was not ready in time; the message holds the end of its log.
    """
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log: list[str] = []
    reading = threading.Thread(target=lambda: log.extend(process.stdout or ()), daemon=True)
    reading.start()
    try:
        end = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(readable("".join(log)))
            time.sleep(0.1)
        yield process
    finally:
        _end(process)
        reading.join(STOP_SECONDS)


def readable(log: str) -> str:
    """The end of a log without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", log)[-4000:]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
