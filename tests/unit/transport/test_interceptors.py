"""What happens around every RPC, seen through a real server."""

import asyncio
import logging

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seqserve.v1 import inference_service_pb2 as inference
from service.errors import InferenceFailedError
from service.transport.interceptors import GO_CODES, OncePerSecond
from tests.unit.transport.fake_front import FakeFront, Served, detail, eventually

CLASSIFY = inference.ClassifyTextRequest(model="tiny", texts=["a"])
LABELS = {"grpc_service": "seqserve.v1.InferenceService"}
JUNK = b"\xff\xff\xff\xff"


def raw_call(served: Served, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return served.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)


def test_codes_are_spelled_as_in_go() -> None:
    assert GO_CODES[grpc.StatusCode.OK] == "OK"
    assert GO_CODES[grpc.StatusCode.CANCELLED] == "Canceled"
    assert GO_CODES[grpc.StatusCode.DEADLINE_EXCEEDED] == "DeadlineExceeded"
    assert len(set(GO_CODES.values())) == 17


async def test_every_method_has_its_series_at_zero_before_the_first_call(served: Served) -> None:
    for service, method, grpc_type in [
        ("seqserve.v1.InferenceService", "ClassifyText", "unary"),
        ("seqserve.v1.InferenceService", "GenerateText", "server_stream"),
        ("seqserve.v1.InferenceService", "TranslateText", "unary"),
        ("seqserve.v1.ModelService", "ListModels", "unary"),
        ("seqserve.v1.ModelService", "GetModel", "unary"),
        ("inference.GRPCInferenceService", "ModelInfer", "unary"),
        ("inference.GRPCInferenceService", "ModelStreamInfer", "bidi_stream"),
        ("grpc.health.v1.Health", "Check", "unary"),
        ("grpc.health.v1.Health", "Watch", "server_stream"),
        ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", "bidi_stream"),
    ]:
        labels = {"grpc_service": service, "grpc_method": method, "grpc_type": grpc_type}
        for name in ("started_total", "handling_seconds_count", "msg_received_total", "msg_sent_total"):
            assert served.sample(f"grpc_server_{name}", **labels) == 0
        for code in GO_CODES.values():
            assert served.sample("grpc_server_handled_total", grpc_code=code, **labels) == 0


async def test_a_unary_call_is_counted_from_start_to_end(served: Served) -> None:
    await served.inference.ClassifyText(CLASSIFY)
    labels = {**LABELS, "grpc_method": "ClassifyText", "grpc_type": "unary"}
    await eventually(lambda: served.handled("ClassifyText", "OK") == 1)
    for name in ("started_total", "handling_seconds_count", "msg_received_total", "msg_sent_total"):
        assert served.sample(f"grpc_server_{name}", **labels) == 1


async def test_each_message_of_a_stream_is_counted(served: Served, front: FakeFront) -> None:
    front.chunk_count = 5
    assert (
        len([message async for message in served.inference.GenerateText(inference.GenerateTextRequest(model="m"))]) == 5
    )
    await eventually(lambda: served.handled("GenerateText", "OK", grpc_type="server_stream") == 1)
    labels = {**LABELS, "grpc_method": "GenerateText", "grpc_type": "server_stream"}
    assert served.sample("grpc_server_msg_sent_total", **labels) == 5
    assert served.sample("grpc_server_msg_received_total", **labels) == 1


async def test_health_calls_are_counted_too(served: Served) -> None:
    check = health_pb2_grpc.HealthStub(served.channel).Check  # type: ignore[attr-defined]
    await check(health_pb2.HealthCheckRequest(service="liveness"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(health_pb2.HealthCheckRequest(service="nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await eventually(lambda: served.handled("Check", "NotFound", service="grpc.health.v1.Health") == 1)
    assert served.handled("Check", "OK", service="grpc.health.v1.Health") == 1


async def test_a_method_that_does_not_exist_is_counted_under_one_name(served: Served) -> None:
    for method in ("/seqserve.v1.InferenceService/Nothing", "/a.B/C", "/a.B/D"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw_call(served, method)(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert served.handled("_unknown", "Unimplemented", service="_unknown") == 3


async def test_known_errors_are_counted_by_code_and_leave_no_traceback(
    served: Served, front: FakeFront, caplog: pytest.LogCaptureFixture
) -> None:
    front.error = InferenceFailedError("not finite")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ClassifyText(CLASSIFY)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    await eventually(lambda: served.handled("ClassifyText", "Internal") == 1)
    assert "Traceback" not in caplog.text


async def test_an_unknown_error_is_internal_with_the_id_that_the_log_has(
    served: Served, front: FakeFront, caplog: pytest.LogCaptureFixture
) -> None:
    front.error = ZeroDivisionError("secret")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ClassifyText(CLASSIFY)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (caught.value.details() or "")
    info = detail(caught.value, error_details_pb2.ErrorInfo)
    assert info is not None
    assert info.reason == "INTERNAL"
    assert info.metadata["error_id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text
    await eventually(lambda: served.handled("ClassifyText", "Internal") == 1)


class Panic(BaseException):
    """What a library in Rust raises, as `except Exception` does not see it."""


async def test_a_panic_is_internal_too_in_calls_and_in_streams(served: Served, front: FakeFront) -> None:
    front.error = Panic("index out of bounds")
    stream = served.inference.GenerateText(inference.GenerateTextRequest(model="tiny"))
    for call in (served.inference.ClassifyText(CLASSIFY), stream.read()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call, 5)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        info = detail(caught.value, error_details_pb2.ErrorInfo)
        assert info is not None
        assert info.reason == "INTERNAL"
    await eventually(lambda: served.handled("ClassifyText", "Internal") == 1)


@pytest.mark.parametrize(
    "method",
    [
        "/seqserve.v1.InferenceService/ClassifyText",
        "/seqserve.v1.InferenceService/GenerateText",
        "/seqserve.v1.ModelService/GetModel",
        "/grpc.health.v1.Health/Check",
    ],
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(served: Served, method: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw_call(served, method)(JUNK)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = detail(caught.value, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.reason, info.metadata["byte_count"]) == ("UNDECODABLE_MESSAGE", "4")
    assert served.sample("seqserve_requests_rejected_total", model="_unknown", reason="UNDECODABLE_MESSAGE") == 1


async def test_text_that_is_not_utf8_is_an_invalid_argument(served: Served) -> None:
    raw = inference.ClassifyTextRequest(model="tiny", texts=["ab"]).SerializeToString().replace(b"ab", b"\xed\xa0")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw_call(served, "/seqserve.v1.InferenceService/ClassifyText")(raw)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_flood_of_junk_leaves_one_line_per_second(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            with pytest.raises(grpc.aio.AioRpcError):
                await raw_call(served, "/seqserve.v1.InferenceService/ClassifyText")(JUNK)
    assert 1 <= len(caplog.records) <= 3
    assert caplog.records[0].message == "undecodable_message peer=ipv4:127.0.0.1 bytes=4"


def test_one_event_per_key_and_second_passes() -> None:
    gate = OncePerSecond()
    assert [gate.allows("a", now) for now in (0.0, 0.5, 0.99, 1.0, 1.5, 2.0)] == [True, False, False, True, False, True]
    assert gate.allows("b", 2.0)


def test_keys_are_forgotten_so_that_many_peers_cost_no_memory() -> None:
    gate = OncePerSecond()
    passed = sum(gate.allows(f"peer {index}", 10.0) for index in range(5000))
    assert passed == 1000
    assert gate.allows("another", 11.5)
    assert len(gate._last) == 1
