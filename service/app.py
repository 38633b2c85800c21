"""The only wiring: builds every part from the settings, starts them in order, stops them in reverse."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from service.cores import Cores, find_cores
from service.errors import ServiceError, SettingsError
from service.metrics import Metrics, SupervisorMetrics
from service.runtime.providers import why_unavailable
from service.serving.catalog import Catalog
from service.serving.engines.engine_loop import EngineLimits
from service.serving.engines.hosts import Host, InlineHost, ProcessHost, ThreadHost
from service.serving.engines.pool import EnginePool
from service.serving.front import Front
from service.settings import DevicePlan, ServiceSettings
from service.state.keys import copied_key_file, ephemeral_key_file, read_keys
from service.state.tokens import StateTokens
from service.transport.http import open_metrics_server
from service.transport.port import own_port, shared_port
from service.transport.server import open_server
from service.transport.standard.health import READINESS, HealthBoard
from service.workers.joined import JoinedMetrics
from service.workers.link import SupervisorLink
from service.workers.messages import Refused, Status
from service.workers.supervisor import Supervisor

logger = logging.getLogger(__name__)

FORCED_EXIT_CODE = 1
WORKER_STOP_SECONDS = 8.0
"""What a worker gets to end its engines, beyond drain and grace."""

EXTRA_THREADS = 4
MOST_THREADS = 32


class Readiness:
    """Turns what the parts report into health: a model name serves when an engine holds it."""

    def __init__(self, health: HealthBoard) -> None:
        self._health = health
        self._models: Mapping[str, bool] = {}
        self._engines_up = False
        self._started = False

    def models_changed(self, models: Mapping[str, bool]) -> None:
        """Note which models there are, and whether each can answer."""
        self._models = models
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
        serving = {name: answers and self._engines_up for name, answers in self._models.items()}
        self._health.set_models(serving)
        self._health.set_ready(self._started and any(serving.values()))


def make_host(settings: ServiceSettings) -> Callable[[], Host]:
    """What makes an engine of the layout that the settings ask for.

    Raises:
        SettingsError: several engines, or a process' niceness, in a layout that has one engine and no process of it.
    """
    for setting, value, takes in (
        ("engine_count", settings.engine_count, (1, "auto")),
        ("engine_niceness", settings.engine_niceness, (0,)),
    ):
        if settings.engine_layout != "process" and value not in takes:
            raise SettingsError(f"{setting} is {value}, engine_layout {settings.engine_layout} takes {takes[0]}")
    limits = EngineLimits(
        settings.max_batch_size, settings.decode_slots, settings.padding_budget, settings.max_tokens_per_run
    )
    if settings.engine_layout == "process":
        return partial(ProcessHost, limits, settings.engine_niceness)
    return partial(ThreadHost if settings.engine_layout == "thread" else InlineHost, limits)


def make_tokens(settings: ServiceSettings) -> StateTokens | None:
    """What signs and opens state tokens; None without keys.

    Raises:
        SettingsError: the keys cannot be read.
    """
    if settings.state_keys is None:
        return None
    return StateTokens(read_keys(settings.state_keys), lifetime_seconds=settings.state_token_seconds)


def _key_file(settings: ServiceSettings, workers: int) -> AbstractContextManager[Path | None]:
    """Where the processes of this server read keys, be it at its start or when one is replaced; the same for all."""
    if settings.ephemeral_state_key:
        return ephemeral_key_file()
    if settings.state_keys is None or workers == 1:
        return nullcontext(settings.state_keys)
    return copied_key_file(settings.state_keys)


def choose_devices(plan: DevicePlan, why_unavailable: Callable[[str], str] = why_unavailable) -> tuple[str, ...]:
    """Decide between cpu and cuda for every choice of the plan; what cannot be had is refused, never replaced.

    Args:
        plan: what the settings say.
        why_unavailable: what keeps `cuda` from being used here, or nothing.

    Returns:
        The choices again, without `auto`.

    Raises:
        SettingsError: a device is asked for and missing; names the model, the provider and what is installed.
    """
    chosen: list[str] = []
    problem = why_unavailable("cuda") if any(device != "cpu" for _, device in plan.choices()) else ""
    for model, device in plan.choices():
        if device == "cuda" and problem:
            of_whom = "" if model == "*" else f" of model {model}"
            raise SettingsError(f"the device{of_whom} is cuda, but {problem}", setting="device")
        provider = "cpu" if device == "cpu" or problem else "cuda"
        logger.info("device_chosen model=%s asked=%s chosen=%s", model, device, provider)
        chosen.append(provider if model == "*" else f"{model}={provider}")
    return tuple(chosen)


async def serve(settings: ServiceSettings) -> None:
    """Run the service until SIGTERM or SIGINT, then drain.

    Prints one line, `ready grpc=HOST:PORT metrics=HOST:PORT`, when the models have been loaded.

    Raises:
        SettingsError: an address is taken, a device is missing, or settings contradict one another.
    """
    make_host(settings)
    cores = find_cores()
    settings = settings.model_copy(update={"device": choose_devices(settings.devices)})
    workers, engines = settings.worker_count(cores.usable), settings.engines_per_worker(cores.usable)
    settings = settings.model_copy(update={"workers": workers, "engine_count": engines})
    logger.info(
        "cores usable=%d affinity=%d quota=%s workers=%d engines_per_worker=%d",
        cores.usable, cores.affinity, cores.quota, workers, engines,
    )  # fmt: skip
    if settings.repository_control and workers > 1:
        raise SettingsError(f"repository_control reaches one worker alone, and workers is {workers}")
    make_tokens(settings)
    with _key_file(settings, workers) as keys:
        settings = settings.model_copy(update={"state_keys": keys, "ephemeral_state_key": False})
        await (_serve_alone(settings) if workers == 1 else _serve_with_workers(settings))


async def _serve_alone(settings: ServiceSettings) -> None:
    """Serve from this process."""
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        _limit_threads(find_cores())
        metrics, health = Metrics(CollectorRegistry()), HealthBoard()
        stack.enter_context(own_port(settings.grpc_address))
        metrics_address = await stack.enter_async_context(
            open_metrics_server(settings.metrics_address, metrics.registry, lambda: bool(health.get(READINESS)))
        )
        parts = _build(settings, metrics, health, stack)
        control = parts.catalog if settings.repository_control else None
        grpc_address = await stack.enter_async_context(
            open_server(settings.grpc, parts.front, metrics, health, control=control)
        )
        await _until_stopped(stop, parts.load())
        if not stop.is_set():
            parts.readiness.started()
            _announce(grpc_address, metrics_address)
            await _until_stopped(stop, parts.catalog.watch(settings.poll_seconds))


async def serve_as_worker(settings: ServiceSettings, descriptor: int) -> None:
    """Serve as one of several processes until the supervisor says to drain, or is gone.

    It listens only once it has loaded the models: connections are dealt out among those that listen.

    Args:
        settings: as the supervisor resolved them; the port of `grpc_address` is held by it.
        descriptor: number of the inherited socket to the supervisor.
    """
    stop = asyncio.Event()
    metrics, health, listening = Metrics(CollectorRegistry()), HealthBoard(), False

    def status() -> Status:
        return Status(listening=listening, ready=bool(health.get(READINESS)))

    async with AsyncExitStack() as stack:
        _limit_threads(find_cores())
        link = await SupervisorLink.open(descriptor)
        stack.push_async_callback(link.close)
        await stack.enter_async_context(_beside(link.follow_orders(metrics.registry, stop)))
        await stack.enter_async_context(_beside(link.beat(status, health.changed)))
        try:
            parts = _build(settings, metrics, health, stack)
            await _until_stopped(stop, parts.load())
            if stop.is_set():
                return
            await stack.enter_async_context(open_server(settings.grpc, parts.front, metrics, health))
        except ServiceError as error:
            link.tell(Refused(error.message))
            return
        listening = True
        parts.readiness.started()
        await _until_stopped(stop, parts.catalog.watch(settings.poll_seconds))


async def _serve_with_workers(settings: ServiceSettings) -> None:
    """Keep workers, which serve; this process holds the port and shows what all of them measure."""
    loop, registry, count = asyncio.get_running_loop(), CollectorRegistry(), settings.worker_count(cores=1)
    metrics = SupervisorMetrics(registry, count)
    async with AsyncExitStack() as stack:
        grpc_address = stack.enter_context(shared_port(settings.grpc_address))
        bound = settings.model_copy(update={"grpc_address": grpc_address})
        supervisor = Supervisor(partial(_worker_command, bound), count=count, metrics=metrics)
        registry.register(JoinedMetrics(lambda: asyncio.run_coroutine_threadsafe(supervisor.collect(), loop).result()))
        stop = _stop_on_signals(supervisor.kill)
        metrics_address = await stack.enter_async_context(
            open_metrics_server(settings.metrics_address, registry, lambda: supervisor.ready)
        )
        await _until_stopped(
            stop,
            supervisor.run(lambda: _announce(grpc_address, metrics_address)),
            lambda: supervisor.drain(settings.drain_seconds + settings.grace_seconds + WORKER_STOP_SECONDS),
        )


def _worker_command(settings: ServiceSettings, number: int, descriptor: int) -> Sequence[str]:
    return sys.executable, "-m", "service.worker_process", str(number), str(descriptor), settings.model_dump_json()


@dataclass(frozen=True)
class _Parts:
    """What answers requests, behind whatever server."""

    pool: EnginePool
    catalog: Catalog
    front: Front
    readiness: Readiness

    async def load(self) -> None:
        """Start the engines, and look at the repository once.

        What is in memory before the first model is not looked through for garbage any more, which would stop all calls
        for long every few thousand of them. Models are: they may go again.
        """
        await self.pool.start()
        gc.collect()
        gc.freeze()
        await self.catalog.refresh()


def _build(settings: ServiceSettings, metrics: Metrics, health: HealthBoard, stack: AsyncExitStack) -> _Parts:
    """Build the parts; nothing is started. The engines end with the stack."""
    readiness, cores = Readiness(health), find_cores().usable
    pool = EnginePool(
        make_host(settings),
        count=settings.engines_per_worker(cores),
        own_core_count=settings.engines_with_own_core(cores),
        rows_before_shared_core=settings.decode_slots,
        metrics=metrics,
        on_change=readiness.engines_changed,
    )
    stack.push_async_callback(pool.close)
    catalog = Catalog(
        settings.models,
        pool,
        metrics,
        device=settings.devices.default,
        device_by_model=settings.devices.by_model,
        kept_versions=settings.kept_versions,
        on_change=readiness.models_changed,
    )
    front = Front(
        catalog,
        pool,
        metrics,
        queue_capacity=settings.queue_capacity,
        decode_slots=settings.decode_slots,
        stream_interval_seconds=settings.stream_interval_seconds,
        max_text_characters=settings.max_text_characters,
        max_request_characters=settings.max_request_characters,
        tokens=make_tokens(settings),
    )
    return _Parts(pool, catalog, front, readiness)


def _limit_threads(cores: Cores) -> None:
    """Size the pool of threads (long texts are split on it) by the cores of this process, not of the machine."""
    threads = min(MOST_THREADS, cores.usable + EXTRA_THREADS)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="front"))


def _announce(grpc_address: str, metrics_address: str) -> None:
    sys.stdout.write(f"ready grpc={grpc_address} metrics={metrics_address}\n")
    sys.stdout.flush()


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `work` until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_stopped(
    stop: asyncio.Event, work: Coroutine[None, None, None], wind_down: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Run `work` until `stop` is set, and then `wind_down` beside it. An error of the work ends it, and is raised."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()
        elif wind_down is not None:
            await wind_down()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _stop_on_signals(leaving: Callable[[], None] = lambda: None) -> asyncio.Event:
    """Set the event at the first SIGTERM or SIGINT; leave at once at the second, after calling `leaving`."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            logger.warning("forced_exit")
            leaving()
            os._exit(FORCED_EXIT_CODE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop
