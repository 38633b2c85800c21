"""Our engine process behind the least that can be put before it: what a front without anything of its own would have.

PORT FOLDER, of a bundle. A grpc.aio server whose handlers split texts into tokens, send them to one engine, and write
what comes back: no checks, limits, deadlines, metrics, versions or errors.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from google.protobuf import duration_pb2

from seqserve.v1 import inference_service_pb2 as messages
from seqserve.v1 import inference_service_pb2_grpc as stubs
from service.bundle.manifest import text_specs
from service.bundle.store import open_bundle
from service.engine.requests import DecodeOptions
from service.serving.engines.engine_loop import EngineLimits
from service.serving.engines.hosts import ProcessHost
from service.serving.engines.messages import (
    Classified,
    ClassifyWork,
    Decoded,
    DecodeWork,
    Event,
    Load,
    Loaded,
    Work,
)
from service.settings import ServiceSettings
from service.text.tokenizer import Tokenizer
from tests.bench.serving.contenders.ready_server import serve, version_of

MODEL_ID, SECONDS = 0, 60.0


class BareServicer(stubs.InferenceServiceServicer):
    """Two of our methods, greedy, for one bundle. Answers have all fields that ours have."""

    def __init__(self, folder: Path) -> None:
        bundle = open_bundle(folder)
        self._folder = folder
        self._spec: Any = bundle.manifest.spec
        self._tokenizers = [Tokenizer.from_bytes(bundle.files[text.tokenizer]) for text in text_specs(self._spec)]
        defaults = {name: field.default for name, field in ServiceSettings.model_fields.items()}
        self._engine = ProcessHost(
            EngineLimits(
                defaults["max_batch_size"],
                defaults["decode_slots"],
                defaults["padding_budget"],
                defaults["max_tokens_per_run"],
            )
        )
        self._ids = itertools.count(MODEL_ID + 1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def start(self) -> None:
        """Start the engine, and wait until it holds the model."""
        await self._engine.start(self._deliver, sys.exit)
        self._waiting[MODEL_ID] = loaded = asyncio.get_running_loop().create_future()
        self._engine.send(Load(MODEL_ID, str(self._folder), "cpu"))
        await loaded

    async def close(self) -> None:
        """End the engine."""
        await self._engine.close()

    async def TranslateText(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        now, (source, target) = time.monotonic(), self._tokenizers
        rows = [source.encode(text) for text in request.texts]
        options = DecodeOptions(self._spec.max_output_token_count)
        work = DecodeWork(next(self._ids), MODEL_ID, rows, now, now + SECONDS, options)
        decoded = await self._answer(work)
        translations = [
            messages.Translation(
                text=target.decode(hypothesis.token_ids),
                source_token_count=len(row),
                token_count=len(hypothesis.token_ids),
                finish_reason=messages.FINISH_REASON_STOP,
            )
            for row, (hypothesis,) in zip(rows, decoded.rows, strict=True)
        ]
        return messages.TranslateTextResponse(
            translations=translations, model_version=version_of(request), timings=_timings(decoded)
        )

    async def ClassifyText(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        now, (tokenizer,) = time.monotonic(), self._tokenizers
        rows = [tokenizer.encode(text) for text in request.texts]
        classified = await self._answer(ClassifyWork(next(self._ids), MODEL_ID, rows, now, now + SECONDS))
        labels = self._spec.labels
        classifications = [
            messages.Classification(
                labels=[
                    messages.LabelScore(label=labels[place], probability=shares[place])
                    for place in sorted(range(len(labels)), key=shares.__getitem__, reverse=True)
                ],
                token_count=len(row),
            )
            for row, (shares,) in zip(rows, classified.probabilities, strict=True)
        ]
        return messages.ClassifyTextResponse(
            classifications=classifications, model_version=version_of(request), timings=_timings(classified)
        )

    async def _answer(self, work: Work) -> Any:
        self._waiting[work.work_id] = answer = asyncio.get_running_loop().create_future()
        self._engine.send(work)
        return await answer

    def _deliver(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Classified | Decoded | Loaded):
                answer = self._waiting.pop(event.model_id if isinstance(event, Loaded) else event.work_id)
                if not answer.done():  # else its caller left
                    answer.set_result(event)


def _timings(answer: Classified | Decoded) -> messages.ServerTimings:
    queue, compute = (
        duration_pb2.Duration(nanos=round(1e9 * seconds)) for seconds in (answer.queue_seconds, answer.compute_seconds)
    )
    return messages.ServerTimings(queue_duration=queue, compute_duration=compute, total_duration=compute)


async def _serve(port: int, servicer: BareServicer) -> None:
    await servicer.start()
    await serve(port, servicer)


def main() -> None:
    """PORT FOLDER."""
    port, folder = sys.argv[1:]
    uvloop.run(_serve(int(port), BareServicer(Path(folder))))


if __name__ == "__main__":
    main()
