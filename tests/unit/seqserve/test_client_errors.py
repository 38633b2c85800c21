"""From a finished call to the error that the client raises."""

import pickle

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from seqserve import FieldViolation, InvalidArgumentError, ResourceExhaustedError, SeqserveError
from seqserve.errors import ERROR_BY_CODE, from_rpc_error

NO_METADATA = grpc.aio.Metadata()


def rpc_error(code: grpc.StatusCode, details: str, trailing: bytes | None = None) -> grpc.aio.AioRpcError:
    metadata = NO_METADATA if trailing is None else grpc.aio.Metadata(("grpc-status-details-bin", trailing))
    return grpc.aio.AioRpcError(code, NO_METADATA, metadata, details)


def packed(code: grpc.StatusCode, message: str, *details: Message) -> bytes:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    encoded: bytes = status.SerializeToString()
    return encoded


def test_every_error_class_has_a_status_code() -> None:
    assert set(ERROR_BY_CODE.values()) == set(SeqserveError.__subclasses__())


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_code_becomes_an_error(code: grpc.StatusCode) -> None:
    error = from_rpc_error(rpc_error(code, "what happened"))
    assert type(error) is ERROR_BY_CODE.get(code, SeqserveError)
    assert (error.code, error.message, error.reason) == (code, "what happened", "")
    assert (error.facts, error.field_violations, error.retry_delay_seconds) == ({}, (), None)
    assert str(error) == f"{code.name}: what happened"


def test_details_are_read_whatever_their_order() -> None:
    trailing = packed(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "full",
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
        error_details_pb2.Help(),
        error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="seqserve", metadata={"model": "m"}),
    )
    error = from_rpc_error(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", trailing))
    assert type(error) is ResourceExhaustedError
    assert (error.reason, error.facts, error.retry_delay_seconds) == ("QUEUE_FULL", {"model": "m"}, 1.5)


def test_a_field_that_the_message_names_is_not_repeated() -> None:
    code = grpc.StatusCode.INVALID_ARGUMENT
    error = InvalidArgumentError(
        "top_k is 0", code=code, field_violations=(FieldViolation("top_k", ""), FieldViolation("top_p", ""))
    )
    assert str(error) == "INVALID_ARGUMENT: top_k is 0 (in top_p)"


@pytest.mark.parametrize(
    "trailing",
    [
        pytest.param(b"\xff\xff", id="no message"),
        pytest.param(packed(grpc.StatusCode.NOT_FOUND, "bad"), id="another code"),
        pytest.param(packed(grpc.StatusCode.INTERNAL, "else"), id="another text"),
    ],
)
def test_details_that_contradict_the_call_are_left_out(trailing: bytes) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.INTERNAL, "bad", trailing))
    assert str(error) == "INTERNAL: bad"


def test_a_detail_that_cannot_be_read_hides_no_other() -> None:
    info = error_details_pb2.ErrorInfo(reason="TEXT_TOO_LONG", domain="seqserve")
    status = status_pb2.Status.FromString(packed(grpc.StatusCode.INVALID_ARGUMENT, "bad", info))
    status.details.add(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    error = from_rpc_error(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, "bad", status.SerializeToString()))
    assert (error.reason, error.field_violations) == ("TEXT_TOO_LONG", ())


def test_an_error_survives_the_way_between_processes() -> None:
    error = InvalidArgumentError(
        "bad",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="TEXT_TOO_LONG",
        facts={"limit": "5"},
        field_violations=(FieldViolation("texts[0]", "bad"),),
        retry_delay_seconds=2.0,
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InvalidArgumentError
    assert (str(again), vars(again)) == (str(error), vars(error))
