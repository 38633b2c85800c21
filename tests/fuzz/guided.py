"""Feeds bytes to both APIs, guided by which lines of the service they reach, for a given time.   Needs atheris.

The server runs in this process, in a thread, with an engine on its event loop, so that its coverage can be seen.
Options are libFuzzer's; `make fuzz` gives the time. A finding ends the run, and lies in FOLDER as a file that replays
it when it is given as an argument.
"""

import asyncio
import contextlib
import logging
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import atheris
import grpc
import psutil

with atheris.instrument_imports(include=["service"]):
    from prometheus_client import CollectorRegistry

    from service.metrics import Metrics
    from service.serving.catalog import Catalog
    from service.serving.engines.engine_loop import EngineLimits
    from service.serving.engines.hosts import InlineHost
    from service.serving.engines.pool import EnginePool
    from service.serving.front import Front
    from service.settings import GrpcSettings
    from service.state.keys import Key
    from service.state.tokens import StateTokens
    from service.transport.server import open_server
    from service.transport.standard.health import HealthBoard

from tests.e2e.calls import publish_all
from tests.fuzz.exchange import GOOD_METHODS, GOOD_REQUESTS, METHODS, exchange, good_answers, judge

FOLDER = Path(".build/fuzz")
PATHS = sorted(METHODS)
GOOD_EVERY = 200
WARM_UP_ROUNDS = 50
MOST_GROWTH_BYTES = 256 * 2**20
"""Of this process, in which libFuzzer itself keeps what it has learnt."""


class Lines(logging.Handler):
    """Counts lines of the log, and keeps those that should not be there."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1
        if record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())


@contextlib.asynccontextmanager
async def serving(models: Path) -> AsyncIterator[str]:
    """Serve a repository from this event loop; yields the address."""
    metrics = Metrics(CollectorRegistry())
    limits = EngineLimits(max_batch_size=8, decode_slots=32, padding_budget=0.25)
    pool = EnginePool(lambda: InlineHost(limits), count=1, metrics=metrics, on_change=lambda up: None)
    await pool.start()
    catalog = Catalog(models, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
    await catalog.refresh()
    front = Front(
        catalog, pool, metrics, queue_capacity=512, decode_slots=32,
        max_text_characters=20_000, max_request_characters=512_000,
        tokens=StateTokens([Key("fuzz", bytes(32))], lifetime_seconds=3600),
    )  # fmt: skip
    async with open_server(GrpcSettings(address="127.0.0.1:0"), front, metrics, HealthBoard()) as address:
        yield address


def start_server(models: Path) -> str:
    """Serve from a thread until the process ends; gives the address."""
    addresses: list[str] = []
    ready = threading.Event()

    async def run() -> None:
        async with serving(models) as address:
            addresses.append(address)
            ready.set()
            await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    ready.wait(60)
    return addresses[0]


def write_corpus(folder: Path) -> None:
    """The good requests, for the fuzzer to begin with: the number of a method, then the message."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, request in enumerate(GOOD_REQUESTS):
        method = GOOD_METHODS[request.DESCRIPTOR]
        (folder / f"good-{index}").write_bytes(bytes([PATHS.index(method)]) + request.SerializeToString())


class Target:
    """Sends one input, and looks after the server's health now and then."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        for _ in range(WARM_UP_ROUNDS):
            self._expected = good_answers(channel)
        self._lines = Lines()
        logging.getLogger().addHandler(self._lines)
        self._memory = psutil.Process().memory_info().rss
        self._began = time.monotonic()
        self._sent = 0

    def __call__(self, data: bytes) -> None:
        """One input: the number of a method, then the bytes that are sent to it."""
        if data:
            method = PATHS[data[0] % len(PATHS)]
            judge(method, exchange(self._channel, method, data[1:]))
        assert not self._lines.errors, self._lines.errors
        self._sent += 1
        if self._sent % GOOD_EVERY == 0:
            self._check_health()

    def _check_health(self) -> None:
        assert good_answers(self._channel) == self._expected
        assert self._lines.count <= time.monotonic() - self._began + 2, "more than a line per second"
        growth = psutil.Process().memory_info().rss - self._memory
        assert growth < MOST_GROWTH_BYTES, f"{growth} bytes more are held"


def main() -> None:
    """Fuzz until the time is up; the exit code is libFuzzer's."""
    shutil.rmtree(FOLDER / "models", ignore_errors=True)
    write_corpus(FOLDER / "corpus")
    address = start_server(publish_all(FOLDER / "models"))
    options = [f"-artifact_prefix={FOLDER}/", "-max_len=65536", "-timeout=30", str(FOLDER / "corpus")]
    atheris.Setup([*sys.argv, *options], Target(grpc.insecure_channel(address)))
    atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
