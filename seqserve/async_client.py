"""The asyncio client.   The twin of `seqserve.client`, method by method, over grpc.aio."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from seqserve import convert
from seqserve.connection import (
    CHANNEL_OPTIONS,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_S,
    HEALTH_CHECK_METHOD,
    Attempts,
    checked_timeout,
)
from seqserve.errors import from_rpc_error
from seqserve.options import GenerateOptions, LabelOptions, TranslateOptions
from seqserve.results import (
    ClassifyResult,
    GeneratedChunk,
    GeneratedText,
    LabelResult,
    Model,
    ScoreResult,
    TranslateResult,
)
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from seqserve.v1.inference_service_pb2_grpc import InferenceServiceStub
from seqserve.v1.model_service_pb2_grpc import ModelServiceStub

if TYPE_CHECKING:
    from seqserve.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub
    from seqserve.v1.model_service_pb2_grpc import ModelServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncGenerationStream:
    """Chunks of one generation, as they come. Leaving early cancels it on the server.

    Iterate it directly, or inside `async with`, which cancels at once whatever still holds a reference.
    """

    def __init__(
        self, call: "grpc.aio.UnaryStreamCall[inference.GenerateTextRequest, inference.GenerateTextResponse]"
    ) -> None:
        self._call = call
        self._closed = False

    def __del__(self) -> None:
        # grpc.aio never collects a call that is not done (grpc/grpc#43462), so its stream would stay open
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and the call with it
            self._call.cancel()

    def __aiter__(self) -> AsyncIterator[GeneratedChunk]:
        return self

    async def __anext__(self) -> GeneratedChunk:
        if self._closed:
            raise StopAsyncIteration
        try:
            response = await self._call.read()
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        if response is grpc.aio.EOF:
            raise StopAsyncIteration
        return convert.generated_chunk(cast(inference.GenerateTextResponse, response))

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


class AsyncClient:
    """Client of a seqserve server, for asyncio. Made and used in one running event loop; the twin of Client.

    Every call raises a SeqserveError when it fails, and takes `timeout_s` to replace the client's own.

    Args:
        target: address, `host:port` or any gRPC target.
        timeout_s: seconds until a call fails with DeadlineExceededError, retries included.
        credentials: for TLS, from `grpc.ssl_channel_credentials`; None connects without.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._timeout_s = checked_timeout(timeout_s)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, CHANNEL_OPTIONS)
        self._inference = cast("InferenceServiceAsyncStub", InferenceServiceStub(self._channel))
        self._models = cast("ModelServiceAsyncStub", ModelServiceStub(self._channel))
        self._check_health = self._channel.unary_unary(
            HEALTH_CHECK_METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def classify(
        self,
        model: str,
        texts: str | Sequence[str],
        *,
        top_label_count: int | None = None,
        timeout_s: float | None = None,
    ) -> ClassifyResult:
        """As Client.classify."""
        request = convert.classify_request(model, texts, top_label_count)
        return convert.classify_result(await self._call(self._inference.ClassifyText, request, timeout_s))

    async def label(
        self,
        model: str,
        sequences: str | Sequence[convert.InputSequence],
        *,
        top_label_count: int | None = None,
        timeout_s: float | None = None,
        **options: Unpack[LabelOptions],
    ) -> LabelResult:
        """As Client.label."""
        request = convert.label_request(model, sequences, top_label_count, options)
        return convert.label_result(await self._call(self._inference.LabelSequence, request, timeout_s))

    def generate(
        self,
        model: str,
        prompt: str = "",
        *,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncGenerationStream:
        """As Client.generate; not to be awaited, but iterated with `async for`."""
        request = convert.generate_request(model, prompt, options)
        return AsyncGenerationStream(self._inference.GenerateText(request, timeout=self._timeout(timeout_s)))

    async def generate_text(
        self,
        model: str,
        prompt: str = "",
        *,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> GeneratedText:
        """As Client.generate_text."""
        return (await self.generate_texts(model, prompt, timeout_s=timeout_s, **options))[0]

    async def generate_texts(
        self,
        model: str,
        prompt: str = "",
        *,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> tuple[GeneratedText, ...]:
        """As Client.generate_texts."""
        async with self.generate(model, prompt, timeout_s=timeout_s, **options) as stream:
            return convert.generated_texts([chunk async for chunk in stream])

    async def translate(
        self,
        model: str,
        texts: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        **options: Unpack[TranslateOptions],
    ) -> TranslateResult:
        """As Client.translate."""
        request = convert.translate_request(model, texts, options)
        return convert.translate_result(await self._call(self._inference.TranslateText, request, timeout_s))

    async def score_translation(
        self, model: str, pairs: Sequence[tuple[str, str]], *, timeout_s: float | None = None
    ) -> ScoreResult:
        """As Client.score_translation."""
        request = convert.score_request(model, pairs)
        return convert.score_result(await self._call(self._inference.ScoreTranslation, request, timeout_s))

    async def list_models(self, *, timeout_s: float | None = None) -> tuple[Model, ...]:
        """As Client.list_models."""
        found: list[Model] = []
        request = models.ListModelsRequest()
        while True:
            page = await self._call(self._models.ListModels, request, timeout_s)
            found += map(convert.model, page.models)
            if not page.next_page_token:
                return tuple(found)
            request = models.ListModelsRequest(page_token=page.next_page_token)

    async def get_model(self, model: str, *, timeout_s: float | None = None) -> Model:
        """As Client.get_model."""
        request = models.GetModelRequest(model=model)
        return convert.model((await self._call(self._models.GetModel, request, timeout_s)).model)

    async def health(self, service: str = "", *, timeout_s: float | None = None) -> bool:
        """As Client.health."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await self._call(self._check_health, request, timeout_s)
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _timeout(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else checked_timeout(timeout_s)

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float | None,
    ) -> Response:
        attempts = Attempts(self._timeout(timeout_s))
        while True:
            try:
                return await method(request, timeout=attempts.seconds_left())
            except grpc.RpcError as error:
                failure = from_rpc_error(error)
                delay = attempts.delay_after(failure)
                if delay is None:
                    raise failure from error
            await asyncio.sleep(delay)
