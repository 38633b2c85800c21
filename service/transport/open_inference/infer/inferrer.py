"""Runs checked calls through the serving layer, and writes what comes back as replies.   Knows no RPC."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from service.errors import NotOfferedError, ServiceError
from service.metrics import REJECTION_REASONS, Metrics
from service.serving.api import GeneratedChunk, InferenceFront, Timings
from service.transport.convert_generation import GenerateCall
from service.transport.convert_translations import TranslateCall
from service.transport.open_inference.infer.answers import Writers, chunk_writers, logits_writers, translation_writers
from service.transport.open_inference.infer.requests import InferCall, to_infer_call
from service.transport.open_inference.infer.tensors import to_response
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

Replies = AsyncGenerator[protocol.ModelInferResponse, None]

FINAL = "triton_final_response"


@dataclass(frozen=True)
class Started:
    """A request that was found good. Its `replies` come when they are asked for, until `deadline` (`time.monotonic()`).

    One that `streams` has many of them.
    """

    replies: Replies
    streams: bool
    deadline: float


class Inferrer:
    """Answers ModelInferRequests.

    Args:
        front: the serving layer.
        metrics: receives what is refused here.
    """

    def __init__(self, front: InferenceFront, metrics: Metrics) -> None:
        self._front = front
        self._metrics = metrics

    async def infer(self, request: protocol.ModelInferRequest, deadline: float) -> protocol.ModelInferResponse:
        """The one reply to a request.

        Raises:
            NotOfferedError: the model answers in many.
            ServiceError: the request is refused, or fails.
        """
        call = self._checked(request)
        if call.signature.streams:
            raise NotOfferedError(
                f"model {call.reference} answers in many replies (decoupled): ask it by ModelStreamInfer",
                model=call.info.name,
            )
        return await self._answer(request.id, call, _earlier(deadline, call))

    def start(self, request: protocol.ModelInferRequest, deadline: float) -> Started:
        """Check a request of a stream. Every reply says whether it is the request's last.

        Raises:
            ServiceError: the request is refused.
        """
        call = self._checked(request)
        deadline = _earlier(deadline, call)
        if isinstance(call.call, GenerateCall):
            return Started(self._chunks(request.id, call, call.call, deadline), True, deadline)
        return Started(self._single(request.id, call, deadline), False, deadline)

    def _checked(self, request: protocol.ModelInferRequest) -> InferCall:
        try:
            return to_infer_call(self._front, request)
        except ServiceError as error:
            if error.reason in REJECTION_REASONS:
                self._metrics.requests_rejected.labels(
                    self._metrics.model_label(request.model_name), error.reason
                ).inc()
            raise

    async def _single(self, request_id: str, call: InferCall, deadline: float) -> Replies:
        response = await self._answer(request_id, call, deadline)
        response.parameters[FINAL].bool_param = True
        yield response

    async def _answer(self, request_id: str, call: InferCall, deadline: float) -> protocol.ModelInferResponse:
        asked, seed = call.call, None
        if isinstance(asked, TranslateCall):
            result = await self._front.translate(call.reference, asked.texts, asked.options, deadline=deadline)
            writers, timings, seed = translation_writers(result), result.timings, result.seed
        elif isinstance(asked, GenerateCall):
            raise TypeError("a generation has many replies")
        else:
            found = await self._front.logits(call.reference, asked.sequences, deadline=deadline)
            writers, timings = logits_writers(call.info, found, asked.top_label_count, call.top_counts), found.timings
        response = _written(request_id, call, writers)
        _set_timings(response, timings)
        if seed is not None:
            response.parameters["seed"].int64_param = seed
        return response

    async def _chunks(self, request_id: str, call: InferCall, asked: GenerateCall, deadline: float) -> Replies:
        chunks = self._front.generate(call.reference, asked.prompt, asked.options, deadline=deadline)
        async with aclosing(_generator(chunks)) as chunks:
            async for chunk in chunks:
                response = _written(request_id, call, chunk_writers(chunk))
                response.parameters[FINAL].bool_param = chunk.timings is not None
                if chunk.timings is not None:
                    _set_timings(response, chunk.timings)
                if chunk.seed is not None:
                    response.parameters["seed"].int64_param = chunk.seed
                yield response


def _generator(chunks: AsyncIterator[GeneratedChunk]) -> AsyncGenerator[GeneratedChunk, None]:
    """The front's iterator is a generator, which is closed to free its place at once."""
    return cast("AsyncGenerator[GeneratedChunk, None]", chunks)


def _earlier(deadline: float, call: InferCall) -> float:
    if call.timeout_seconds is None:
        return deadline
    return min(deadline, time.monotonic() + call.timeout_seconds)


def _written(request_id: str, call: InferCall, writers: Writers) -> protocol.ModelInferResponse:
    outputs = {name: writers[name]() for name in call.outputs}
    return to_response(request_id, call.info.name, call.info.version, outputs)


def _set_timings(response: protocol.ModelInferResponse, timings: Timings) -> None:
    response.parameters["queue_seconds"].double_param = timings.queue_seconds
    response.parameters["compute_seconds"].double_param = timings.compute_seconds
    response.parameters["total_seconds"].double_param = timings.total_seconds
