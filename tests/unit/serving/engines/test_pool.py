"""Engines that fail in every way a process can: nothing hangs, nothing is lost silently, a new one takes over."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry

from service.engine.requests import DecodeOptions
from service.errors import BundleError, EngineLostError, QueueFullError
from service.metrics import Metrics
from service.serving.catalog import Catalog
from service.serving.engines import pool as pool_module
from service.serving.engines.engine_loop import EngineLimits
from service.serving.engines.hosts import Deliver, Lost, ProcessHost
from service.serving.engines.messages import (
    ClassifyWork,
    Command,
    DecodeWork,
    Event,
    Load,
    Loaded,
    LoadFailed,
    Ping,
    Pong,
    Unload,
)
from service.serving.engines.pool import EnginePool
from tests.bundles import publish_tiny

LIMITS = EngineLimits(max_batch_size=8, decode_slots=4, padding_budget=0.25)


class ScriptedHost:
    """An engine of a few lines: opens everything at once, unless told to misbehave."""

    def __init__(
        self, *, starts: bool = True, dies_on: type[Command] | None = None, answers_pings: bool = True
    ) -> None:
        self.starts = starts
        self.dies_on = dies_on
        self.answers_pings = answers_pings
        self.congested = False
        self.sent: list[Command] = []
        self.closed = False

    async def start(self, deliver: Deliver, lost: Lost) -> None:
        if not self.starts:
            raise OSError("no more processes")
        self._deliver, self._lost = deliver, lost

    def send(self, command: Command) -> None:
        self.sent.append(command)
        loop = asyncio.get_running_loop()
        if self.dies_on is not None and isinstance(command, self.dies_on):
            loop.call_soon(self._lost, "it was told to die")
            return
        answer: Event | None = None
        if isinstance(command, Load):
            answer = Loaded(command.model_id, "digest", "fp32", "cpu", 0.1)
        elif isinstance(command, Ping) and self.answers_pings:
            answer = Pong()
        if answer is not None:
            loop.call_soon(self._deliver, [answer])

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def pool_of(
    *hosts: ScriptedHost,
    hung_seconds: float = 30.0,
    count: int = 1,
    own_core_count: int | None = None,
    rows_before: int = 64,
) -> AsyncIterator[EnginePool]:
    """A pool of the first `count` hosts; when one is lost, the next takes its place."""
    waiting = list(hosts)
    pool = EnginePool(
        lambda: waiting.pop(0),
        count=count,
        metrics=Metrics(CollectorRegistry()),
        on_change=lambda up: None,
        hung_seconds=hung_seconds,
        own_core_count=own_core_count,
        rows_before_shared_core=rows_before,
    )
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(pool_module, "PING_SECONDS", 0.01)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within 5 s")


def work(work_id: int, *, sequence_count: int = 1) -> ClassifyWork:
    return ClassifyWork(work_id, 1, [[3]] * sequence_count, time.monotonic(), time.monotonic() + 5)


async def test_an_engine_that_cannot_be_started_is_tried_again() -> None:
    async with pool_of(ScriptedHost(starts=False), ScriptedHost(starts=False), ScriptedHost()) as pool:
        await asyncio.wait_for(pool.start(), 5)
        assert pool.up


@asynccontextmanager
async def two_engines(
    own_core_count: int | None = None, *, rows_before: int = 64
) -> AsyncIterator[tuple[EnginePool, Callable[[], list[list[int]]]]]:
    """A pool of two, both ready, and what tells the rows of each work that either was given."""
    hosts = ScriptedHost(), ScriptedHost()

    def given() -> list[list[int]]:
        return [[len(sent.rows) for sent in host.sent if isinstance(sent, ClassifyWork | DecodeWork)] for host in hosts]

    async with pool_of(*hosts, count=2, own_core_count=own_core_count, rows_before=rows_before) as pool:
        await pool.start()
        await until(lambda: len(pool._ready_engines()) == 2)
        yield pool, given


async def test_work_goes_to_the_engine_that_has_the_fewest_rows() -> None:
    async with two_engines() as (pool, given):
        for count in (64, 1, 1, 62, 1):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        assert sorted(given()) == [[1, 1, 62], [64, 1]]


async def test_what_was_released_weighs_nothing_any_more() -> None:
    async with two_engines() as (pool, given):
        ticket = pool.submit(partial(work, sequence_count=9), time.monotonic() + 5)
        pool.release(ticket)
        pool.release(ticket)  # once more does nothing
        for count in (4, 5, 6):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        assert sorted(given()) == [[5], [9, 4, 6]]


@pytest.mark.parametrize(
    "options", [DecodeOptions(9, beam_size=4), DecodeOptions(9, sample_count=4)], ids=["beam", "samples"]
)
async def test_hypotheses_and_samples_weigh_as_the_rows_that_they_take(options: DecodeOptions) -> None:
    def wide(work_id: int) -> DecodeWork:
        now = time.monotonic()
        return DecodeWork(work_id, 1, [[3], [3]], now, now + 5, options)

    async with two_engines() as (pool, given):
        pool.submit(wide, time.monotonic() + 5)
        for count in (7, 2, 1):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        assert sorted(given()) == [[2, 1], [7, 2]]


async def test_small_works_share_the_engine_with_a_core_of_its_own_until_it_is_full() -> None:
    async with two_engines(own_core_count=1) as (pool, given):
        for count in (1,) * 64 + (3, 1):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        assert given() == [[1] * 65, [3]]
    async with two_engines(own_core_count=1, rows_before=2) as (pool, given):
        for _ in range(4):
            pool.submit(work, time.monotonic() + 5)
        assert given() == [[1, 1, 1], [1]]


async def test_of_works_that_are_not_small_the_engines_get_as_many_rows() -> None:
    async with two_engines(own_core_count=1) as (pool, given):
        for count in (1, 3, 4, 4):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        assert given() == [[1, 3, 4], [4]]


async def test_a_small_work_does_not_wait_for_a_long_list_while_another_engine_is_idle() -> None:
    async with two_engines(own_core_count=1) as (pool, given):
        for count in (60, *(1,) * 40):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        assert given() == [[60], [1] * 40]


async def test_an_engine_without_a_core_of_its_own_works_where_no_other_is_up() -> None:
    async with two_engines(own_core_count=1) as (pool, given):
        for _ in range(2):
            pool.submit(work, time.monotonic() + 5)
        pool._engines[0].ready = False
        pool.submit(work, time.monotonic() + 5)
        assert given() == [[1, 1], [1]]


async def test_an_engine_that_follows_a_lost_one_begins_without_rows() -> None:
    first, second, third = ScriptedHost(), ScriptedHost(), ScriptedHost()
    async with pool_of(first, second, third, count=2) as pool:
        await pool.start()
        await until(lambda: len(pool._ready_engines()) == 2)
        lost = pool.submit(partial(work, sequence_count=9), time.monotonic() + 5)
        first._lost("killed")
        await until(lambda: len(pool._ready_engines()) == 2)
        pool.release(lost)
        for count in (5, 6, 4):
            pool.submit(partial(work, sequence_count=count), time.monotonic() + 5)
        given = [[len(sent.rows) for sent in host.sent if isinstance(sent, ClassifyWork)] for host in (third, second)]
        assert given == [[5, 4], [6]]


async def test_an_engine_that_dies_while_it_is_filled_is_never_called_ready() -> None:
    first, second, third = ScriptedHost(), ScriptedHost(dies_on=Load), ScriptedHost()
    async with pool_of(first, second, third) as pool:
        await pool.start()
        await pool.load("m", "path", "cpu")
        first._lost("killed")
        assert not pool.up
        await until(lambda: pool.up)
        assert second.closed
        assert any(isinstance(command, Load) for command in third.sent)


async def test_work_under_way_is_told_at_once_when_its_engine_is_lost() -> None:
    first = ScriptedHost()
    async with pool_of(first, ScriptedHost()) as pool:
        await pool.start()
        ticket = pool.submit(work, time.monotonic() + 5)
        first._lost("killed")
        with pytest.raises(EngineLostError, match="killed"):
            await ticket.answer()
        with pytest.raises(EngineLostError, match="no engine is running"):
            pool.submit(work, time.monotonic() + 5)


async def test_an_engine_that_gives_no_sign_of_life_is_replaced() -> None:
    hung, next_one = ScriptedHost(answers_pings=False), ScriptedHost()
    async with pool_of(hung, next_one, hung_seconds=0.1) as pool:
        await pool.start()
        await until(lambda: hung.closed)
        await until(lambda: pool.up)
        assert any(isinstance(command, Ping) for command in next_one.sent)


async def test_an_engine_that_reads_nothing_gets_no_more_work() -> None:
    host = ScriptedHost()
    async with pool_of(host) as pool:
        await pool.start()
        host.congested = True
        with pytest.raises(QueueFullError):
            pool.submit(work, time.monotonic() + 5)


async def test_a_model_that_the_new_engine_opens_differently_is_reported() -> None:
    class Changed(ScriptedHost):
        def send(self, command: Command) -> None:
            if isinstance(command, Load):
                self._deliver([Loaded(command.model_id, "another digest", "fp32", "cpu", 0.1)])
            else:
                super().send(command)

    first, changed = ScriptedHost(), Changed()
    async with pool_of(first, changed) as pool:
        await pool.start()
        model_id, _ = await pool.load("m", "path", "cpu")
        told: list[tuple[int, str]] = []
        pool.on_reload_failed(lambda number, why: told.append((number, why)))
        first._lost("killed")
        await until(lambda: pool.up)
        assert [number for number, _ in told] == [model_id]
        assert "no longer the one" in told[0][1]


class Slow(ScriptedHost):
    """An engine that opens a bundle when the test says so."""

    def send(self, command: Command) -> None:
        if isinstance(command, Load):
            self.sent.append(command)
        else:
            super().send(command)

    def open(self) -> None:
        self._deliver([Loaded(command.model_id, "digest", "fp32", "cpu", 0.1) for command in self.loads])

    @property
    def loads(self) -> list[Load]:
        return [command for command in self.sent if isinstance(command, Load)]


class Refusing(ScriptedHost):
    """An engine that opens nothing."""

    def send(self, command: Command) -> None:
        if isinstance(command, Load):
            refusal: list[Event] = [LoadFailed(command.model_id, "it is broken")]
            asyncio.get_running_loop().call_soon(self._deliver, refusal)
        else:
            super().send(command)


async def test_a_load_ends_in_an_error_if_an_engine_that_is_started_meanwhile_cannot_open_the_bundle() -> None:
    lost, slow = ScriptedHost(), Slow()
    async with pool_of(lost, slow, Refusing(), count=2) as pool:
        pool.on_reload_failed(lambda model_id, why: pool.unload(model_id))  # as the catalog does
        await pool.start()
        lost._lost("killed")
        loading = asyncio.create_task(pool.load("m", "path", "cpu"))
        await until(lambda: any(isinstance(command, Unload) for command in slow.sent))
        slow.open()
        with pytest.raises(BundleError, match="started meanwhile"):
            await loading


async def test_a_load_that_was_given_up_leaves_nothing_behind() -> None:
    first = ScriptedHost(dies_on=Load)
    async with pool_of(first, ScriptedHost()) as pool:
        await pool.start()
        with pytest.raises(EngineLostError):
            await pool.load("m", "path", "cpu")
        await until(lambda: pool.up)
        assert any(isinstance(command, Unload) for command in first.sent)


async def test_a_version_published_while_no_engine_is_up_serves_later(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "classification")
    first = ScriptedHost(dies_on=Load)
    async with pool_of(first, ScriptedHost()) as pool:
        metrics = Metrics(CollectorRegistry())
        catalog = Catalog(tmp_path, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
        await pool.start()
        await catalog.refresh()
        assert catalog.infos()[0].state == "loading"
        await until(lambda: pool.up)
        await catalog.refresh()
        assert catalog.infos()[0].state != "loading"


async def test_a_bundle_that_kills_engines_is_given_up(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "classification")
    async with pool_of(*(ScriptedHost(dies_on=Load) for _ in range(9))) as pool:
        metrics = Metrics(CollectorRegistry())
        catalog = Catalog(tmp_path, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
        await pool.start()
        for _ in range(3):
            await until(lambda: pool.up)
            await catalog.refresh()
        assert catalog.infos()[0].state == "failed"
        assert "engine was lost" in catalog.infos()[0].failure


async def test_an_engine_process_takes_a_descriptor_beyond_1024() -> None:
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    told: list[Event] = []
    host = ProcessHost(LIMITS)
    try:
        await host.start(told.extend, lambda reason: None)
        host.send(Ping())
        await until(lambda: told == [Pong()])
    finally:
        await host.close()
        for number in opened:
            os.close(number)
    assert not psutil.Process().children()


async def test_an_engine_process_gives_way_by_as_much_as_it_is_told() -> None:
    told: list[Event] = []
    host = ProcessHost(LIMITS, niceness=3)
    try:
        await host.start(told.extend, lambda reason: None)
        host.send(Ping())
        await until(lambda: told == [Pong()])
        (child,) = psutil.Process().children()
        assert child.nice() == min(19, psutil.Process().nice() + 3)
    finally:
        await host.close()
