"""The asyncio client.   The twin of `seqserve.client`, method by method, over grpc.aio."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar, Unpack, cast

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
from seqserve.credentials import Tls, Token, channel_credentials
from seqserve.errors import from_rpc_error
from seqserve.generation import Generation
from seqserve.many import methods
from seqserve.many.answers import Answer, Pause
from seqserve.many.runs import MAX_IN_FLIGHT, MAX_STREAMS_IN_FLIGHT, run_async
from seqserve.options import GenerateOptions, LabelOptions, TranslateManyOptions, TranslateOptions, Truncation
from seqserve.results import (
    Classification,
    ClassifyResult,
    GeneratedChunk,
    GeneratedText,
    LabelledSequence,
    LabelResult,
    Model,
    ScoreResult,
    TranslateResult,
    Translation,
    TranslationScore,
)
from seqserve.streams import AsyncCall, AsyncGenerationStream
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from seqserve.v1.inference_service_pb2_grpc import InferenceServiceStub
from seqserve.v1.model_service_pb2_grpc import ModelServiceStub

if TYPE_CHECKING:
    from seqserve.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub
    from seqserve.v1.model_service_pb2_grpc import ModelServiceAsyncStub

Input = TypeVar("Input")
Inputs: TypeAlias = Iterable[Input | Pause] | AsyncIterable[Input | Pause]
Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncClient:
    """Client of a seqserve server, for asyncio. Made and used in one running event loop; the twin of Client.

    Every call raises a SeqserveError when it fails, and takes `timeout_s` to replace the client's own.

    Args:
        target: as in Client.
        timeout_s: seconds until a call fails with DeadlineExceededError, retries included.
        tls: encrypts the connection; None sends plaintext.
        token: who calls, as `authorization: Bearer ...`; needs `tls`.

    Raises:
        ValueError: `timeout_s`, `tls` or `token` cannot be used.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        tls: Tls | None = None,
        token: Token | None = None,
    ) -> None:
        self._timeout_s = checked_timeout(timeout_s)
        credentials = channel_credentials(tls, token)
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
        truncation: Truncation | None = None,
        timeout_s: float | None = None,
    ) -> ClassifyResult:
        """As Client.classify."""
        request = convert.classify_request(model, texts, top_label_count, truncation)
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
        return AsyncGenerationStream(self._open_generation, Generation(request, self._timeout(timeout_s)))

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

    def classify_many(
        self,
        model: str,
        texts: Inputs[str],
        *,
        top_label_count: int | None = None,
        truncation: Truncation | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Answer[str, Classification]]:
        """As Client.classify_many; not awaited, but iterated with `async for`. Inputs may be async themselves."""
        ask = self._asking(self._inference.ClassifyText, timeout_s)
        return run_async(methods.classifying(model, top_label_count, truncation), texts, ask, max_in_flight)

    def label_many(
        self,
        model: str,
        sequences: Inputs[convert.InputSequence],
        *,
        top_label_count: int | None = None,
        truncation: Truncation | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Answer[convert.InputSequence, LabelledSequence]]:
        """As Client.label_many; the rest as in `classify_many`."""
        ask = self._asking(self._inference.LabelSequence, timeout_s)
        return run_async(methods.labelling(model, top_label_count, truncation), sequences, ask, max_in_flight)

    def generate_many(
        self,
        model: str,
        prompts: Inputs[str],
        *,
        max_in_flight: int = MAX_STREAMS_IN_FLIGHT,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncIterator[Answer[str, tuple[GeneratedText, ...]]]:
        """As Client.generate_many."""
        timeout_s = self._timeout(timeout_s)

        async def ask(request: inference.GenerateTextRequest) -> list[GeneratedChunk]:
            generation = Generation(request, timeout_s, max_attempts=None)
            async with AsyncGenerationStream(self._open_generation, generation) as stream:
                return [chunk async for chunk in stream]

        return run_async(methods.generating(model, options), prompts, ask, max_in_flight)

    def translate_many(
        self,
        model: str,
        texts: Inputs[str],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
        **options: Unpack[TranslateManyOptions],
    ) -> AsyncIterator[Answer[str, Translation]]:
        """As Client.translate_many."""
        ask = self._asking(self._inference.TranslateText, timeout_s)
        return run_async(methods.translating(model, options), texts, ask, max_in_flight)

    def score_translation_many(
        self,
        model: str,
        pairs: Inputs[tuple[str, str]],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Answer[tuple[str, str], TranslationScore]]:
        """As Client.score_translation_many."""
        ask = self._asking(self._inference.ScoreTranslation, timeout_s)
        return run_async(methods.scoring(model), pairs, ask, max_in_flight)

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

    def _open_generation(self, generation: Generation) -> AsyncCall:
        return self._inference.GenerateText(generation.request, timeout=generation.seconds_left())

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float | None,
    ) -> Response:
        return await _repeated(method, request, Attempts(self._timeout(timeout_s)))

    def _asking(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", timeout_s: float | None
    ) -> Callable[[Request], Awaitable[Response]]:
        """How a run of many inputs sends one of its requests."""
        timeout_s = self._timeout(timeout_s)

        async def ask(request: Request) -> Response:
            return await _repeated(method, request, Attempts(timeout_s, max_attempts=None))

        return ask


async def _repeated(
    method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request, attempts: Attempts
) -> Response:
    """The response of a call, made again while a full queue says when to come back."""
    while True:
        try:
            return await method(request, timeout=attempts.seconds_left())
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
            delay = attempts.delay_after(failure)
            if delay is None:
                raise failure from error
        await asyncio.sleep(delay)
