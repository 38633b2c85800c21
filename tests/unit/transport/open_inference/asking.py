"""Calls of the Open Inference Protocol, and who controls the repository in tests."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from service.transport.open_inference.v2.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.unit.transport.fake_front import Served

if TYPE_CHECKING:  # known to type checkers only
    from service.transport.open_inference.v2.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

SERVICE = "inference.GRPCInferenceService"
LABELS = ("negative", "positive")


class Control:
    """Notes what it is asked to do; `error` is raised, `gate` waited for."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    def withheld(self) -> Sequence[str]:
        return ["out"]

    async def load(self, name: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.done.append(f"load {name}")

    async def unload(self, name: str) -> None:
        self.done.append(f"unload {name}")


def stub(served: Served) -> "GRPCInferenceServiceAsyncStub":
    return cast("GRPCInferenceServiceAsyncStub", GRPCInferenceServiceStub(served.channel))


async def failure(call: Callable[[], object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()  # type: ignore[misc]
    return caught.value
