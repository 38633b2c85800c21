"""The RPCs: request in, call of the serving layer, answer out.   Knows no model, no queue and no status code.

Errors pass through: `interceptors` turns them into statuses. Each refusal is counted by the layer that refuses.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import inference_service_pb2_grpc, model_service_pb2_grpc
from seqserve.v1 import model_service_pb2 as models
from service.errors import InvalidArgumentError
from service.metrics import Metrics
from service.serving.api import GeneratedChunk, InferenceFront
from service.transport import convert, convert_generation, convert_labels, convert_translations
from service.transport.interceptors import deadline_of

Context = grpc.aio.ServicerContext[Any, Any]
InferenceRequest = TypeVar(
    "InferenceRequest",
    inference.ClassifyTextRequest,
    inference.LabelSequenceRequest,
    inference.GenerateTextRequest,
    inference.TranslateTextRequest,
    inference.ScoreTranslationRequest,
)
Call = TypeVar("Call")


class InferenceServicer(inference_service_pb2_grpc.InferenceServiceServicer):
    """Answers InferenceService.

    Args:
        front: the serving layer.
        metrics: receives what is refused here.
        max_request_seconds: longest time for one request; the client's deadline wins where it is shorter.
    """

    def __init__(self, front: InferenceFront, metrics: Metrics, *, max_request_seconds: float) -> None:
        self._front = front
        self._metrics = metrics
        self._max_request_seconds = max_request_seconds

    async def ClassifyText(  # noqa: N802 - the proto's name
        self, request: inference.ClassifyTextRequest, context: Context
    ) -> inference.ClassifyTextResponse:
        """Gives each text a probability for every label of the model."""
        call = self._checked(convert.to_classify_call, request)
        result = await self._front.classify(
            call.model, call.texts, deadline=self._deadline(context), truncation=call.truncation
        )
        return convert.to_classify_response(result, call.top_label_count)

    async def LabelSequence(  # noqa: N802
        self, request: inference.LabelSequenceRequest, context: Context
    ) -> inference.LabelSequenceResponse:
        """Gives each step of each sequence a probability for every label of the model."""
        call = self._checked(convert_labels.to_label_call, request)
        result = await self._front.label(
            call.model,
            call.sequences,
            top_label_count=call.top_label_count,
            deadline=self._deadline(context),
            states=call.states,
            truncation=call.truncation,
        )
        return convert_labels.to_label_response(result)

    async def GenerateText(  # noqa: N802
        self, request: inference.GenerateTextRequest, context: Context
    ) -> AsyncIterator[inference.GenerateTextResponse]:
        """Continues a prompt, one chunk of text per message."""
        call = self._checked(convert_generation.to_generate_call, request)
        chunks = self._front.generate(call.model, call.prompt, call.options, deadline=self._deadline(context))
        async with _closing(chunks):
            async for chunk in chunks:
                yield convert_generation.to_generate_response(chunk)

    async def TranslateText(  # noqa: N802
        self, request: inference.TranslateTextRequest, context: Context
    ) -> inference.TranslateTextResponse:
        """Translates each text from the model's source to its target language."""
        call = self._checked(convert_translations.to_translate_call, request)
        result = await self._front.translate(call.model, call.texts, call.options, deadline=self._deadline(context))
        return convert_translations.to_translate_response(result)

    async def ScoreTranslation(  # noqa: N802
        self, request: inference.ScoreTranslationRequest, context: Context
    ) -> inference.ScoreTranslationResponse:
        """Tells what the model thinks of given translations."""
        call = self._checked(convert_translations.to_score_call, request)
        result = await self._front.score(call.model, call.pairs, deadline=self._deadline(context))
        return convert_translations.to_score_response(result)

    def _checked(self, check: Callable[[InferenceRequest], Call], request: InferenceRequest) -> Call:
        try:
            return check(request)
        except InvalidArgumentError as error:
            self._metrics.requests_rejected.labels(self._metrics.model_label(request.model), error.reason).inc()
            raise

    def _deadline(self, context: Context) -> float:
        return deadline_of(context, self._max_request_seconds)


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers ModelService."""

    def __init__(self, front: InferenceFront) -> None:
        self._front = front

    async def ListModels(  # noqa: N802
        self,
        request: models.ListModelsRequest,
        context: Context,  # noqa: ARG002 - the proto's signature
    ) -> models.ListModelsResponse:
        """Lists every version the server knows, by name, then by version."""
        return convert.to_page(request, self._front.list_models())

    async def GetModel(  # noqa: N802
        self,
        request: models.GetModelRequest,
        context: Context,  # noqa: ARG002 - the proto's signature
    ) -> models.GetModelResponse:
        """Describes one version of a model."""
        return models.GetModelResponse(
            model=convert.to_model(self._front.get_model(convert.to_model_reference(request)))
        )


@asynccontextmanager
async def _closing(chunks: AsyncIterator[GeneratedChunk]) -> AsyncIterator[None]:
    """Close an iterator at the end, so that its place is free at once and not when it is collected."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
