"""What anyone would assemble: grpc.aio and PyTorch, on our own messages, so that one client asks both.

FOLDER ENGINE BATCH_SIZE PORT. A batch size of 1 runs one text at a time; a larger one is a naive micro-batcher: it
takes what waits, and waits 2 ms for more.
"""

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from seqserve.v1 import inference_service_pb2 as messages
from seqserve.v1 import inference_service_pb2_grpc as stubs
from service.cores import find_cores
from tests.bench.serving.contenders.torch_models import torch_model
from tests.bench.serving.peers.bare_models import Answer, AnyBareModel

WAIT_SECONDS = 0.002
QUEUE_SIZE = 4096


class Batcher:
    """Runs a model on one thread, in batches of up to `batch_size` texts."""

    def __init__(self, model: AnyBareModel, batch_size: int) -> None:
        self._model, self._batch_size = model, batch_size
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[Answer]]] = asyncio.Queue(QUEUE_SIZE)
        self._thread = ThreadPoolExecutor(1)

    async def answers(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to texts, which may be batched with other calls'."""
        futures = [asyncio.get_running_loop().create_future() for _ in texts]
        for text, future in zip(texts, futures, strict=True):
            self._queue.put_nowait((text, future))
        return list(await asyncio.gather(*futures))

    async def run(self) -> None:
        """Answer batch after batch, until it is cancelled."""
        while True:
            batch = await self._next_batch()
            texts = [text for text, _ in batch]
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._model.answers, texts)
            for (_, future), answer in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _next_batch(self) -> list[tuple[str, "asyncio.Future[Answer]"]]:
        batch = [await self._queue.get()]
        if self._batch_size > 1 and self._queue.empty():
            await asyncio.sleep(WAIT_SECONDS)
        while len(batch) < self._batch_size and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch


class Servicer(stubs.InferenceServiceServicer):
    """Two of our methods."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def TranslateText(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = await self._batcher.answers(request.texts)
        translations = [messages.Translation(text=text, token_count=count) for text, count in found]
        return messages.TranslateTextResponse(translations=translations)

    async def ClassifyText(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = await self._batcher.answers(request.texts)
        labels = [messages.Classification(labels=[messages.LabelScore(label=label)]) for label, _ in found]
        return messages.ClassifyTextResponse(classifications=labels)


async def serve(model: AnyBareModel, batch_size: int, port: int) -> None:
    """Serve until the process is ended."""
    batcher = Batcher(model, batch_size)
    server = grpc.aio.server()
    stubs.add_InferenceServiceServicer_to_server(Servicer(batcher), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.gather(batcher.run(), server.wait_for_termination())


def main() -> None:
    """FOLDER ENGINE BATCH_SIZE PORT."""
    folder, engine, batch_size, port = sys.argv[1:]
    model = torch_model(Path(folder), engine, find_cores().usable)
    asyncio.run(serve(model, int(batch_size), int(port)))


if __name__ == "__main__":
    main()
