"""Asks a server for its health: what a container's health check runs."""

import grpc
from grpc_health.v1 import health_pb2


def probe_health(target: str, service: str, timeout_seconds: float) -> str:
    """Ask `target` (HOST:PORT) for the health of a service.

    Returns:
        `SERVING`, `NOT_SERVING`, `UNKNOWN`, or the name of the status code that the call failed with.
    """
    with grpc.insecure_channel(target) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_seconds)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
