"""A real gRPC server in the test's own event loop, and clients for it.

The blocking client runs in a thread meanwhile: grpc.aio wants one event loop per process.
"""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from seqserve import AsyncClient, Client
from seqserve.command import main
from seqserve.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from seqserve.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tests.unit.seqserve.fake_server import FakeServer, status

SERVER_OPTIONS = [("grpc.max_receive_message_length", 16 * 2**20)]
Run = Callable[..., Awaitable[tuple[int, str, str]]]


class InThread:
    """A blocking client whose methods are awaited."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *arguments, **options: asyncio.to_thread(method, *arguments, **options)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A running fake server; health says SERVING for "" and NOT_SERVING for "idle"."""
    fake, grpc_server, health_servicer = (
        FakeServer(),
        grpc.aio.server(options=SERVER_OPTIONS),
        health.aio.HealthServicer(),
    )
    await health_servicer.set("idle", health_pb2.HealthCheckResponse.NOT_SERVING)
    add_InferenceServiceServicer_to_server(fake, grpc_server)
    add_ModelServiceServicer_to_server(fake, grpc_server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, grpc_server)
    fake.target = f"127.0.0.1:{grpc_server.add_insecure_port('127.0.0.1:0')}"
    await grpc_server.start()
    yield fake
    await grpc_server.stop(None)


@pytest.fixture
async def sync_client(server: FakeServer) -> AsyncIterator[Client]:
    """To be used in a thread only."""
    with Client(server.target) as client:
        yield client


@pytest.fixture
async def async_client(server: FakeServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.target) as client:
        yield client


@pytest.fixture(params=["Client", "AsyncClient"])
def client(request: pytest.FixtureRequest, sync_client: Client, async_client: AsyncClient) -> AsyncClient:
    """Either client; every method but `generate` is awaited."""
    return async_client if request.param == "AsyncClient" else cast(AsyncClient, InThread(sync_client))


@pytest.fixture
def refuse(server: FakeServer) -> Callable[..., None]:
    """Lets the server fail its next call: `refuse(code, message, reason=..., field=..., retry_seconds=...)`."""

    def refuse_next(
        code: grpc.StatusCode,
        message: str = "refused",
        *,
        reason: str | None = None,
        field: str | None = None,
        retry_seconds: float | None = None,
        **facts: str,
    ) -> None:
        details: list[Message] = []
        if reason is not None:
            details.append(error_details_pb2.ErrorInfo(reason=reason, domain="seqserve", metadata=facts))
        if field is not None:
            violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if retry_seconds is not None:
            delay = Duration(seconds=int(retry_seconds), nanos=int(retry_seconds % 1 * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        server.failures.append(status(code, message, *details))

    return refuse_next


@pytest.fixture
def run(server: "FakeServer", capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against the fake server: exit code, standard output, standard error."""
    monkeypatch.setenv("SEQSERVE_TARGET", server.target)

    def in_thread(arguments: tuple[str, ...]) -> int:
        try:
            main(arguments)
        except SystemExit as done:
            if isinstance(done.code, str):  # the interpreter would print it and exit 1
                sys.stderr.write(f"{done.code}\n")
                return 1
            return done.code or 0
        raise AssertionError("the command did not exit")

    async def run_command(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = await asyncio.to_thread(in_thread, arguments)
        return code, *capfd.readouterr()

    return run_command
