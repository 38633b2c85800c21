"""The engines, and which of them works on what.   Routes work, hands answers back, replaces an engine that died."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.errors import BundleError, EngineLostError, QueueFullError
from service.metrics import Metrics
from service.serving.engines.hosts import Host
from service.serving.engines.messages import (
    Cancel,
    DecodeWork,
    Event,
    Load,
    Loaded,
    LoadFailed,
    Ping,
    Pong,
    Ran,
    StopSample,
    Unload,
    Work,
)
from service.serving.engines.ticket import Ticket
from service.serving.statistics import Spent

logger = logging.getLogger(__name__)

RESTART_SECONDS = 0.5
"""Wait before an engine that died is replaced; doubled while the new one dies too."""

MOST_RESTART_SECONDS = 30.0
"""Longest wait before an engine is replaced."""

STEADY_SECONDS = 60.0
"""An engine that lived this long died for a reason of its own, and is replaced without delay."""

PING_SECONDS = 2.0
"""How often an engine is asked for a sign of life."""

HUNG_SECONDS = 30.0
"""An engine that gives no sign of life for so long is replaced."""

FEW_ROWS = 3
"""Works of so many rows or fewer are small: where many of them run, the front is as busy with calls as an engine."""

ROWS_BEFORE_SHARED_CORE = 64
"""So many rows of small works share the engines with a core of their own before another one gets some."""

LOAD_SECONDS = 120.0
"""Longest time to open and prove a bundle."""


@dataclass
class _Model:
    """A model that every engine should hold. The digest is known once one of them has opened it."""

    name: str
    command: Load
    digest: str = ""
    runs: dict[int, Spent] = field(default_factory=dict)
    """What runs of so many rows took."""


@dataclass
class _Engine:
    """A place for an engine, and what the one that is there now does. Dead engines are followed by new ones."""

    host: Host
    has_own_core: bool
    """Whether it has a core that the front does not use."""
    works: dict[int, Ticket] = field(default_factory=dict)
    loading: dict[int, asyncio.Future[Loaded]] = field(default_factory=dict)
    ready: bool = False
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    heard: float = 0.0
    """When it last gave a sign of life."""
    row_count: int = 0
    """How many rows it has been given that nobody has released."""
    small_row_count: int = 0
    """How many of them are of small works."""

    def take(self, ticket: Ticket) -> None:
        """Note a work that it is given."""
        self.works[ticket.work_id] = ticket
        self._count(ticket, 1)

    def release(self, ticket: Ticket) -> bool:
        """Forget a work; whether it was here."""
        if self.works.pop(ticket.work_id, None) is None:
            return False
        self._count(ticket, -1)
        return True

    def forget_works(self) -> list[Ticket]:
        """Forget all works, and give them back."""
        forgotten = list(self.works.values())
        for ticket in forgotten:
            self.release(ticket)
        return forgotten

    def _count(self, ticket: Ticket, sign: int) -> None:
        self.row_count += sign * ticket.row_count
        if ticket.row_count <= FEW_ROWS:
            self.small_row_count += sign * ticket.row_count


class EnginePool:
    """Engines that all hold the same models; each work goes to one of them.

    That is the one with the fewest rows. But where many small works keep the front busy, an engine that shares its core
    only takes its time, and cuts batches in half. So to a small work such an engine looks as if it had all the others.

    Args:
        make_host: makes an engine, not yet started.
        count: how many.
        own_core_count: how many of them have a core that the front does not use. None: all.
        rows_before_shared_core: how many rows of small works keep away from an engine that has none.
        metrics: receives what the engines report of their runs.
        on_change: called with whether any engine is up, whenever that may have changed.
        hung_seconds: an engine that gives no sign of life for so long is replaced.
    """

    def __init__(
        self, make_host: Callable[[], Host], *, count: int, metrics: Metrics, on_change: Callable[[bool], None],
        hung_seconds: float = HUNG_SECONDS, own_core_count: int | None = None,
        rows_before_shared_core: int = ROWS_BEFORE_SHARED_CORE,
    ) -> None:  # fmt: skip
        self._make_host = make_host
        self._metrics = metrics
        self._on_change = on_change
        self._hung_seconds = hung_seconds
        own = count if own_core_count is None else own_core_count
        self._engines = [_Engine(make_host(), has_own_core=number < own) for number in range(count)]
        self._rows_before_shared_core = rows_before_shared_core
        self._models: dict[int, _Model] = {}
        self._ids = itertools.count(1)
        self._reload_listeners: list[Callable[[int, str], None]] = []
        self._supervising: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether an engine is ready for work."""
        return any(engine.ready for engine in self._engines)

    async def start(self) -> None:
        """Start every engine, and wait until all of them are up."""
        for engine in self._engines:
            self._supervising.append(asyncio.create_task(self._supervise(engine), name="engine supervisor"))
        while not all(engine.ready for engine in self._engines):
            await self._changed.wait()
            self._changed.clear()

    async def close(self) -> None:
        """Stop every engine. Work still under way fails."""
        for task in self._supervising:
            task.cancel()
        await asyncio.gather(*self._supervising, return_exceptions=True)

    def on_reload_failed(self, callback: Callable[[int, str], None]) -> None:
        """Have `callback` told of a model (its number, and why) that a new engine could not open any more."""
        self._reload_listeners.append(callback)

    async def load(self, name: str, path: str, device: str) -> tuple[int, Loaded]:
        """Open and prove a bundle on every engine.

        Returns:
            The number by which works name the model, and what the engine tells of it.

        Raises:
            BundleError: an engine refused it, or did not come to an end with it.
            EngineLostError: no engine is up, or one died while it opened the bundle.
        """
        command = Load(next(self._ids), path, device)
        engines = self._ready_engines()
        self._models[command.model_id] = _Model(name, command)
        try:
            loaded = await asyncio.gather(*(self._load_on(engine, command) for engine in engines))
        except BaseException:
            self.unload(command.model_id)
            raise
        if command.model_id not in self._models:
            raise BundleError("an engine that was started meanwhile could not open it")
        self._models[command.model_id].digest = loaded[0].digest
        return command.model_id, loaded[0]

    def unload(self, model_id: int) -> None:
        """Let every engine forget a model."""
        if self._models.pop(model_id, None) is not None:
            for engine in self._engines:
                engine.host.send(Unload(model_id))

    def runs(self, model_id: int) -> Mapping[int, Spent]:
        """What the runs of a model's graphs took, by the rows in them."""
        return self._models[model_id].runs

    def submit(self, make_work: Callable[[int], Work], deadline: float) -> Ticket:
        """Give work to an engine. Whoever submits must `release` the ticket in the end.

        Args:
            make_work: makes the message from the number that the work gets.
            deadline: `time.monotonic()` value until which the ticket may be waited on.

        Raises:
            EngineLostError: no engine is up at the moment.
            QueueFullError: no engine reads what it was sent before.
        """
        reading = [engine for engine in self._ready_engines() if not engine.host.congested]
        if not reading:
            raise QueueFullError("the engine does not keep up with what it is sent")
        work = make_work(next(self._ids))
        ticket = Ticket(work.work_id, deadline, _rows_of(work))
        engine = reading[0] if len(reading) == 1 else self._choose(reading, ticket.row_count)
        engine.take(ticket)
        engine.host.send(work)
        return ticket

    def stop_sample(self, ticket: Ticket, sample: int) -> None:
        """Have one sample of a streaming work end."""
        for engine in self._engines:
            if ticket.work_id in engine.works:
                engine.host.send(StopSample(ticket.work_id, sample))

    def release(self, ticket: Ticket) -> None:
        """End the interest in a work; if it has not ended, it is cancelled."""
        for engine in self._engines:
            if engine.release(ticket) and not ticket.ended:
                engine.host.send(Cancel(ticket.work_id))

    def _choose(self, engines: list[_Engine], rows: int) -> _Engine:
        """The engine for a work of so many rows."""
        crowd = 0
        if rows <= FEW_ROWS:
            small = sum(engine.small_row_count for engine in engines if engine.has_own_core)
            crowd = min(small, self._rows_before_shared_core - 1)
        return min(engines, key=lambda engine: engine.row_count + (0 if engine.has_own_core else crowd))

    def _ready_engines(self) -> list[_Engine]:
        ready = [engine for engine in self._engines if engine.ready]
        if not ready:
            raise EngineLostError("no engine is running; one is being started")
        return ready

    def _set_ready(self, engine: _Engine, ready: bool) -> None:
        engine.ready = ready
        self._changed.set()
        self._on_change(self.up)

    async def _supervise(self, engine: _Engine) -> None:
        """Keep one place filled, until cancelled."""
        delay = RESTART_SECONDS
        while True:
            begun = time.monotonic()
            try:
                await self._live(engine)
            except Exception:
                logger.exception("engine_failed")
            self._metrics.engine_restarts.inc()
            delay = RESTART_SECONDS if time.monotonic() - begun > STEADY_SECONDS else delay
            await asyncio.sleep(delay)
            delay = min(2 * delay, MOST_RESTART_SECONDS)
            engine.host = self._make_host()

    async def _live(self, engine: _Engine) -> None:
        """Start an engine, fill it, and watch it until it is lost."""
        engine.lost.clear()
        engine.heard = time.monotonic()
        try:
            await engine.host.start(
                lambda events: self._deliver(engine, events), lambda reason: self._lose(engine, reason)
            )
            async with asyncio.TaskGroup() as group:
                filling = group.create_task(self._fill(engine))
                await self._watch(engine)
                filling.cancel()
        finally:
            self._give_up(engine, "it is being stopped")
            await engine.host.close()

    async def _fill(self, engine: _Engine) -> None:
        """Let a new engine open every model; then it is ready."""
        tried: set[int] = set()
        while missing := self._models.keys() - tried:  # models may be added meanwhile
            tried |= missing
            for model_id in sorted(missing):
                await self._reload(engine, model_id)
        if not engine.lost.is_set():
            self._set_ready(engine, True)
            logger.info("engine_ready models=%d", len(tried))

    async def _reload(self, engine: _Engine, model_id: int) -> None:
        model = self._models.get(model_id)
        if model is None:
            return
        try:
            problem = await self._reload_problem(engine, model)
        except EngineLostError:
            return  # its successor tries again
        if problem and model_id in self._models:
            logger.error("reload_failed model=%s problem=%s", model.name, problem)
            for listener in self._reload_listeners:
                listener(model_id, problem)

    async def _reload_problem(self, engine: _Engine, model: _Model) -> str:
        """Let an engine open a model again; why it should not serve, or nothing."""
        try:
            loaded = await self._load_on(engine, model.command)
        except BundleError as error:
            return error.message
        same = model.digest in {"", loaded.digest}
        return "" if same else f"the bundle at {model.command.path} is no longer the one that was loaded"

    async def _watch(self, engine: _Engine) -> None:
        """Ask for signs of life until the engine is lost, or gives none."""
        while not engine.lost.is_set():
            engine.host.send(Ping())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(PING_SECONDS, self._hung_seconds)):  # wait_for of 3.11 may lose a cancel
                    await engine.lost.wait()
            if time.monotonic() - engine.heard > self._hung_seconds:
                self._lose(engine, f"no sign of life for {self._hung_seconds:.0f} s")

    async def _load_on(self, engine: _Engine, command: Load) -> Loaded:
        future: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        engine.loading[command.model_id] = future
        if engine.lost.is_set():
            raise EngineLostError("the engine was lost")
        engine.host.send(command)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await future
        except TimeoutError as error:
            raise BundleError(f"the bundle was not open after {LOAD_SECONDS:.0f} s") from error
        finally:
            engine.loading.pop(command.model_id, None)

    def _deliver(self, engine: _Engine, events: list[Event]) -> None:
        engine.heard = time.monotonic()
        for event in events:
            if isinstance(event, Ran):
                self._measure(event)
            elif isinstance(event, Loaded | LoadFailed):
                self._settle(engine.loading.get(event.model_id), event)
            elif not isinstance(event, Pong) and (ticket := engine.works.get(event.work_id)) is not None:
                ticket.tell(event)

    def _measure(self, ran: Ran) -> None:
        model = self._models.get(ran.model_id)
        if model is not None:
            model.runs.setdefault(ran.rows, Spent()).add(ran.seconds)
            series = self._metrics.of_graph(model.name, ran.graph)
            series.batch_size.observe(ran.rows)
            series.padding_ratio.observe(ran.padding_ratio)
            series.inference_seconds.observe(ran.seconds)

    @staticmethod
    def _settle(future: asyncio.Future[Loaded] | None, event: Loaded | LoadFailed) -> None:
        if future is None or future.done():
            return
        if isinstance(event, Loaded):
            future.set_result(event)
        else:
            future.set_exception(BundleError(event.message))

    def _lose(self, engine: _Engine, reason: str) -> None:
        if not engine.lost.is_set():
            logger.warning("engine_lost reason=%s works=%d", reason, len(engine.works))
            self._give_up(engine, reason)

    def _give_up(self, engine: _Engine, reason: str) -> None:
        """Expect nothing more of an engine: whoever waits for it is told at once."""
        if engine.lost.is_set():
            return
        engine.lost.set()
        self._set_ready(engine, False)
        for ticket in engine.forget_works():
            ticket.tell(EngineLostError(f"the engine was lost: {reason}"))
        for future in engine.loading.values():
            if not future.done():
                future.set_exception(EngineLostError(f"the engine was lost: {reason}"))


def _rows_of(work: Work) -> int:
    """How many rows a work takes: each hypothesis of a beam, and each sample, is one."""
    return len(work.rows) * (work.options.row_count if isinstance(work, DecodeWork) else 1)
