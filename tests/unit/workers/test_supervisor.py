"""Workers that fail in every way a process can: each is replaced, and nobody waits for it without a bound."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.errors import SettingsError
from service.metrics import SupervisorMetrics
from service.workers import supervisor as supervisor_module
from service.workers.supervisor import Supervisor
from tests.trained import ROOT

PRELUDE = f"""
import socket, sys, time
sys.path.insert(0, {str(ROOT)!r})
from service.workers.messages import *
connection = socket.socket(fileno=int(sys.argv[2]))
number = int(sys.argv[1])
def tell(news): connection.sendall(framed(news))
def listen():
    header = connection.recv(4)
    return ORDER.decode(connection.recv(int.from_bytes(header, "big"))) if header else None
"""
GOOD = """
tell(Status(True, True))
while (order := listen()) is not None and not isinstance(order, Drain):
    tell(Page(order.number, [Family("up", "Up.", "gauge", [Sample("up", {}, float(number))])]))
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(supervisor_module, "COLLECT_SECONDS", 1.0)


class Running:
    """A supervisor at work, and what it said."""

    def __init__(
        self, programs: Callable[[int, int], str], count: int, hung_seconds: float = 30.0, broken_starts: int = 0
    ) -> None:
        self.started = [0] * count
        self.announced = 0
        self.registry = CollectorRegistry()
        self._programs = programs
        self._broken_starts = broken_starts
        self.supervisor = Supervisor(
            self._command, count=count, metrics=SupervisorMetrics(self.registry, count), hung_seconds=hung_seconds
        )

    def _command(self, number: int, descriptor: int) -> list[str]:
        self.started[number] += 1
        if self.started[number] <= self._broken_starts:
            return ["/no/such/program"]
        program = PRELUDE + self._programs(number, self.started[number])
        return [sys.executable, "-c", program, str(number), str(descriptor)]

    def announce(self) -> None:
        self.announced += 1

    def restarts(self, number: int) -> float | None:
        return self.registry.get_sample_value("seqserve_worker_restarts_total", {"worker": str(number)})


@asynccontextmanager
async def running(
    programs: Callable[[int, int], str], *, count: int = 2, hung_seconds: float = 30.0, broken_starts: int = 0
) -> AsyncIterator[Running]:
    """Supervise workers. `programs` gives what a worker does, from its number and how often it was started."""
    parts = Running(programs, count, hung_seconds, broken_starts)
    task = asyncio.create_task(parts.supervisor.run(parts.announce))
    try:
        yield parts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 20 s")


async def test_it_announces_once_when_every_worker_listens_and_asks_each_for_its_page() -> None:
    async with running(lambda number, start: GOOD) as parts:
        assert not parts.supervisor.ready
        await until(lambda: parts.announced)
        assert parts.supervisor.ready
        pages = await parts.supervisor.collect()
        assert [(number, families[0].samples[0].value) for number, families in pages] == [(0, 0.0), (1, 1.0)]
        assert parts.announced == 1


async def test_one_worker_that_is_not_up_yet_keeps_the_server_from_being_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"import pathlib\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
    async with running(lambda number, start: (wait if number else "") + GOOD) as parts:
        ready = ("seqserve_worker_ready", {"worker": "0"})
        await until(lambda: parts.registry.get_sample_value(*ready) == 1)
        assert not parts.supervisor.ready
        assert not parts.announced
        gate.touch()
        await until(lambda: parts.supervisor.ready)


async def test_a_worker_that_dies_again_and_again_is_started_again_and_counted() -> None:
    async with running(lambda number, start: GOOD if number or start > 3 else "sys.exit(7)") as parts:
        await until(lambda: parts.announced)
        assert (parts.restarts(0), parts.restarts(1)) == (3, 0)
        assert parts.started == [4, 1]


async def test_the_wait_before_a_restart_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "RESTART_SECONDS", 0.1)
    began = time.monotonic()
    async with running(lambda number, start: GOOD if start > 3 else "sys.exit(7)", count=1) as parts:
        await until(lambda: parts.announced)
    assert time.monotonic() - began > 0.1 + 0.2 + 0.4


async def test_a_worker_that_says_nothing_for_too_long_is_killed_and_replaced() -> None:
    hang = "tell(Status(True, True)); time.sleep(60)"
    async with running(lambda number, start: GOOD if start > 1 else hang, count=1, hung_seconds=0.5) as parts:
        await until(lambda: parts.restarts(0))
        await until(lambda: parts.started == [2])


async def test_a_worker_that_tells_no_metrics_in_time_is_left_out_of_the_page() -> None:
    silent = "tell(Status(True, True))\nwhile listen(): pass"
    async with running(lambda number, start: silent if number else GOOD) as parts:
        await until(lambda: parts.announced)
        assert [number for number, _ in await parts.supervisor.collect()] == [0]


async def test_a_worker_that_dies_while_it_is_asked_holds_no_page_up() -> None:
    dies = "tell(Status(True, True)); listen()"
    async with running(lambda number, start: dies if number else GOOD) as parts:
        await until(lambda: parts.announced)
        began = time.monotonic()
        assert [number for number, _ in await parts.supervisor.collect()] == [0]
        assert time.monotonic() - began < supervisor_module.COLLECT_SECONDS


async def test_a_worker_that_refuses_its_settings_ends_the_server() -> None:
    parts = Running(lambda number, start: "tell(Refused('models is wrong'))", count=2)
    with pytest.raises(SettingsError, match=r"^models is wrong$"):
        await parts.supervisor.run(parts.announce)
    assert not parts.announced


async def test_a_worker_that_refuses_its_settings_once_the_server_has_served_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    programs = ["tell(Status(True, True)); listen()", "tell(Refused('models is gone'))", GOOD]
    async with running(lambda number, start: GOOD if number else programs[start - 1]) as parts:
        await until(lambda: parts.announced)
        await parts.supervisor.collect()
        ready = ("seqserve_worker_ready", {"worker": "0"})
        await until(lambda: parts.started == [3, 1] and parts.registry.get_sample_value(*ready) == 1)
        assert parts.supervisor.ready
        assert "worker_refused worker=0 problem=models is gone" in caplog.messages


async def test_a_drain_ends_every_worker_and_restarts_none() -> None:
    async with running(lambda number, start: GOOD) as parts:
        await until(lambda: parts.announced)
        await parts.supervisor.drain(20)
        assert not parts.supervisor.ready
        await asyncio.sleep(0.05)  # several times what a restart waits
        assert parts.started == [1, 1]
        assert (parts.restarts(0), parts.restarts(1)) == (0, 0)


async def test_a_worker_that_does_not_drain_in_time_is_killed() -> None:
    stubborn = "tell(Status(True, True))\nwhile True: time.sleep(1)"
    async with running(lambda number, start: stubborn if number else GOOD) as parts:
        await until(lambda: parts.announced)
        began = time.monotonic()
        await parts.supervisor.drain(0.3)
        assert time.monotonic() - began < 5


async def test_a_command_that_cannot_be_started_is_tried_again() -> None:
    async with running(lambda number, start: GOOD, count=1, broken_starts=2) as parts:
        await until(lambda: parts.announced)
        assert (parts.started, parts.restarts(0)) == ([3], 2)
