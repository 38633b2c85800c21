"""What anyone would assemble: grpc.aio and PyTorch, on our own messages, so that one client asks both.

FOLDER ENGINE BATCH_SIZE TOKEN_COUNT PORT. A batch size of 1 runs one text at a time; a larger one is a naive
micro-batcher. A token count of 0 leaves the length of a generation to the model. A stream has a message per token.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from seqserve.v1 import inference_service_pb2 as messages
from seqserve.v1 import inference_service_pb2_grpc as stubs
from service.cores import find_cores
from tests.bench.serving.contenders.pytorch.batching import Batcher, Running, StreamBatcher
from tests.bench.serving.contenders.pytorch.models import torch_model
from tests.bench.serving.peers.bare_models import AnyBareModel, BareGenerator

WARM_TEXTS = (["a"], ["a", "b"], ["a", "a b", "a b c d e f g h i j k"])
"""Batches that are run before the first call, for torch.compile compiles for each kind that it meets."""


class TextServicer(stubs.InferenceServiceServicer):
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


class StreamServicer(stubs.InferenceServiceServicer):
    """Greedy streams."""

    def __init__(self, batcher: StreamBatcher) -> None:
        self._batcher = batcher

    async def GenerateText(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        index = 0
        async for piece in self._batcher.pieces(request.prompt):
            yield messages.GenerateTextResponse(text=piece, first_token_index=index, token_count=1)
            index += 1


async def serve(model: AnyBareModel, batch_size: int, port: int) -> None:
    """Serve until the process is ended."""
    servicer, batcher = _served(model, batch_size)
    server = grpc.aio.server()
    stubs.add_InferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.gather(batcher.run(), server.wait_for_termination())


def _served(model: AnyBareModel, batch_size: int) -> tuple[stubs.InferenceServiceServicer, Running]:
    if isinstance(model, BareGenerator):
        streams = StreamBatcher(model, batch_size)
        return StreamServicer(streams), streams
    batcher = Batcher(model, batch_size)
    return TextServicer(batcher), batcher


def main() -> None:
    """FOLDER ENGINE BATCH_SIZE TOKEN_COUNT PORT."""
    folder, engine, batch_size, token_count, port = sys.argv[1:]
    model = torch_model(Path(folder), engine, find_cores().usable, int(token_count) or None)
    for texts in WARM_TEXTS:
        model.answers(texts)
    asyncio.run(serve(model, int(batch_size), int(port)))


if __name__ == "__main__":
    main()
