"""Starts workers, replaces those that die, asks them what they measure, and lets them drain.   Knows no gRPC."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.errors import SettingsError
from service.metrics import SupervisorMetrics
from service.workers.messages import NEWS, Collect, Drain, Family, Order, Page, Refused, Status, framed, read_frame

logger = logging.getLogger(__name__)

RESTART_SECONDS = 0.5
"""Wait before a worker that died is replaced; doubled while the new one dies too."""

MOST_RESTART_SECONDS = 30.0
"""Longest wait before a worker is replaced."""

STEADY_SECONDS = 60.0
"""A worker that lived this long died for a reason of its own, and is replaced without delay."""

HUNG_SECONDS = 30.0
"""A worker that gives no sign of life for so long is killed and replaced."""

COLLECT_SECONDS = 2.0
"""How long a worker may take to tell what it measures; Prometheus waits 10 s for the whole page."""

NOT_YET = Status(listening=False, ready=False)


@dataclass
class _Worker:
    """A place for a worker, and what the one that is there now says."""

    number: int
    status: Status = NOT_YET
    process: Process | None = None
    writer: asyncio.StreamWriter | None = None
    pages: dict[int, asyncio.Future[list[Family]]] = field(default_factory=dict)

    def send(self, order: Order) -> None:
        """Tell the worker something, if it is there to hear it."""
        if self.writer is not None and not self.writer.is_closing():
            self.writer.write(framed(order))

    def kill(self) -> None:
        """End its process at once.

        Not by `Process.kill`, which looks whether the process has ended and thereby takes its exit code away from
        asyncio, which then reports 255.
        """
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Workers of one server.

    Args:
        command: makes the command line of a worker from its number and the descriptor of its socket.
        count: how many.
        metrics: receives which are ready, and how often one was lost.
        hung_seconds: a worker that gives no sign of life for so long is replaced.
    """

    def __init__(
        self, command: Callable[[int, int], Sequence[str]], *, count: int, metrics: SupervisorMetrics,
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:  # fmt: skip
        self._command = command
        self._metrics = metrics
        self._hung_seconds = hung_seconds
        self._workers = [_Worker(number) for number in range(count)]
        self._ids = itertools.count(1)
        self._news = asyncio.Event()
        self._all_listened = False
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether requests may come: one worker takes them, and at the start all have come up."""
        return self._all_listened and not self._draining and any(worker.status.ready for worker in self._workers)

    async def run(self, announce: Callable[[], None]) -> None:
        """Keep every place filled, until cancelled.

        Args:
            announce: called once, when every worker listens.

        Raises:
            SettingsError: a worker refused its settings before all had come up.
        """
        tasks = [asyncio.create_task(self._supervise(worker), name="worker supervisor") for worker in self._workers]
        waiting = asyncio.create_task(self._wait_for_all(announce))
        try:
            done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
            await self._end_all()

    async def _wait_for_all(self, announce: Callable[[], None]) -> None:
        while not all(worker.status.listening for worker in self._workers):
            self._news.clear()
            await self._news.wait()
        self._all_listened = True
        announce()

    async def collect(self) -> list[tuple[int, list[Family]]]:
        """What every worker measures, by its number. One that does not answer in time is left out."""
        asked = [worker for worker in self._workers if worker.writer is not None]
        found = await asyncio.gather(*(self._page_of(worker) for worker in asked))
        return [(worker.number, families) for worker, families in zip(asked, found, strict=True) if families]

    async def drain(self, seconds: float) -> None:
        """Let every worker finish what is in flight, and end; kill those that take longer than `seconds`."""
        self._draining = True
        for worker in self._workers:
            worker.send(Drain())
        try:
            async with asyncio.timeout(seconds):
                await self._wait_for_processes()
        except TimeoutError:
            logger.warning("drain_too_long seconds=%.1f", seconds)
        await self._end_all()

    def kill(self) -> None:
        """End every worker at once."""
        for worker in self._workers:
            worker.kill()

    async def _end_all(self) -> None:
        self.kill()
        await self._wait_for_processes()

    async def _wait_for_processes(self) -> None:
        await asyncio.gather(*(worker.process.wait() for worker in self._workers if worker.process is not None))

    async def _supervise(self, worker: _Worker) -> None:
        """Keep one place filled, until cancelled."""
        delay = RESTART_SECONDS
        while not self._draining:
            begun = time.monotonic()
            try:
                await self._live(worker)
            except OSError:
                logger.exception("worker_not_started worker=%d", worker.number)
            if self._draining:
                return
            self._metrics.worker_restarts.labels(str(worker.number)).inc()
            delay = RESTART_SECONDS if time.monotonic() - begun > STEADY_SECONDS else delay
            await asyncio.sleep(delay)
            delay = min(2 * delay, MOST_RESTART_SECONDS)

    async def _live(self, worker: _Worker) -> None:
        """Start a worker, and listen to it until it is gone."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            command = self._command(worker.number, theirs.fileno())
            process = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()])
            undo.pop_all()
        worker.process = process
        try:
            reader, worker.writer = await asyncio.open_connection(sock=ours)
            await self._listen(worker, reader)
        finally:
            self._give_up(worker)
            if not self._draining:
                worker.kill()
            code = await process.wait()
            level = logging.INFO if self._draining else logging.WARNING
            logger.log(level, "worker_ended worker=%d pid=%d exit_code=%d", worker.number, process.pid, code)

    async def _listen(self, worker: _Worker, reader: asyncio.StreamReader) -> None:
        """Take a worker's news until its socket closes, or it has said nothing for too long."""
        with contextlib.suppress(EOFError):
            while True:
                try:
                    async with asyncio.timeout(self._hung_seconds):
                        news = NEWS.decode(await read_frame(reader))
                except TimeoutError:
                    logger.warning("worker_hung worker=%d seconds=%.0f", worker.number, self._hung_seconds)
                    return
                self._take(worker, news)

    def _take(self, worker: _Worker, news: Status | Refused | Page) -> None:
        if isinstance(news, Refused):
            self._take_refusal(worker, news.message)
        elif isinstance(news, Page):
            future = worker.pages.get(news.number)
            if future is not None and not future.done():
                future.set_result(news.families)
        else:
            self._set_status(worker, news)

    def _take_refusal(self, worker: _Worker, message: str) -> None:
        """End the server at its start; once it has served, something else has changed, and the others go on."""
        if not self._all_listened:
            raise SettingsError(message)
        logger.error("worker_refused worker=%d problem=%s", worker.number, message)

    def _set_status(self, worker: _Worker, status: Status) -> None:
        worker.status = status
        self._metrics.worker_ready.labels(str(worker.number)).set(status.ready)
        self._news.set()

    def _give_up(self, worker: _Worker) -> None:
        """Expect nothing more of a worker."""
        self._set_status(worker, NOT_YET)
        if worker.writer is not None:
            worker.writer.close()
            worker.writer = None
        for future in worker.pages.values():
            if not future.done():
                future.set_result([])

    async def _page_of(self, worker: _Worker) -> list[Family]:
        number = next(self._ids)
        worker.pages[number] = asyncio.get_running_loop().create_future()
        worker.send(Collect(number))
        try:
            async with asyncio.timeout(COLLECT_SECONDS):
                return await worker.pages[number]
        except TimeoutError:
            logger.warning("worker_tells_no_metrics worker=%d seconds=%.1f", worker.number, COLLECT_SECONDS)
            return []
        finally:
            del worker.pages[number]
