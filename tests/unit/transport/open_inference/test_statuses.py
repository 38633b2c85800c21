"""How requests of the Open Inference Protocol fail: a status for every situation, over a real channel."""

import asyncio
from typing import Any

import grpc
import pytest

from service.errors import (
    DeadlineExceededError,
    EngineLostError,
    InferenceFailedError,
    InvalidArgumentError,
    ModelNotReadyError,
    QueueFullError,
    ShuttingDownError,
)
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from tests.infer_messages import infer_request
from tests.unit.transport.fake_front import FakeFront, Served, eventually
from tests.unit.transport.open_inference.asking import SERVICE, failure, stub

CLASSIFY = infer_request("tiny", {"texts": ["a b"]})
REQUESTS = {
    "ModelReady": protocol.ModelReadyRequest,
    "ModelMetadata": protocol.ModelMetadataRequest,
    "ModelConfig": protocol.ModelConfigRequest,
    "ModelStatistics": protocol.ModelStatisticsRequest,
}
Code = grpc.StatusCode


async def refusal(served: Served, method: str, name: str, version: str) -> grpc.aio.AioRpcError:
    """How a method that names a model fails."""
    if method == "ModelInfer":
        request: Any = infer_request(name, {"texts": ["a"]})
        request.model_version = version
    else:
        request = REQUESTS[method](name=name, version=version)
    return await failure(lambda: getattr(stub(served), method)(request))


@pytest.mark.parametrize("method", [*REQUESTS, "ModelInfer"])
@pytest.mark.parametrize(
    ("name", "version", "code", "message"),
    [
        ("nobody", "", Code.NOT_FOUND, "no model is called nobody"),
        ("tiny", "9", Code.NOT_FOUND, "tiny@9"),
        ("tiny", "-1", Code.INVALID_ARGUMENT, "the version of the model is '-1'"),
        ("tiny", "newest", Code.INVALID_ARGUMENT, "expected a decimal number"),
    ],
    ids=["model", "version", "negative", "word"],
)
async def test_what_is_unknown_is_not_found_and_a_version_is_a_number_whatever_is_asked(
    served: Served, method: str, name: str, version: str, code: Code, message: str
) -> None:
    error = await refusal(served, method, name, version)
    assert error.code() is code
    assert message in (error.details() or "")


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics", "ModelInfer"])
@pytest.mark.parametrize("name", ["loading", "failed"])
async def test_a_model_that_does_not_answer_is_unavailable_whatever_is_asked(
    served: Served, method: str, name: str
) -> None:
    error = await refusal(served, method, name, "1")
    assert error.code() is Code.UNAVAILABLE
    assert f"model {name}@1 is not at ready state, it is {name}" in (error.details() or "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgumentError("why"), Code.INVALID_ARGUMENT),
        (QueueFullError("why"), Code.RESOURCE_EXHAUSTED),
        (DeadlineExceededError("why"), Code.DEADLINE_EXCEEDED),
        (ModelNotReadyError("why"), Code.UNAVAILABLE),
        (EngineLostError("why"), Code.UNAVAILABLE),
        (ShuttingDownError("why"), Code.UNAVAILABLE),
        (InferenceFailedError("why"), Code.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_fails_after_the_checks_has_its_status_and_message(
    served: Served, front: FakeFront, error: Exception, code: Code
) -> None:
    found = await failed_at_work(served, front, error)
    assert (found.code(), found.details()) == (code, "why")


async def test_a_failure_nobody_foresaw_is_internal_and_tells_nothing_of_the_code(
    served: Served, front: FakeFront
) -> None:
    found = await failed_at_work(served, front, ZeroDivisionError("in secret.py"))
    assert found.code() is Code.INTERNAL
    told = f"{found.details()} {found.trailing_metadata()}"
    assert not [word for word in ("secret", "ZeroDivision", "Traceback") if word in told]


async def failed_at_work(served: Served, front: FakeFront, error: Exception) -> grpc.aio.AioRpcError:
    """How a ModelInfer fails whose model fails once it works."""
    front.gate = asyncio.Event()
    waiting = asyncio.ensure_future(failure(lambda: stub(served).ModelInfer(CLASSIFY)))
    await eventually(lambda: front.working == 1)
    front.error = error
    front.gate.set()
    return await waiting


async def test_a_client_that_leaves_ends_the_work_and_is_counted_as_such(served: Served, front: FakeFront) -> None:
    front.gate = asyncio.Event()
    call = stub(served).ModelInfer(CLASSIFY)
    waiting = asyncio.ensure_future(call)
    await eventually(lambda: front.working == 1)
    call.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: front.working == 0)
    await eventually(lambda: served.handled("ModelInfer", "Canceled", service=SERVICE) == 1)
