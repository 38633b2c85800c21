"""Streams of generated text, for blocking code and for asyncio.   Read calls; `generation` says what is asked."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self, TypeAlias, cast

import grpc
import grpc.aio

from seqserve.errors import from_rpc_error
from seqserve.generation import Generation
from seqserve.results import GeneratedChunk
from seqserve.v1 import inference_service_pb2 as inference

Call: TypeAlias = "grpc._CallIterator[inference.GenerateTextResponse]"
AsyncCall: TypeAlias = "grpc.aio.UnaryStreamCall[inference.GenerateTextRequest, inference.GenerateTextResponse]"


class GenerationStream:
    """Chunks of one generation, as they come. Leaving early cancels it on the server.

    Iterate it directly, or inside `with`, which cancels at once whatever still holds a reference.
    """

    def __init__(self, open_call: Callable[[Generation], Call], generation: Generation) -> None:
        self._open_call = open_call
        self._generation = generation
        self._closed = threading.Event()
        self._call = open_call(generation)

    def __iter__(self) -> Iterator[GeneratedChunk]:
        return self

    def __next__(self) -> GeneratedChunk:
        while not self._closed.is_set():
            try:
                chunk = self._generation.chunk(next(self._call))
                if chunk is not None:
                    return chunk
                continue
            except grpc.RpcError as error:
                if self._closed.is_set():  # by another thread, while this one waited
                    break
                failure = from_rpc_error(error)
                delay = self._generation.delay_after(failure)
                if delay is None:
                    raise failure from error
            if not self._closed.wait(delay):
                self._call = self._open_call(self._generation)
                if self._closed.is_set():  # while it was opened
                    self._call.cancel()
        raise StopIteration

    def close(self) -> None:
        """Cancel what is left; iterating ends."""
        self._closed.set()
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncGenerationStream:
    """Chunks of one generation, as they come. Leaving early cancels it on the server.

    Iterate it directly, or inside `async with`, which cancels at once whatever still holds a reference.
    """

    def __init__(self, open_call: Callable[[Generation], AsyncCall], generation: Generation) -> None:
        self._open_call = open_call
        self._generation = generation
        self._closed = False
        self._call = open_call(generation)

    def __del__(self) -> None:
        # grpc.aio never collects a call that is not done (grpc/grpc#43462), so its stream would stay open
        with contextlib.suppress(RuntimeError, AttributeError):  # the event loop is closed; or no call was ever opened
            self._call.cancel()

    def __aiter__(self) -> AsyncIterator[GeneratedChunk]:
        return self

    async def __anext__(self) -> GeneratedChunk:
        while not self._closed:
            try:
                response = await self._call.read()
            except asyncio.CancelledError:
                if self._closed and not _is_cancelled():  # closed by another task, while this one waited
                    break
                raise
            except grpc.RpcError as error:
                failure = from_rpc_error(error)
                delay = self._generation.delay_after(failure)
                if delay is None:
                    raise failure from error
            else:
                if response is grpc.aio.EOF:
                    break
                chunk = self._generation.chunk(cast(inference.GenerateTextResponse, response))
                if chunk is not None:
                    return chunk
                continue
            await asyncio.sleep(delay)
            if not self._closed:
                self._call = self._open_call(self._generation)
        raise StopAsyncIteration

    async def close(self) -> None:
        """Cancel what is left; iterating ends."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _is_cancelled() -> bool:
    """Whether somebody wants the running task itself to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
