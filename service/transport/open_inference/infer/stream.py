"""ModelStreamInfer: many requests on one stream, answered side by side.   Knows order and bounds; knows no model.

Requests with one reply are answered in the order in which they came; those with many as their replies come. A request
that fails is told of inside the stream, which goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from service.errors import DeadlineExceededError, ServiceError, ShuttingDownError
from service.transport.open_inference.infer.inferrer import FINAL, Started
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from service.transport.status import internal_error, to_status

MOST_AT_ONCE = 64
"""Requests of one stream that are answered side by side; no more are read meanwhile."""

MOST_REPLIES_WAITING = 16
"""Replies that wait for a client to read."""

Reply = protocol.ModelStreamInferResponse
Start = Callable[[protocol.ModelInferRequest], Started]
"""Checks a request."""


async def exchange(
    requests: AsyncIterator[protocol.ModelInferRequest], start: Start, stopping: asyncio.Event, *, real_statuses: bool
) -> AsyncGenerator[Reply, None]:
    """Replies to all requests of a stream, until the client has no more of them.

    Args:
        requests: what the client sends.
        start: checks one.
        stopping: once set, no more requests are read.
        real_statuses: whether the first failure ends the stream with its status.

    Raises:
        ShuttingDownError: `stopping` was set, and what had been read is answered.
        ServiceError: a message cannot be decoded; or, with `real_statuses`, a request failed.
    """
    talk = _Exchange(start, real_statuses=real_statuses)
    reading = asyncio.create_task(talk.run(requests, stopping), name="stream")
    try:
        while (reply := await talk.replies.get()) is not None:
            if isinstance(reply, BaseException):
                raise reply
            yield reply
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class _Turn:
    """When a request may be told of: once `before` is set. It sets `told` in the end."""

    before: asyncio.Event = field(default_factory=_set_event)
    told: asyncio.Event = field(default_factory=asyncio.Event)


class _Exchange:
    """The requests of one stream that are being answered. `replies` ends with None or an error."""

    def __init__(self, start: Start, *, real_statuses: bool) -> None:
        self.replies: asyncio.Queue[Reply | BaseException | None] = asyncio.Queue(MOST_REPLIES_WAITING)
        self._start = start
        self._real_statuses = real_statuses
        self._free = asyncio.Semaphore(MOST_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_turn = _Turn(told=_set_event())  # of the last request with one reply

    async def run(self, requests: AsyncIterator[protocol.ModelInferRequest], stopping: asyncio.Event) -> None:
        """Answer every request; cancelled, drop them all."""
        try:
            end = await self._read(requests, stopping)
            while self._tasks:
                await asyncio.wait(self._tasks)
            await self.replies.put(end)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream ends with it
            await self.replies.put(error)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(
        self, requests: AsyncIterator[protocol.ModelInferRequest], stopping: asyncio.Event
    ) -> ServiceError | None:
        """Start on every request; why no more are read, if the client would have more."""
        stopped = asyncio.create_task(stopping.wait())
        try:
            while True:
                await self._free.acquire()
                coming = asyncio.ensure_future(anext(requests, None))
                await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                    return ShuttingDownError("the server is shutting down and takes no more requests on this stream")
                if (request := coming.result()) is None:
                    return None
                self._begin(request)
        finally:
            stopped.cancel()

    def _begin(self, request: protocol.ModelInferRequest) -> None:
        try:
            started: Started | ServiceError = self._start(request)
        except ServiceError as error:
            started = error
        if isinstance(started, Started) and started.streams:
            turn = _Turn()
        else:
            turn = self._last_turn = _Turn(before=self._last_turn.told)
        task = asyncio.create_task(self._answer(request.id, started, turn))
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()

    async def _answer(self, request_id: str, started: Started | ServiceError, turn: _Turn) -> None:
        """Tell the replies of a request, or how it failed, when its turn has come."""
        try:
            error = started if isinstance(started, ServiceError) else await self._failure(started, turn)
            if error is not None:
                await turn.before.wait()
                await self.replies.put(error if self._real_statuses else _told(request_id, error))
        finally:
            turn.told.set()

    async def _failure(self, started: Started, turn: _Turn) -> ServiceError | None:
        """Tell the replies of a request; why there are no more of them, if it failed."""
        try:
            async with asyncio.timeout_at(started.deadline), aclosing(started.replies) as replies:
                async for response in replies:
                    await turn.before.wait()
                    await self.replies.put(Reply(infer_response=response))
        except TimeoutError:
            return DeadlineExceededError("the deadline passed before the whole answer was taken")
        except ServiceError as error:
            return error
        except Exception as error:  # noqa: BLE001 - as for calls of one reply, the unknown becomes INTERNAL with an id
            return internal_error(error)
        return None


def _told(request_id: str, error: ServiceError) -> Reply:
    """A failure as the stream tells of it. Beside the message, the id says of which request."""
    response = protocol.ModelInferResponse(id=request_id)
    response.parameters[FINAL].bool_param = True
    return Reply(error_message=to_status(error).details, infer_response=response)
