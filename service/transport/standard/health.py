"""The standard grpc.health.v1 service.   Knows names and whether they serve; does not know why."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Never, cast

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from seqserve.v1 import inference_service_pb2, model_service_pb2
from service.transport.standard.descriptors import HEALTH_FILE

WHOLE = ""
LIVENESS = "liveness"
READINESS = "readiness"
SERVICES = (
    inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    "inference.GRPCInferenceService",
)

HealthListRequest: Any = GetMessageClass(HEALTH_FILE.message_types_by_name["HealthListRequest"])
HealthListResponse: Any = GetMessageClass(HEALTH_FILE.message_types_by_name["HealthListResponse"])


class HealthBoard:
    """Which names serve. To be used on the event loop.

    Names: empty (the whole), `readiness` and our services, which `set_ready` sets together; one per model, of which
    none can take the place of another name; and `liveness`, which serves as long as the loop turns.
    """

    def __init__(self) -> None:
        self._ready = False
        self._models: dict[str, bool] = {}
        self._change = asyncio.Event()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    def statuses(self) -> dict[str, bool]:
        """Whether each name serves."""
        return {**self._models, **dict.fromkeys((WHOLE, READINESS, *SERVICES), self._ready), LIVENESS: True}

    def get(self, name: str) -> bool | None:
        """Whether a name serves; None if it is not known."""
        return self.statuses().get(name)

    def set_models(self, models: Mapping[str, bool]) -> None:
        """Say which models there are, and whether each serves. Ignored once the server drains."""
        if not self._draining:
            self._models = dict(models)
            self._tell_watchers()

    def set_ready(self, ready: bool) -> None:
        """Say whether requests may come: the whole, readiness and our services. Ignored once the server drains."""
        if not self._draining:
            self._ready = ready
            self._tell_watchers()

    def drain(self) -> None:
        """Let nothing serve any more, and every watcher go. Only `liveness` goes on: the process is alive."""
        self.set_models(dict.fromkeys(self._models, False))
        self.set_ready(False)
        self._draining = True
        self._tell_watchers()

    async def changed(self) -> None:
        """Wait for the next change of anything."""
        await self._change.wait()

    def _tell_watchers(self) -> None:
        self._change.set()
        self._change = asyncio.Event()


Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer:
    """Answers Check, List and Watch from a board.

    Unlike the stock servicer it ends its Watch streams when the server drains: an open one would hold
    `server.stop` for the whole grace time.
    """

    def __init__(self, board: HealthBoard) -> None:
        self._board = board

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Status of one name now; NOT_FOUND for a name that is not known, as the protocol wants."""
        serving = self._board.get(request.service)
        if serving is None:
            await _refuse_unknown(context)
        return _response(serving)

    async def List(  # noqa: N802
        self,
        request: Message,  # noqa: ARG002 - the protocol's signature
        context: Context,  # noqa: ARG002
    ) -> Message:
        """Status of every name now."""
        answer = HealthListResponse()
        for name, serving in self._board.statuses().items():
            answer.statuses[name].status = _response(serving).status
        return cast("Message", answer)

    async def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: Context,  # noqa: ARG002 - the protocol's signature
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Status of one name now and at each change, until the server drains; SERVICE_UNKNOWN while not known."""
        sent: health_pb2.HealthCheckResponse | None = None
        while True:
            response = _response(self._board.get(request.service))
            if response != sent:
                sent = response
                yield response
            elif self._board.draining:
                return
            else:
                await self._board.changed()


def add_health(server: grpc.aio.Server, board: HealthBoard) -> None:
    """Let a server answer for its health."""
    servicer = HealthServicer(board)
    take, send = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(servicer.Check, take, send),
        "List": grpc.unary_unary_rpc_method_handler(
            servicer.List, HealthListRequest.FromString, HealthListResponse.SerializeToString
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, take, send),
    }
    service = HEALTH_FILE.services_by_name["Health"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _response(serving: bool | None) -> health_pb2.HealthCheckResponse:
    statuses = health_pb2.HealthCheckResponse
    if serving is None:
        return statuses(status=statuses.SERVICE_UNKNOWN)
    return statuses(status=statuses.SERVING if serving else statuses.NOT_SERVING)


async def _refuse_unknown(context: Context) -> Never:
    await context.abort(grpc.StatusCode.NOT_FOUND, "no service of this name")
