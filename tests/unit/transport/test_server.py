"""Binding, limits, reflection and the drain."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc._cython import cygrpc  # type: ignore[attr-defined]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from seqserve.v1 import inference_service_pb2 as inference
from service.errors import SettingsError
from service.settings import GrpcSettings, split_address
from tests.unit.transport.fake_front import FakeFront, Served, eventually, serving

CLASSIFY = inference.ClassifyTextRequest(model="tiny", texts=["a"])
GENERATE = inference.GenerateTextRequest(model="tiny")
REFLECTION_VERSIONS = ("v1", "v1alpha")


def settings(**changes: object) -> GrpcSettings:
    return GrpcSettings.model_validate({"address": "127.0.0.1:0", "drain_seconds": 0, "grace_seconds": 5, **changes})


async def reflected(served: Served, version: str, **request: Any) -> reflection_pb2.ServerReflectionResponse:
    """What reflection of a version, `v1` or `v1alpha`, answers to a request; their messages are the same bytes."""
    ask = served.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(**request)

    answers = [answer async for answer in ask(requests())]
    assert len(answers) == 1
    return answers[0]


async def test_a_busy_port_is_a_settings_error_that_says_so(served: Served, front: FakeFront) -> None:
    with pytest.raises(SettingsError, match=f"grpc_address {served.address} cannot be used: Address already in use"):
        async with serving(front, settings(address=served.address)):
            pass


async def test_an_address_of_another_machine_is_a_settings_error(front: FakeFront) -> None:
    with pytest.raises(SettingsError, match=r"grpc_address 192\.0\.2\.1:0 cannot be used"):
        async with serving(front, settings(address="192.0.2.1:0")):
            pass


async def test_a_host_with_an_endless_label_is_a_settings_error(front: FakeFront) -> None:
    with pytest.raises(SettingsError, match=r"^grpc_address a{64}\.b:0 cannot be used: its host is no valid name$"):
        async with serving(front, settings(address="a" * 64 + ".b:0")):
            pass


async def test_a_port_is_free_again_after_the_server_closed(front: FakeFront) -> None:
    async with serving(front, settings()) as first:
        await first.inference.ClassifyText(CLASSIFY)
    async with serving(front, settings(address=first.address)) as second:
        await second.inference.ClassifyText(CLASSIFY)


async def test_a_message_over_the_limit_is_refused_by_grpc_and_the_next_is_answered(front: FakeFront) -> None:
    async with serving(front, settings(max_message_bytes=2000)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.inference.ClassifyText(inference.ClassifyTextRequest(model="tiny", texts=["x" * 2000]))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await served.inference.ClassifyText(CLASSIFY)


async def test_the_backstop_refuses_what_is_over_the_most_calls_at_once(front: FakeFront) -> None:
    front.gate = asyncio.Event()
    async with serving(front, settings(max_concurrent_rpcs=2)) as served:
        calls = [asyncio.ensure_future(served.inference.ClassifyText(CLASSIFY)) for _ in range(5)]
        await eventually(lambda: sum(call.done() for call in calls) == 3)
        front.gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [error for error in results if isinstance(error, grpc.aio.AioRpcError)]
    assert [error.code() for error in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 3


async def test_a_connection_is_let_go_at_its_most_age_and_the_next_call_makes_another(front: FakeFront) -> None:
    """Else clients that came early keep every call to themselves when replicas are added."""
    async with serving(front, settings(max_connection_age_seconds=0.2)) as served:
        await served.channel.channel_ready()
        async with asyncio.timeout(5):
            await served.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        await served.inference.ClassifyText(CLASSIFY)


@pytest.mark.parametrize("version", REFLECTION_VERSIONS)
async def test_reflection_lists_every_service(served: Served, version: str) -> None:
    answer = await reflected(served, version, list_services="")
    assert [service.name for service in answer.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "seqserve.v1.InferenceService",
        "seqserve.v1.ModelService",
    ]


@pytest.mark.parametrize("version", REFLECTION_VERSIONS)
async def test_reflection_describes_every_service_that_it_lists_with_what_it_imports(
    served: Served, version: str
) -> None:
    listed = (await reflected(served, version, list_services="")).list_services_response.service
    methods: dict[str, list[str]] = {}
    for service in listed:
        answer = await reflected(served, version, file_containing_symbol=service.name)
        pool = descriptor_pool.DescriptorPool()
        for file in answer.file_descriptor_response.file_descriptor_proto[::-1]:  # imports come last
            pool.AddSerializedFile(file)
        methods[service.name] = [method.name for method in pool.FindServiceByName(service.name).methods]
    assert set(methods["grpc.health.v1.Health"]) == {"Check", "List", "Watch"}
    assert methods["seqserve.v1.ModelService"] == ["ListModels", "GetModel"]
    assert "ModelInfer" in methods["inference.GRPCInferenceService"]
    assert methods["grpc.reflection.v1.ServerReflection"] == ["ServerReflectionInfo"]


@pytest.mark.parametrize("version", REFLECTION_VERSIONS)
async def test_reflection_says_that_it_does_not_know_a_name(served: Served, version: str) -> None:
    for request in ({"file_containing_symbol": "seqserve.v1.\0"}, {"file_by_filename": "../../etc/passwd"}):
        answer = await reflected(served, version, **request)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("version", REFLECTION_VERSIONS)
async def test_reflection_can_be_turned_off(front: FakeFront, version: str) -> None:
    async with serving(front, settings(reflection=False)) as served:
        # nothing is sent: a message on its way while the refusal comes may fail in ways of its own
        ask: Any = served.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        assert await ask().code() is grpc.StatusCode.UNIMPLEMENTED


def watch(served: Served, name: str) -> Any:
    stub = health_pb2_grpc.HealthStub(served.channel)
    return stub.Watch(health_pb2.HealthCheckRequest(service=name))  # type: ignore[attr-defined]


async def test_a_drain_lets_requests_finish_and_is_then_over_at_once(front: FakeFront) -> None:
    front.gate = asyncio.Event()

    async def classify(served: Served) -> str:
        return (await served.inference.ClassifyText(CLASSIFY)).model_version.name

    async def generate(served: Served) -> str:
        return "".join([message.text async for message in served.inference.GenerateText(GENERATE)])

    async with serving(front, settings(grace_seconds=30)) as served:
        unary, stream = served.begin(classify(served)), served.begin(generate(served))
        watching = watch(served, "")
        await watching.read()
        await eventually(lambda: front.working == 2)
        began = time.monotonic()
        asyncio.get_running_loop().call_later(0.3, front.gate.set)
    assert 0.29 <= time.monotonic() - began < 3, "the open Watch stream, or nothing at all, held the drain"
    assert (await unary, await stream) == ("tiny", "01!")


async def test_requests_are_served_while_health_already_says_no(front: FakeFront) -> None:
    async def call_when_draining(served: Served) -> inference.ClassifyTextResponse:
        async for _ in watch(served, "liveness"):  # ends when the drain begins
            pass
        return await served.inference.ClassifyText(CLASSIFY)

    async with serving(front, settings(drain_seconds=0.5)) as served:
        late = served.begin(call_when_draining(served))
        await asyncio.sleep(0.1)
    assert (await late).model_version.name == "tiny"


async def test_what_outlasts_the_grace_time_is_ended(front: FakeFront) -> None:
    front.gate = asyncio.Event()
    began = time.monotonic()
    async with serving(front, settings(grace_seconds=0.3)) as served:
        unary = asyncio.ensure_future(served.inference.ClassifyText(CLASSIFY))
        await eventually(lambda: front.working == 1)
    assert time.monotonic() - began < 3
    assert front.working == 0, "the handler was not waited for"
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)) as caught:
        await unary
    # gRPC says UNAVAILABLE, or, where its own cancellation arrives first, CANCELLED: it must not say OK or hang
    if isinstance(caught.value, grpc.aio.AioRpcError):
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_being_cancelled_while_draining_ends_requests_at_once(front: FakeFront) -> None:
    front.gate = asyncio.Event()
    leave = asyncio.Event()

    async def run() -> None:
        async with serving(front, settings(grace_seconds=30)) as served:
            call = asyncio.ensure_future(served.inference.ClassifyText(CLASSIFY))
            call.add_done_callback(lambda done: done.cancelled() or done.exception())
            await leave.wait()

    task = asyncio.ensure_future(run())
    await eventually(lambda: front.working == 1)
    leave.set()
    await asyncio.sleep(0.2)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 1
    assert front.working == 0


async def test_a_client_that_speaks_http_1_is_turned_away_and_the_next_is_answered(served: Served) -> None:
    with socket.create_connection(split_address(served.address), timeout=2) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.to_thread(client.recv, 1000)
    await served.inference.ClassifyText(CLASSIFY)


async def test_a_client_that_leaves_at_the_last_moment_makes_no_noise(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (cygrpc.ExecuteBatchError("failed"), ValueError("a real problem")):
        logging.getLogger("grpc._cython.cygrpc").error("raised by a servicer", exc_info=error)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]
