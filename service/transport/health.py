"""The standard grpc.health.v1 service.   Knows names and whether they serve; does not know why."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Never

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seqserve.v1 import inference_service_pb2, model_service_pb2

WHOLE = ""
LIVENESS = "liveness"
READINESS = "readiness"
SERVICES = (
    inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
)


class HealthBoard:
    """Which names serve. To be used on the event loop.

    Names: empty (the whole), `readiness` and our services, which `set_ready` sets together; one per model; and
    `liveness`, which serves as long as the loop turns.
    """

    def __init__(self) -> None:
        self._serving = dict.fromkeys((WHOLE, READINESS, *SERVICES), False) | {LIVENESS: True}
        self._change = asyncio.Event()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    def get(self, name: str) -> bool | None:
        """Whether a name serves; None if it is not known."""
        return self._serving.get(name)

    def set(self, name: str, serving: bool) -> None:
        """Say whether a name serves. Ignored once the server drains."""
        if not self._draining:
            self._serving[name] = serving
            self._tell_watchers()

    def set_ready(self, ready: bool) -> None:
        """Say whether requests may come: the whole, readiness and our services together."""
        for name in (WHOLE, READINESS, *SERVICES):
            self.set(name, ready)

    def drain(self) -> None:
        """Let nothing serve any more, and every watcher go. Only `liveness` goes on: the process is alive."""
        for name in self._serving:
            self.set(name, name == LIVENESS)
        self._draining = True
        self._tell_watchers()

    async def changed(self) -> None:
        """Wait for the next change of anything."""
        await self._change.wait()

    def _tell_watchers(self) -> None:
        self._change.set()
        self._change = asyncio.Event()


Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers Check and Watch from a board.

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


def _response(serving: bool | None) -> health_pb2.HealthCheckResponse:
    statuses = health_pb2.HealthCheckResponse
    if serving is None:
        return statuses(status=statuses.SERVICE_UNKNOWN)
    return statuses(status=statuses.SERVING if serving else statuses.NOT_SERVING)


async def _refuse_unknown(context: Context) -> Never:
    await context.abort(grpc.StatusCode.NOT_FOUND, "no service of this name")
