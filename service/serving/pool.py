"""The engines, and which of them works on what.   Routes work, hands answers back, replaces an engine that died."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from service.errors import (
    BundleError,
    DeadlineExceededError,
    EngineLostError,
    InferenceFailedError,
    ModelNotReadyError,
    ServiceError,
)
from service.metrics import Metrics
from service.serving.hosts import Host
from service.serving.messages import (
    Cancel,
    Classified,
    Decoded,
    Event,
    Failed,
    Load,
    Loaded,
    LoadFailed,
    Ran,
    Tokens,
    Unload,
    Work,
)

logger = logging.getLogger(__name__)

RESTART_SECONDS = 0.5
"""Wait before an engine that died is replaced, so that one that dies at once does not spin."""

_ERROR_BY_REASON: dict[str, type[ServiceError]] = {
    error.reason: error for error in (DeadlineExceededError, EngineLostError, InferenceFailedError, ModelNotReadyError)
}


class Ticket:
    """One work under way: tokens as they come, and how it ended. Waits last until `deadline` at most."""

    def __init__(self, work_id: int, deadline: float) -> None:
        self.work_id = work_id
        self._deadline = deadline
        self._tokens: list[int] = []
        self._end: Classified | Decoded | ServiceError | None = None
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._end is not None

    def tell(self, event: Event | ServiceError) -> None:
        """Take an event of this work."""
        if isinstance(event, Tokens):
            self._tokens += event.token_ids
        elif isinstance(event, Failed):
            self._end = _ERROR_BY_REASON.get(event.reason, InferenceFailedError)(event.message)
        elif isinstance(event, Classified | Decoded | ServiceError):
            self._end = event
        self._news.set()

    async def news(self) -> tuple[list[int], Classified | Decoded | None]:
        """Wait for something new: the tokens since the last call, and the answer if it is complete.

        Raises:
            DeadlineExceededError: nothing came before the deadline.
            ServiceError: the work failed.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._news.wait()
        except TimeoutError as error:
            raise DeadlineExceededError("the deadline passed before the answer was complete") from error
        self._news.clear()
        if isinstance(self._end, ServiceError):
            raise self._end
        tokens, self._tokens = self._tokens, []
        return tokens, self._end

    async def answer(self) -> Classified | Decoded:
        """Wait for the complete answer; errors as in `news`."""
        while True:
            _, end = await self.news()
            if end is not None:
                return end


@dataclass
class _Engine:
    """One host and what it is doing."""

    host: Host
    works: dict[int, Ticket] = field(default_factory=dict)
    loading: dict[int, asyncio.Future[Loaded]] = field(default_factory=dict)
    ready: bool = False


class EnginePool:
    """Engines that all hold the same models; each work goes to the least busy one.

    Args:
        make_host: makes an engine, not yet started.
        count: how many.
        metrics: receives what the engines report of their runs.
        on_change: called with whether any engine is up, whenever that may have changed.
    """

    def __init__(
        self, make_host: Callable[[], Host], *, count: int, metrics: Metrics, on_change: Callable[[bool], None]
    ) -> None:
        self._make_host = make_host
        self._count = count
        self._metrics = metrics
        self._on_change = on_change
        self._engines: list[_Engine] = []
        self._models: dict[int, tuple[str, Load]] = {}
        self._ids = itertools.count(1)
        self._restarts: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start every engine."""
        for _ in range(self._count):
            self._engines.append(await self._start_engine())
            self._set_ready(self._engines[-1], True)

    async def close(self) -> None:
        """Stop every engine. Work still under way fails."""
        for task in self._restarts:
            task.cancel()
        await asyncio.gather(*self._restarts, return_exceptions=True)
        engines, self._engines = self._engines, []
        for engine in engines:
            await engine.host.close()
            self._abandon(engine, "the server is shutting down")

    async def load(self, name: str, path: str, device: str) -> tuple[int, Loaded]:
        """Open and prove a bundle on every engine.

        Returns:
            The number by which works name the model, and what the engine tells of it.

        Raises:
            BundleError: an engine refused it.
        """
        command = Load(next(self._ids), path, device)
        self._models[command.model_id] = (name, command)
        try:
            loaded = await asyncio.gather(*(self._load_on(engine, command) for engine in self._ready_engines()))
        except ServiceError:
            self.unload(command.model_id)
            raise
        return command.model_id, loaded[0]

    def unload(self, model_id: int) -> None:
        """Let every engine forget a model."""
        self._models.pop(model_id, None)
        for engine in self._engines:
            engine.host.send(Unload(model_id))

    def submit(self, make_work: Callable[[int], Work], deadline: float) -> Ticket:
        """Give work to the least busy engine. Whoever submits must `release` the ticket in the end.

        Args:
            make_work: makes the message from the number that the work gets.
            deadline: `time.monotonic()` value until which the ticket may be waited on.

        Raises:
            EngineLostError: no engine is up at the moment.
        """
        engine = min(self._ready_engines(), key=lambda candidate: len(candidate.works))
        ticket = Ticket(next(self._ids), deadline)
        engine.works[ticket.work_id] = ticket
        engine.host.send(make_work(ticket.work_id))
        return ticket

    def release(self, ticket: Ticket) -> None:
        """End the interest in a work; if it has not ended, it is cancelled."""
        for engine in self._engines:
            if engine.works.pop(ticket.work_id, None) is not None and not ticket.ended:
                engine.host.send(Cancel(ticket.work_id))

    def _ready_engines(self) -> list[_Engine]:
        ready = [engine for engine in self._engines if engine.ready]
        if not ready:
            raise EngineLostError("no engine is running; one is being started")
        return ready

    def _set_ready(self, engine: _Engine, ready: bool) -> None:
        engine.ready = ready
        self._on_change(any(other.ready for other in self._engines))

    async def _start_engine(self) -> _Engine:
        engine = _Engine(self._make_host())
        await engine.host.start(lambda events: self._deliver(engine, events), lambda reason: self._lose(engine, reason))
        return engine

    async def _load_on(self, engine: _Engine, command: Load) -> Loaded:
        future: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        engine.loading[command.model_id] = future
        engine.host.send(command)
        return await future

    def _deliver(self, engine: _Engine, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ran):
                self._measure(event)
            elif isinstance(event, Loaded | LoadFailed):
                self._settle(engine.loading.pop(event.model_id, None), event)
            elif (ticket := engine.works.get(event.work_id)) is not None:
                ticket.tell(event)

    def _measure(self, ran: Ran) -> None:
        if ran.model_id in self._models:
            labels = (self._models[ran.model_id][0], ran.graph)
            self._metrics.batch_size.labels(*labels).observe(ran.rows)
            self._metrics.padding_ratio.labels(*labels).observe(ran.padding_ratio)
            self._metrics.inference_seconds.labels(*labels).observe(ran.seconds)

    @staticmethod
    def _settle(future: asyncio.Future[Loaded] | None, event: Loaded | LoadFailed) -> None:
        if future is None or future.done():
            return
        if isinstance(event, Loaded):
            future.set_result(event)
        else:
            future.set_exception(BundleError(event.message))

    def _lose(self, engine: _Engine, reason: str) -> None:
        logger.error("engine_lost reason=%s works=%d", reason, len(engine.works))
        self._metrics.engine_restarts.inc()
        self._set_ready(engine, False)
        self._abandon(engine, reason)
        task = asyncio.get_running_loop().create_task(self._replace(engine))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    @staticmethod
    def _abandon(engine: _Engine, reason: str) -> None:
        error = f"the engine was lost: {reason}"
        for ticket in engine.works.values():
            ticket.tell(EngineLostError(error))
        for future in engine.loading.values():
            if not future.done():
                future.set_exception(EngineLostError(error))
        engine.works.clear()
        engine.loading.clear()

    async def _replace(self, lost: _Engine) -> None:
        await asyncio.sleep(RESTART_SECONDS)
        await lost.host.close()
        engine = await self._start_engine()
        self._engines[self._engines.index(lost)] = engine
        tried: set[int] = set()
        while missing := self._models.keys() - tried:  # models may be added meanwhile
            tried |= missing
            await self._reload(engine, [self._models[model_id][1] for model_id in sorted(missing)])
        self._set_ready(engine, True)
        logger.info("engine_restarted models=%d", len(tried))

    async def _reload(self, engine: _Engine, commands: list[Load]) -> None:
        loads = (self._load_on(engine, command) for command in commands)
        for problem in await asyncio.gather(*loads, return_exceptions=True):
            if isinstance(problem, BaseException):
                logger.error("reload_failed problem=%s", problem)
