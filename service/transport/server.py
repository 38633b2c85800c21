"""The gRPC server: bound, serving, drained.   Wires servicers, health and reflection; knows no model."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from seqserve.v1 import (
    inference_service_pb2,
    inference_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from service.errors import SettingsError
from service.metrics import Metrics
from service.serving.api import InferenceFront
from service.settings import GrpcSettings, join_address, split_address
from service.transport.interceptors import CallInterceptor
from service.transport.open_inference.repository import RepositoryControl
from service.transport.open_inference.servicer import GRPCInferenceServicer
from service.transport.open_inference.v2 import grpc_service_pb2, grpc_service_pb2_grpc
from service.transport.port import try_to_bind, unusable
from service.transport.servicers import InferenceServicer, ModelServicer
from service.transport.standard.descriptors import HEALTH_FILE, REFLECTION_FILES
from service.transport.standard.health import HealthBoard, add_health
from service.transport.standard.reflection import add_reflection

logger = logging.getLogger(__name__)

# Clients may ping every 30 s, calls or not; we ping silent ones, so that a dead peer is noticed within 80 s.
KEEPALIVE_OPTIONS = (
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
LAST_TASKS_SECONDS = 1.0
GRPC_LOGGER = "grpc._cython.cygrpc"

_API_FILES = (inference_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR, grpc_service_pb2.DESCRIPTOR)
_STANDARD_FILES = (HEALTH_FILE, *REFLECTION_FILES)


@asynccontextmanager
async def open_server(
    settings: GrpcSettings, front: InferenceFront, metrics: Metrics, health: HealthBoard, *,
    control: RepositoryControl | None = None,
) -> AsyncIterator[str]:  # fmt: skip
    """Serve until the block ends; then drain: health says NOT_SERVING, requests finish, connections close.

    Being cancelled, in the block or while it drains, ends the requests in flight at once.

    Args:
        settings: how to serve.
        front: answers requests.
        metrics: receives the series of every method.
        health: tells what serves.
        control: lets clients load and unload models; None where they may not.

    Yields:
        HOST:PORT with the port that was bound.

    Raises:
        SettingsError: the address cannot be bound.
    """
    logging.getLogger(GRPC_LOGGER).addFilter(is_news)
    interceptor = CallInterceptor(metrics)
    server = grpc.aio.server(
        interceptors=[interceptor],
        options=_options(settings),
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    servicer = InferenceServicer(front, metrics, max_request_seconds=settings.max_request_seconds)
    inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(front), server)
    stopping = asyncio.Event()
    open_inference = GRPCInferenceServicer(
        front, metrics, health, control=control, stopping=stopping, max_request_seconds=settings.max_request_seconds
    )
    grpc_service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(open_inference, server)
    add_health(server, health)
    services = _expect_methods(interceptor, settings.max_request_seconds)
    if settings.reflection:
        add_reflection(server, services, (*_API_FILES, *_STANDARD_FILES))
    port = _bind(server, settings)
    await server.start()
    address = join_address(split_address(settings.address)[0], port)
    logger.info("grpc_listening address=%s", address)
    try:
        yield address
        await _drain(server, health, settings, stopping)
    finally:
        health.drain()
        await server.stop(None)  # nothing to do after a drain
        if interceptor.running:  # a call ends for gRPC before its handler does
            await asyncio.wait(interceptor.running, timeout=LAST_TASKS_SECONDS)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of grpc.aio's log tells anything: not that a client left while its last status was being sent."""
    return not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))


async def _drain(server: grpc.aio.Server, health: HealthBoard, settings: GrpcSettings, stopping: asyncio.Event) -> None:
    logger.info("draining drain_seconds=%.1f grace_seconds=%.1f", settings.drain_seconds, settings.grace_seconds)
    health.drain()
    await asyncio.sleep(settings.drain_seconds)
    stopping.set()
    await server.stop(settings.grace_seconds)


def _options(settings: GrpcSettings) -> list[tuple[str, int]]:
    options = [
        ("grpc.so_reuseport", int(settings.port_shared)),  # else two servers share a port and nobody notices
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        *KEEPALIVE_OPTIONS,
    ]
    if settings.max_connection_age_seconds is not None:
        options.append(("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", round(settings.max_request_seconds * 1000)))
    return options


def _expect_methods(interceptor: CallInterceptor, max_request_seconds: float) -> list[str]:
    """Announce every method to the interceptor; give the names of the services."""
    names: list[str] = []
    for file in (*_API_FILES, *_STANDARD_FILES):
        # streams of the standard services, and those of requests, last as long as a client likes
        unlimited = file in _STANDARD_FILES
        for service in file.services_by_name.values():
            names.append(service.full_name)
            for method in service.methods:
                interceptor.expect(
                    service.full_name,
                    method.name,
                    request_streaming=method.client_streaming,
                    response_streaming=method.server_streaming,
                    max_seconds=None if unlimited or method.client_streaming else max_request_seconds,
                )
    return names


def _bind(server: grpc.aio.Server, settings: GrpcSettings) -> int:
    """Bind the address and give the port. A plain socket tries first: it can say what is wrong, gRPC only logs it."""
    try:
        try_to_bind(settings.address, port_shared=settings.port_shared)
        return server.add_insecure_port(settings.address)
    except (OSError, UnicodeError) as error:
        raise unusable(settings.address, error) from error
    except RuntimeError as error:
        problem = f"grpc_address {settings.address} cannot be used: gRPC could not bind it"
        raise SettingsError(problem, setting="grpc_address") from error
