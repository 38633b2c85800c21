"""The only wiring: builds every part from the settings, starts them in order, stops them in reverse."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from service.errors import SettingsError
from service.metrics import Metrics
from service.serving.catalog import Catalog
from service.serving.engine_loop import EngineLimits
from service.serving.front import Front
from service.serving.hosts import Host, InlineHost, ProcessHost, ThreadHost
from service.serving.pool import EnginePool
from service.settings import ServiceSettings
from service.transport.health import HealthBoard
from service.transport.http import open_metrics_server
from service.transport.server import open_server

logger = logging.getLogger(__name__)

_HOSTS: dict[str, type[ProcessHost] | type[ThreadHost] | type[InlineHost]] = {
    "process": ProcessHost,
    "thread": ThreadHost,
    "inline": InlineHost,
}
FORCED_EXIT_CODE = 1


class Readiness:
    """Turns what the parts report into health: a model name serves when an engine holds it."""

    def __init__(self, health: HealthBoard) -> None:
        self._health = health
        self._names: set[str] = set()
        self._engines_up = False
        self._started = False

    def models_changed(self, names: set[str]) -> None:
        """Note which names can answer."""
        for gone in self._names - names:
            self._health.set(gone, False)
        self._names = names
        self._show()

    def engines_changed(self, up: bool) -> None:
        """Note whether an engine runs."""
        self._engines_up = up
        self._show()

    def started(self) -> None:
        """Note that the repository has been looked at once."""
        self._started = True
        self._show()

    def _show(self) -> None:
        for name in self._names:
            self._health.set(name, self._engines_up)
        self._health.set_ready(self._started and self._engines_up and bool(self._names))


def make_host(settings: ServiceSettings) -> Callable[[], Host]:
    """What makes an engine of the layout that the settings ask for.

    Raises:
        SettingsError: several engines in a layout that has one.
    """
    if settings.engine_layout != "process" and settings.engine_count > 1:
        raise SettingsError(f"engine_count is {settings.engine_count}, engine_layout {settings.engine_layout} takes 1")
    limits = EngineLimits(settings.max_batch_size, settings.decode_slots, settings.padding_budget)
    host = _HOSTS[settings.engine_layout]
    return lambda: host(limits)


async def serve(settings: ServiceSettings) -> None:
    """Run the service until SIGTERM or SIGINT, then drain.

    Prints one line, `ready grpc=HOST:PORT metrics=HOST:PORT`, when the models have been loaded.

    Raises:
        SettingsError: an address is taken, or settings contradict one another.
    """
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        metrics = Metrics(CollectorRegistry())
        metrics_address = await stack.enter_async_context(open_metrics_server(settings.metrics_address, metrics))
        health = HealthBoard()
        readiness = Readiness(health)
        pool = EnginePool(
            make_host(settings), count=settings.engine_count, metrics=metrics, on_change=readiness.engines_changed
        )
        stack.push_async_callback(pool.close)
        catalog = Catalog(
            settings.models,
            pool,
            metrics,
            device=settings.device,
            kept_versions=settings.kept_versions,
            on_change=readiness.models_changed,
        )
        front = Front(
            catalog,
            pool,
            metrics,
            queue_capacity=settings.queue_capacity,
            decode_slots=settings.decode_slots,
            max_text_characters=settings.max_text_characters,
            max_request_characters=settings.max_request_characters,
        )
        grpc_address = await stack.enter_async_context(open_server(settings.grpc, front, metrics, health))

        def announce() -> None:
            readiness.started()
            sys.stdout.write(f"ready grpc={grpc_address} metrics={metrics_address}\n")
            sys.stdout.flush()

        await _until_stopped(stop, _work(pool, catalog, settings.poll_seconds, announce))


async def _work(pool: EnginePool, catalog: Catalog, poll_seconds: float, announce: Callable[[], None]) -> None:
    """Start the engines, load the models, say so, and look after the repository for good."""
    await pool.start()
    await catalog.refresh()
    announce()
    await catalog.watch(poll_seconds)


async def _until_stopped(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Run `work` until `stop` is set. An error of the work ends it, and is raised."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _stop_on_signals() -> asyncio.Event:
    """Set the event at the first SIGTERM or SIGINT; leave at once at the second."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            logger.warning("forced_exit")
            os._exit(FORCED_EXIT_CODE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop
