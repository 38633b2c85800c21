"""Runs of many inputs: some requests in flight at any time, answers in order.   In threads, or in asyncio."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from seqserve.errors import SeqserveError
from seqserve.many.answers import Answer, Input, Pause, Value
from seqserve.many.plan import Group, Grouping, Method, Plan, plan_of

MAX_IN_FLIGHT = 4
"""Requests: one that is decoded and some that wait behind it; half of the queue that a server has by default."""

MAX_STREAMS_IN_FLIGHT = 16
"""Generations, each a request of its own; half of the rows that a server decodes side by side by default."""

READ_AHEAD = 2
"""Requests that are made, in flight or answered, per request that may be in flight: a slow one does not stop others."""


class OpenCalls:
    """What the threads of one run have open, to be ended together."""

    def __init__(self) -> None:
        self._cancels: set[Callable[[], object]] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @contextlib.contextmanager
    def holding(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Have `cancel` called if the run ends within the block, or has ended already."""
        with self._lock:
            self._cancels.add(cancel)
        try:
            if self._ended.is_set():
                cancel()
            yield
        finally:
            with self._lock:
                self._cancels.discard(cancel)

    def wait(self, seconds: float) -> None:
        """Wait, at most until the run ends."""
        self._ended.wait(seconds)

    def cancel(self) -> None:
        """End the run."""
        self._ended.set()
        with self._lock:
            open_now = list(self._cancels)
        for cancel in open_now:
            cancel()


Ask: TypeAlias = Callable[[Any, OpenCalls], Any]
"""Sends a request and returns its response; raises a SeqserveError."""

AsyncAsk: TypeAlias = Callable[[Any], Awaitable[Any]]


def run(
    method: Method[Input, Value], inputs: Iterable[Input | Pause], ask: Ask, max_in_flight: int
) -> Iterator[Answer[Input, Value]]:
    """The answers to all inputs, in order. Leaving the iterator cancels what is in flight.

    Raises:
        ValueError: `max_in_flight` is below 1.
        SeqserveError: when iterated, what concerns no single input; see `plan_of`.
    """
    return _running(method, inputs, ask, checked_in_flight(max_in_flight))


def _running(
    method: Method[Input, Value], inputs: Iterable[Input | Pause], ask: Ask, max_in_flight: int
) -> Iterator[Answer[Input, Value]]:
    calls, waiting = OpenCalls(), deque[Future[list[Answer[Input, Value]]]]()
    pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="seqserve")
    try:
        for group, most in _groups(method, inputs, READ_AHEAD * max_in_flight):
            if group:
                waiting.append(pool.submit(_follow, plan_of(method, group), ask, calls))
            while waiting and (len(waiting) > most or waiting[0].done()):
                yield from waiting.popleft().result()
    finally:
        calls.cancel()
        pool.shutdown(cancel_futures=True)


def _groups(
    method: Method[Input, Value], inputs: Iterable[Input | Pause], window: int
) -> Iterator[tuple[Group[Input], int]]:
    """Groups to send, each with how many may be unanswered before the next input is asked for."""
    grouping = Grouping(method)
    for given in inputs:
        if isinstance(given, Pause):
            yield grouping.rest(), 0
        elif group := grouping.add(given):
            yield group, window - 1
    yield grouping.rest(), 0


def _follow(plan: Plan[Input, Value], ask: Ask, calls: OpenCalls) -> list[Answer[Input, Value]]:
    try:
        request = next(plan)
        while True:
            try:
                response = ask(request, calls)
            except SeqserveError as error:
                request = plan.throw(error)
            else:
                request = plan.send(response)
    except StopIteration as done:
        answers: list[Answer[Input, Value]] = done.value
        return answers


def run_async(
    method: Method[Input, Value],
    inputs: Iterable[Input | Pause] | AsyncIterable[Input | Pause],
    ask: AsyncAsk,
    max_in_flight: int,
) -> AsyncIterator[Answer[Input, Value]]:
    """As `run`, in asyncio."""
    return _running_async(method, inputs, ask, checked_in_flight(max_in_flight))


async def _running_async(
    method: Method[Input, Value],
    inputs: Iterable[Input | Pause] | AsyncIterable[Input | Pause],
    ask: AsyncAsk,
    max_in_flight: int,
) -> AsyncIterator[Answer[Input, Value]]:
    waiting, slots = deque[asyncio.Task[list[Answer[Input, Value]]]](), asyncio.Semaphore(max_in_flight)
    try:
        async for group, most in _groups_async(method, inputs, READ_AHEAD * max_in_flight):
            if group:
                waiting.append(asyncio.create_task(_follow_async(plan_of(method, group), ask, slots)))
            while waiting and (len(waiting) > most or waiting[0].done()):
                for answer in await waiting.popleft():
                    yield answer
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _groups_async(
    method: Method[Input, Value], inputs: Iterable[Input | Pause] | AsyncIterable[Input | Pause], window: int
) -> AsyncIterator[tuple[Group[Input], int]]:
    """As `_groups`."""
    if isinstance(inputs, Iterable):
        for found in _groups(method, inputs, window):
            yield found
        return
    grouping = Grouping(method)
    async for given in inputs:
        if isinstance(given, Pause):
            yield grouping.rest(), 0
        elif group := grouping.add(given):
            yield group, window - 1
    yield grouping.rest(), 0


async def _follow_async(
    plan: Plan[Input, Value], ask: AsyncAsk, slots: asyncio.Semaphore
) -> list[Answer[Input, Value]]:
    async with slots:
        try:
            request = next(plan)
            while True:
                try:
                    response = await ask(request)
                except SeqserveError as error:
                    request = plan.throw(error)
                else:
                    request = plan.send(response)
        except StopIteration as done:
            answers: list[Answer[Input, Value]] = done.value
            return answers


def checked_in_flight(max_in_flight: int) -> int:
    """`max_in_flight` itself.

    Raises:
        ValueError: it is below 1.
    """
    if max_in_flight < 1:
        raise ValueError(f"max_in_flight is {max_in_flight}, expected 1 and up")
    return max_in_flight
