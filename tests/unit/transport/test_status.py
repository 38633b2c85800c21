"""Errors become statuses by one table."""

import logging
import re
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from service import errors
from service.errors import InvalidArgumentError, ModelNotFoundError, QueueFullError, ServiceError
from service.transport.status import CODE_BY_ERROR, RpcStatus, to_internal_status, to_status

ERRORS_PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def every_subclass(of: type[ServiceError]) -> set[type[ServiceError]]:
    found = set(of.__subclasses__())
    return found.union(*(every_subclass(error) for error in found))


def proto_of(status: RpcStatus) -> status_pb2.Status:
    raw = dict(status.trailing_metadata)["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    return status_pb2.Status.FromString(raw)


def unpacked(status: RpcStatus, kind: type[Message]) -> list[Message]:
    found = []
    for packed in proto_of(status).details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            found.append(message)
    return found


def test_every_error_has_a_status_code() -> None:
    assert set(CODE_BY_ERROR) == every_subclass(ServiceError)


def test_reasons_are_unique_and_spelled_as_google_rpc_wants() -> None:
    reasons = [error.reason for error in CODE_BY_ERROR]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", reason) for reason in reasons)


def test_the_errors_page_says_what_the_code_does() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \| \S.* \| \S.* \|$", ERRORS_PAGE.read_text(), flags=re.MULTILINE)
    expected = {error.reason: code.name for error, code in CODE_BY_ERROR.items()} | {"INTERNAL": "INTERNAL"}
    assert len(rows) == len(expected)
    assert dict(rows) == expected


def test_a_status_carries_reason_domain_and_facts() -> None:
    status = to_status(ModelNotFoundError("no model is called 'x'", model="x"))
    assert status.code is grpc.StatusCode.NOT_FOUND
    assert status.details == "no model is called 'x'"
    assert proto_of(status).code == 5
    expected = error_details_pb2.ErrorInfo(reason="MODEL_NOT_FOUND", domain="seqserve", metadata={"model": "x"})
    assert unpacked(status, error_details_pb2.ErrorInfo) == [expected]
    assert unpacked(status, error_details_pb2.BadRequest) == []


def test_a_status_names_the_field_at_fault() -> None:
    (bad,) = unpacked(to_status(InvalidArgumentError("too hot", field="temperature")), error_details_pb2.BadRequest)
    violation = error_details_pb2.BadRequest.FieldViolation(field="temperature", description="too hot")
    assert bad == error_details_pb2.BadRequest(field_violations=[violation])


def test_a_full_queue_says_when_to_come_back() -> None:
    status = to_status(QueueFullError("full"))
    (retry,) = unpacked(status, error_details_pb2.RetryInfo)
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 100
    assert dict(status.trailing_metadata)["grpc-retry-pushback-ms"] == "100"


def test_an_unknown_error_is_internal_with_an_id_and_its_text_stays_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        status = to_internal_status(KeyError("secret"))
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.details
    (info,) = unpacked(status, error_details_pb2.ErrorInfo)
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason == "INTERNAL"
    assert f"error_id={info.metadata['error_id']}" in caplog.text
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "\N{GRINNING FACE}" * 100_000, "\ud800" * 5000], ids=["ascii", "emoji", "surrogate"]
)
def test_trailers_stay_under_8_kib_however_long_the_message(text: str) -> None:
    facts = {f"fact_{index}": text for index in range(3)}
    status = to_status(errors.TextTooLongError(text, field="texts[0]", **facts))
    percent_encoded = 3 * len(status.details.encode())
    base64_encoded = sum(len(value) * 4 // 3 for _, value in status.trailing_metadata)
    assert percent_encoded + base64_encoded < 8000
