"""Our asyncio client as a load needs it: on a connection of its own, and whatever is refused or lost is seen."""

from typing import TypeVar, Unpack

import grpc
import grpc.aio

from seqserve import AsyncClient, convert
from seqserve.connection import CHANNEL_OPTIONS
from seqserve.errors import SeqserveError, from_rpc_error
from seqserve.generation import Generation
from seqserve.options import GenerateOptions
from seqserve.streams import AsyncGenerationStream

Request = TypeVar("Request")
Response = TypeVar("Response")

OWN_CONNECTION: tuple[tuple[str, int], ...] = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""Channels to one server share a connection otherwise, so that one worker gets all calls; and gRPC would ask again."""


class LoadClient(AsyncClient):
    """Fails where AsyncClient would ask again: a call that waits to be repeated is none in flight.

    Args:
        target: as in AsyncClient.
    """

    def __init__(self, target: str) -> None:
        kept = len(CHANNEL_OPTIONS)
        CHANNEL_OPTIONS.extend(OWN_CONNECTION)
        try:
            super().__init__(target)
        finally:
            del CHANNEL_OPTIONS[kept:]

    def generate(
        self, model: str, prompt: str = "", *, timeout_s: float | None = None, **options: Unpack[GenerateOptions]
    ) -> AsyncGenerationStream:
        """As AsyncClient.generate, of one server."""
        request = convert.generate_request(model, prompt, options)
        return AsyncGenerationStream(self._open_generation, OneCall(request, self._timeout(timeout_s)))

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float | None,
    ) -> Response:
        try:
            return await method(request, timeout=self._timeout(timeout_s))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error


class OneCall(Generation):
    """A generation that ends with the call that it began with."""

    def delay_after(self, error: SeqserveError) -> float | None:
        """Not again."""
        return None
