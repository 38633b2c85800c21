"""A naive micro-batcher, as anyone would write it: takes what waits, and waits 2 ms for more.   Knows no gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from tests.bench.serving.peers.bare_models import Answer, AnyBareModel, BareGenerator

WAIT_SECONDS = 0.002
QUEUE_SIZE = 4096

Waiting = TypeVar("Waiting")


class Line(Generic[Waiting]):
    """Texts that wait to be run, each with whoever waits for its answer.

    Args:
        batch_size: texts that run together; 1 runs one at a time and waits for no more.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._queue: asyncio.Queue[tuple[str, Waiting]] = asyncio.Queue(QUEUE_SIZE)

    def put(self, text: str, waiting: Waiting) -> None:
        """Stand in line."""
        self._queue.put_nowait((text, waiting))

    async def next_batch(self) -> list[tuple[str, Waiting]]:
        """Those that are first in line, at least one."""
        batch = [await self._queue.get()]
        if self._batch_size > 1 and self._queue.empty():
            await asyncio.sleep(WAIT_SECONDS)
        while len(batch) < self._batch_size and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch


class Running(Protocol):
    """Something that runs batches."""

    async def run(self) -> None:
        """Run batch after batch, until it is cancelled."""
        ...


class Batcher:
    """Runs a model on one thread, in batches of up to `batch_size` texts."""

    def __init__(self, model: AnyBareModel, batch_size: int) -> None:
        self._model, self._line = model, Line["asyncio.Future[Answer]"](batch_size)
        self._thread = ThreadPoolExecutor(1)

    async def answers(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to texts, which may be batched with other calls'."""
        futures = [asyncio.get_running_loop().create_future() for _ in texts]
        for text, future in zip(texts, futures, strict=True):
            self._line.put(text, future)
        return list(await asyncio.gather(*futures))

    async def run(self) -> None:
        """Answer batch after batch, until it is cancelled."""
        while True:
            batch = await self._line.next_batch()
            texts = [text for text, _ in batch]
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._model.answers, texts)
            for (_, future), answer in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(answer)


Told = asyncio.Queue[str | None]
"""What a stream is told: the text of each token, then None."""


class StreamBatcher:
    """Steps up to `batch_size` prompts together on one thread, and tells each token as it is written.

    Who comes meanwhile waits for the end of the batch.
    """

    def __init__(self, model: BareGenerator, batch_size: int) -> None:
        self._model, self._line = model, Line[Told](batch_size)
        self._thread = ThreadPoolExecutor(1)

    async def pieces(self, prompt: str) -> AsyncIterator[str]:
        """The text of each token."""
        told = Told(QUEUE_SIZE)
        self._line.put(prompt, told)
        while (piece := await told.get()) is not None:
            yield piece

    async def run(self) -> None:
        """Write batch after batch, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._line.next_batch()
            await loop.run_in_executor(self._thread, self._write, loop, batch)

    def _write(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[str, Told]]) -> None:
        texts = [self._model.new_text() for _ in batch]
        for step in self._model.steps([prompt for prompt, _ in batch]):
            loop.call_soon_threadsafe(_tell, [(batch[row][1], texts[row](token)) for row, token in step])
        loop.call_soon_threadsafe(_tell, [(told, None) for _, told in batch])


def _tell(pieces: Sequence[tuple[Told, str | None]]) -> None:
    for told, piece in pieces:
        told.put_nowait(piece)
