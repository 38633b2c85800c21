"""A grpc.aio server that has every answer at hand: what calls with these texts cost when answers cost nothing.

PORT SECONDS FILE, the items in the file as JSON. An answer comes after half to one and a half times so many seconds, at
random, as those of a server come that works for them; of 0 seconds at once.
"""

import asyncio
import json
import random
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from google.protobuf import duration_pb2

from seqserve.v1 import inference_service_pb2 as messages
from seqserve.v1 import inference_service_pb2_grpc as stubs
from tests.bench.serving.load.spec import Item


class ReadyServicer(stubs.InferenceServiceServicer):
    """Two of our methods. Answers have all fields that ours have, but of labels the best alone, for no other is known.

    Args:
        items: the texts that will come, with their answers.
        seconds: mean wait before an answer.
    """

    def __init__(self, items: Iterable[Item], seconds: float) -> None:
        self._items: Mapping[str, Item] = {item.text: item for item in items}
        self._seconds = seconds
        self._random = random.Random(1)

    async def TranslateText(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        await self._wait()
        translations = [
            messages.Translation(
                text=item.expected,
                source_token_count=item.token_count,
                token_count=item.token_count,
                finish_reason=messages.FINISH_REASON_STOP,
            )
            for item in (self._items[text] for text in request.texts)
        ]
        return messages.TranslateTextResponse(
            translations=translations, model_version=version_of(request), timings=_timings()
        )

    async def ClassifyText(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        await self._wait()
        labels = [messages.LabelScore(label=self._items[text].expected, probability=1.0) for text in request.texts]
        classifications = [messages.Classification(labels=[label], token_count=1) for label in labels]
        return messages.ClassifyTextResponse(
            classifications=classifications, model_version=version_of(request), timings=_timings()
        )

    async def _wait(self) -> None:
        if self._seconds:
            await asyncio.sleep(self._seconds * self._random.uniform(0.5, 1.5))


def version_of(request: Any) -> messages.ModelVersion:
    """Of the model that was asked for."""
    return messages.ModelVersion(name=request.model, version=1)


def _timings() -> messages.ServerTimings:
    moment = duration_pb2.Duration(nanos=1)
    return messages.ServerTimings(queue_duration=moment, compute_duration=moment, total_duration=moment)


async def serve(port: int, servicer: stubs.InferenceServiceServicer) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server()
    stubs.add_InferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    """PORT SECONDS FILE."""
    port, seconds, file = sys.argv[1:]
    items = [Item(**one) for one in json.loads(Path(file).read_text(encoding="utf-8"))]
    uvloop.run(serve(int(port), ReadyServicer(items, float(seconds))))


if __name__ == "__main__":
    main()
