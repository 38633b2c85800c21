"""The standard health service, asked with the stock client."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.transport.standard.health import HealthListResponse
from tests.unit.transport.fake_front import Served

Status = health_pb2.HealthCheckResponse
NAMES = ["", "readiness", "seqserve.v1.InferenceService", "seqserve.v1.ModelService", "inference.GRPCInferenceService"]


def ask(served: Served, name: str) -> Any:
    return health_pb2_grpc.HealthStub(served.channel).Check(  # type: ignore[attr-defined]
        health_pb2.HealthCheckRequest(service=name)
    )


def watch(served: Served, name: str) -> Any:
    return health_pb2_grpc.HealthStub(served.channel).Watch(  # type: ignore[attr-defined]
        health_pb2.HealthCheckRequest(service=name)
    )


async def list_statuses(served: Served) -> dict[str, int]:
    """Status by name, from List, which the stock client does not have."""
    call = served.channel.unary_unary(
        "/grpc.health.v1.Health/List", request_serializer=bytes, response_deserializer=HealthListResponse.FromString
    )
    return {name: answer.status for name, answer in (await call(b"")).statuses.items()}


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_serves_before_it_is_said_to(served: Served, name: str) -> None:
    assert (await ask(served, name)).status == Status.NOT_SERVING
    served.health.set_ready(True)
    assert (await ask(served, name)).status == Status.SERVING


async def test_liveness_serves_from_the_start_and_while_draining(served: Served) -> None:
    assert (await ask(served, "liveness")).status == Status.SERVING
    served.health.drain()
    assert (await ask(served, "liveness")).status == Status.SERVING


async def test_a_name_that_nobody_set_is_not_found(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(served, "nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_model_can_be_asked_for(served: Served) -> None:
    served.health.set_models({"tiny": True})
    assert (await ask(served, "tiny")).status == Status.SERVING
    served.health.set_models({"tiny": False})
    assert (await ask(served, "tiny")).status == Status.NOT_SERVING


async def test_a_model_that_is_gone_is_not_found(served: Served) -> None:
    served.health.set_models({"tiny": True})
    served.health.set_models({})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(served, "tiny")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", [*NAMES, "liveness"])
async def test_a_model_cannot_take_the_place_of_another_name(served: Served, name: str) -> None:
    before = (await ask(served, name)).status
    served.health.set_models({name: before != Status.SERVING})
    assert (await ask(served, name)).status == before


async def test_a_list_holds_every_name_with_its_status(served: Served) -> None:
    served.health.set_ready(True)
    served.health.set_models({"tiny": True, "broken": False})
    expected = dict.fromkeys([*NAMES, "liveness", "tiny"], Status.SERVING) | {"broken": Status.NOT_SERVING}
    assert await list_statuses(served) == expected
    served.health.drain()
    assert {name for name, status in (await list_statuses(served)).items() if status == Status.SERVING} == {"liveness"}
    assert served.handled("List", "OK", service="grpc.health.v1.Health") == 2


async def test_a_watcher_hears_of_a_name_when_it_appears_and_of_each_change(served: Served) -> None:
    stream = watch(served, "tiny")
    assert (await stream.read()).status == Status.SERVICE_UNKNOWN
    served.health.set_models({"tiny": True})
    assert (await stream.read()).status == Status.SERVING
    served.health.set_models({"tiny": True, "other": True})
    served.health.set_models({"tiny": False, "other": True})
    assert (await stream.read()).status == Status.NOT_SERVING
    served.health.set_models({"other": True})
    assert (await stream.read()).status == Status.SERVICE_UNKNOWN
    stream.cancel()


@pytest.mark.parametrize("name", [*NAMES, "liveness", "tiny", "nothing"])
async def test_watchers_are_let_go_when_the_server_drains(served: Served, name: str) -> None:
    served.health.set_ready(True)
    served.health.set_models({"tiny": True})
    stream = watch(served, name)
    first = (await stream.read()).status
    served.health.drain()
    async with asyncio.timeout(1):
        rest = []
        while (message := await stream.read()) is not grpc.aio.EOF:
            rest.append(message.status)
    assert rest == ([] if name in {"liveness", "nothing"} else [Status.NOT_SERVING])
    assert first != Status.NOT_SERVING
    assert await stream.code() is grpc.StatusCode.OK


async def test_nothing_serves_again_after_a_drain(served: Served) -> None:
    served.health.drain()
    served.health.set_models({"tiny": True})
    served.health.set_ready(True)
    assert (await ask(served, "")).status == Status.NOT_SERVING
