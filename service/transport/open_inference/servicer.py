"""The RPCs of the Open Inference Protocol: request in, call of a module beside, reply out.

Errors pass through, as those of the own API do: `interceptors` turns them into statuses.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from service.metrics import Metrics
from service.serving.api import InferenceFront, ModelInfo
from service.transport.interceptors import deadline_of
from service.transport.open_inference.infer.inferrer import Inferrer
from service.transport.open_inference.infer.requests import known_model, ready_model
from service.transport.open_inference.infer.stream import exchange
from service.transport.open_inference.metadata import model_config, model_metadata, server_metadata
from service.transport.open_inference.repository import Repository, RepositoryControl
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from service.transport.open_inference.v2 import grpc_service_pb2_grpc
from service.transport.standard.health import READINESS, HealthBoard

Context = grpc.aio.ServicerContext[Any, Any]

REAL_STATUSES = ("triton_grpc_error", "true")
"""Metadata by which a client has its stream end with the status of the first failure."""


class GRPCInferenceServicer(grpc_service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers inference.GRPCInferenceService.

    Args:
        front: the serving layer.
        metrics: receives what is refused here.
        health: tells whether requests may come.
        control: lets models in and takes them out; None where clients may not.
        stopping: once set, streams take no more requests.
        max_request_seconds: longest time for one request; the client's deadline wins where it is shorter.
    """

    def __init__(
        self, front: InferenceFront, metrics: Metrics, health: HealthBoard, *, control: RepositoryControl | None,
        stopping: asyncio.Event, max_request_seconds: float,
    ) -> None:  # fmt: skip
        self._front = front
        self._health = health
        self._inferrer = Inferrer(front, metrics)
        self._repository = Repository(front, control)
        self._stopping = stopping
        self._max_request_seconds = max_request_seconds

    async def ServerLive(  # noqa: N802 - the protocol's name
        self,
        request: protocol.ServerLiveRequest,  # noqa: ARG002 - the protocol's signature
        context: Context,  # noqa: ARG002
    ) -> protocol.ServerLiveResponse:
        """Whether the process answers."""
        return protocol.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self,
        request: protocol.ServerReadyRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> protocol.ServerReadyResponse:
        """Whether requests may come."""
        return protocol.ServerReadyResponse(ready=bool(self._health.get(READINESS)))

    async def ModelReady(  # noqa: N802
        self,
        request: protocol.ModelReadyRequest,
        context: Context,  # noqa: ARG002
    ) -> protocol.ModelReadyResponse:
        """Whether a model that is known answers; one that was taken out does not."""
        if self._repository.took_out(request.name):
            return protocol.ModelReadyResponse(ready=False)
        info = known_model(self._front, request.name, request.version, "name")
        return protocol.ModelReadyResponse(ready=info.state == "active" and bool(self._health.get(info.name)))

    async def ServerMetadata(  # noqa: N802
        self,
        request: protocol.ServerMetadataRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> protocol.ServerMetadataResponse:
        """Name, version and extensions of the server."""
        return server_metadata(controlled=self._repository.controlled)

    async def ModelMetadata(  # noqa: N802
        self,
        request: protocol.ModelMetadataRequest,
        context: Context,  # noqa: ARG002
    ) -> protocol.ModelMetadataResponse:
        """Tensors that a model takes and gives."""
        info = ready_model(self._front, request.name, request.version, "name")
        return model_metadata(info, [one.version for one in self._ready_versions(info)])

    async def ModelConfig(  # noqa: N802
        self,
        request: protocol.ModelConfigRequest,
        context: Context,  # noqa: ARG002
    ) -> protocol.ModelConfigResponse:
        """How a model is configured."""
        return model_config(ready_model(self._front, request.name, request.version, "name"))

    async def ModelInfer(  # noqa: N802
        self, request: protocol.ModelInferRequest, context: Context
    ) -> protocol.ModelInferResponse:
        """Runs a model that answers once."""
        return await self._inferrer.infer(request, self._deadline(context))

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[protocol.ModelInferRequest], context: Context
    ) -> AsyncIterator[protocol.ModelStreamInferResponse]:
        """Runs models; a generator answers a request many times."""
        replies = exchange(
            requests,
            lambda request: self._inferrer.start(request, self._deadline(context)),
            self._stopping,
            real_statuses=REAL_STATUSES in tuple(context.invocation_metadata() or ()),
        )
        async with aclosing(replies):
            async for reply in replies:
                yield reply

    async def ModelStatistics(  # noqa: N802
        self,
        request: protocol.ModelStatisticsRequest,
        context: Context,  # noqa: ARG002
    ) -> protocol.ModelStatisticsResponse:
        """What models have done since they were loaded."""
        return self._repository.statistics(request.name, request.version)

    async def RepositoryIndex(  # noqa: N802
        self,
        request: protocol.RepositoryIndexRequest,
        context: Context,  # noqa: ARG002
    ) -> protocol.RepositoryIndexResponse:
        """Every version with its state."""
        return self._repository.index(request)

    async def RepositoryModelLoad(  # noqa: N802
        self, request: protocol.RepositoryModelLoadRequest, context: Context
    ) -> protocol.RepositoryModelLoadResponse:
        """Lets a model serve."""
        await self._repository.load(request, self._deadline(context))
        return protocol.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(  # noqa: N802
        self, request: protocol.RepositoryModelUnloadRequest, context: Context
    ) -> protocol.RepositoryModelUnloadResponse:
        """Takes a model out."""
        await self._repository.unload(request, self._deadline(context))
        return protocol.RepositoryModelUnloadResponse()

    def _ready_versions(self, info: ModelInfo) -> list[ModelInfo]:
        return [one for one in self._front.list_models() if one.name == info.name and one.state == "active"]

    def _deadline(self, context: Context) -> float:
        return deadline_of(context, self._max_request_seconds)
