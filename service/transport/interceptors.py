"""What happens around every RPC: decoding, error translation, metrics.   Knows no method by name.

Health and reflection pass through here too. Calls that gRPC itself turns away (too large a message,
`max_concurrent_rpcs`) never get here and are not counted.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from service.errors import DeadlineExceededError, ServiceError, UndecodableMessageError
from service.metrics import UNKNOWN, MethodSeries, Metrics
from service.transport.status import to_internal_status, to_status

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for type checkers only

_GO_SPELLING = {"OK": "OK", "CANCELLED": "Canceled"}
GO_CODES = {code: _GO_SPELLING.get(code.name, code.name.title().replace("_", "")) for code in grpc.StatusCode}
"""Status codes as dashboards spell them: `NotFound`."""

_GRPC_TYPE = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
_MAKE_HANDLER: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
MOST_PEERS = 1000
CLOSE_AGAIN_SECONDS = 0.05


def deadline_of(context: Context, max_seconds: float) -> float:
    """The `time.monotonic()` value at which a call ends: the client's deadline or ours, whichever is first."""
    remaining: float | None = context.time_remaining()  # None if the client set none, whatever the stubs say
    return time.monotonic() + (max_seconds if remaining is None else min(remaining, max_seconds))


@dataclass(frozen=True)
class Undecodable:
    """Stands for a request whose bytes are not the message that the method takes."""

    problem: str
    byte_count: int


class OncePerSecond:
    """Lets one event per key and second through. Remembers a bounded number of keys."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def allows(self, key: str, now: float) -> bool:
        """Whether an event of `key` at `now` (seconds, any monotonic clock) may pass."""
        while self._last and now - next(iter(self._last.values())) >= 1.0:  # the oldest come first
            del self._last[next(iter(self._last))]
        if key in self._last or len(self._last) >= MOST_PEERS:
            return False
        self._last[key] = now
        return True


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Surrounds every handler. One per server.

    Args:
        metrics: receives the grpc_server_* series.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._series: dict[str, MethodSeries] = {}
        self._max_seconds: dict[str, float | None] = {}
        self._handlers: dict[str, Handler] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._undecodable = OncePerSecond()
        self._unknown = metrics.add_method("unary", UNKNOWN, UNKNOWN, GO_CODES.values())

    @property
    def running(self) -> frozenset[asyncio.Task[Any]]:
        """Tasks of the calls that have not ended."""
        return frozenset(self._running)

    def expect(
        self, service: str, method: str, *, request_streaming: bool, response_streaming: bool, max_seconds: float | None
    ) -> None:
        """Create the series of a method, before it is called for the first time.

        Args:
            service: full name of the service.
            method: name of the method.
            request_streaming: whether the client sends a stream.
            response_streaming: whether the server does.
            max_seconds: longest time for which a stream of answers may hold what its handler holds. None: no limit.
        """
        grpc_type = _GRPC_TYPE[request_streaming, response_streaming]
        series = self._metrics.add_method(grpc_type, service, method, GO_CODES.values())
        self._series[f"/{service}/{method}"] = series
        self._max_seconds[f"/{service}/{method}"] = max_seconds

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Give a handler that does what the server's own does, and all the rest; made at a method's first call."""
        method = handler_call_details.method
        if method in self._handlers:
            return self._handlers[method]
        handler = await continuation(handler_call_details)
        if handler is None:
            self._unknown.started.inc()
            self._unknown.handled[GO_CODES[grpc.StatusCode.UNIMPLEMENTED]].inc()
            return None
        return self._handlers.setdefault(method, self._surrounded(handler, method))

    def _surrounded(self, handler: Handler, method: str) -> Handler:
        kinds = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
        behaviour: Any = next(kind for kind in kinds if kind is not None)
        series = self._series.get(method, self._unknown)
        max_seconds = self._max_seconds.get(method)
        received = self._received_stream if handler.request_streaming else self._received

        async def answer(request: Any, context: Context) -> Any:
            with self._counted(series, context):
                try:
                    reply = await behaviour(received(request, series, context), context)
                except BaseException as error:  # panics of libraries are no Exception
                    await _abort(error, context)
                    raise
                series.sent.inc()
                return reply

        async def answer_in_parts(request: Any, context: Context) -> None:
            with self._counted(series, context):
                try:
                    async with (
                        aclosing(behaviour(received(request, series, context), context)) as replies,
                        _closed_in_time(replies, context, max_seconds),
                    ):
                        async for reply in replies:
                            await context.write(reply)
                            series.sent.inc()
                except BaseException as error:  # panics of libraries are no Exception
                    await _abort(error, context)
                    raise

        return _MAKE_HANDLER[handler.request_streaming, handler.response_streaming](
            answer_in_parts if handler.response_streaming else answer,
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _received(self, request: Any, series: MethodSeries, context: Context) -> Any:
        series.received.inc()
        if isinstance(request, Undecodable):
            raise self._undecodable_error(request, context)
        return request

    async def _received_stream(
        self, requests: AsyncIterator[Any], series: MethodSeries, context: Context
    ) -> AsyncIterator[Any]:
        async for request in requests:
            yield self._received(request, series, context)

    def _undecodable_error(self, request: Undecodable, context: Context) -> UndecodableMessageError:
        self._metrics.requests_rejected.labels(UNKNOWN, UndecodableMessageError.reason).inc()
        peer = context.peer().rpartition(":")[0]  # without the port: a client may open many connections
        if self._undecodable.allows(peer, time.monotonic()):
            logger.warning("undecodable_message peer=%s bytes=%d", peer, request.byte_count)
        return UndecodableMessageError(
            f"the {request.byte_count} bytes sent are not the message that this method takes: {request.problem}",
            byte_count=request.byte_count,
        )

    def _counted(self, series: MethodSeries, context: Context) -> "_CountedCall":
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return _CountedCall(series, context)


class _CountedCall:
    """Counts a call from start to end, however it ends. A class, for a generator around every call costs more."""

    def __init__(self, series: MethodSeries, context: Context) -> None:
        self._series = series
        self._context = context

    def __enter__(self) -> None:
        self._series.started.inc()
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._series.handled[GO_CODES[self._code(error)]].inc()
        self._series.handling_seconds.observe(time.perf_counter() - self._began)

    def _code(self, error: BaseException | None) -> grpc.StatusCode:
        if error is None:
            return _code_set(self._context) or grpc.StatusCode.OK
        if isinstance(error, asyncio.CancelledError):
            expired = self._context.time_remaining() == 0
            return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
        if isinstance(error, grpc.aio.BaseError):  # aborted, or the client is gone
            return _code_set(self._context) or grpc.StatusCode.CANCELLED
        return grpc.StatusCode.UNKNOWN


async def _abort(error: BaseException, context: Context) -> None:
    """Turn an error into a status; the one place where calls are aborted. Returns for what gRPC is to see as it is."""
    if isinstance(error, ServiceError):
        await context.abort_with_status(to_status(error))
    if not isinstance(
        error, grpc.aio.BaseError | asyncio.CancelledError | GeneratorExit | KeyboardInterrupt | SystemExit
    ):
        await context.abort_with_status(to_internal_status(error))


@asynccontextmanager
async def _closed_in_time(
    replies: AsyncGenerator[Any, None], context: Context, max_seconds: float | None
) -> AsyncIterator[None]:
    """Close a handler's stream at the call's deadline, so that it holds nothing for a client that does not read.

    A message on its way cannot be taken back, nor overtaken by a status: gRPC keeps the call until the client reads,
    and then learns the status, or leaves. So the writing is not cancelled; what it would have written next is.

    Raises:
        DeadlineExceededError: after the block, if the deadline passed in it.
    """
    if max_seconds is None:
        yield
        return
    closing = asyncio.create_task(_close_at(replies, deadline_of(context, max_seconds)))
    try:
        yield
    finally:
        closed = not closing.cancel()
    if closed:
        raise DeadlineExceededError("the deadline passed before the whole answer was taken")


async def _close_at(replies: AsyncGenerator[Any, None], deadline: float) -> None:
    await asyncio.sleep(deadline - time.monotonic())
    while True:
        try:
            return await replies.aclose()
        except RuntimeError:  # it is at work, and knows the deadline itself
            await asyncio.sleep(CLOSE_AGAIN_SECONDS)


def _code_set(context: Context) -> grpc.StatusCode | None:
    code: grpc.StatusCode | None = context.code()  # None while nobody set one, whatever the stubs say
    return code


def _tolerant(decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A deserialiser that never raises: gRPC would answer INTERNAL and log a traceback."""
    if decode is None:
        return None

    def decode_or_say_why(raw: bytes) -> Any:
        try:
            return decode(raw)
        except DecodeError as error:
            return Undecodable(str(error), len(raw))

    return decode_or_say_why
