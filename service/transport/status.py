"""The only table from errors to gRPC status codes, and the google.rpc details that go with them.

Knows no method and no message. docs/errors.md shows the same table to people; a test keeps the two equal.
"""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from service.errors import (
    AttentionNotAvailableError,
    BundleError,
    DeadlineExceededError,
    EngineLostError,
    InferenceFailedError,
    InvalidArgumentError,
    ModelNotFoundError,
    ModelNotReadyError,
    NotOfferedError,
    QueueFullError,
    SequenceTooLongError,
    ServiceError,
    SettingsError,
    ShuttingDownError,
    StateKeysMissingError,
    StateNotCarriedError,
    StateTokenExpiredError,
    StateTokenInvalidError,
    StateTokenKeyError,
    StateTokenModelError,
    StateTokenNumericsError,
    StateTokenVersionError,
    TextTooLongError,
    UndecodableMessageError,
    WrongInputError,
    WrongTaskError,
)

logger = logging.getLogger(__name__)

CODE_BY_ERROR: Mapping[type[ServiceError], grpc.StatusCode] = {
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    UndecodableMessageError: grpc.StatusCode.INVALID_ARGUMENT,
    TextTooLongError: grpc.StatusCode.INVALID_ARGUMENT,
    SequenceTooLongError: grpc.StatusCode.INVALID_ARGUMENT,
    ModelNotFoundError: grpc.StatusCode.NOT_FOUND,
    WrongTaskError: grpc.StatusCode.FAILED_PRECONDITION,
    WrongInputError: grpc.StatusCode.FAILED_PRECONDITION,
    AttentionNotAvailableError: grpc.StatusCode.FAILED_PRECONDITION,
    NotOfferedError: grpc.StatusCode.UNIMPLEMENTED,
    StateNotCarriedError: grpc.StatusCode.FAILED_PRECONDITION,
    StateKeysMissingError: grpc.StatusCode.FAILED_PRECONDITION,
    StateTokenInvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    StateTokenVersionError: grpc.StatusCode.FAILED_PRECONDITION,
    StateTokenKeyError: grpc.StatusCode.FAILED_PRECONDITION,
    StateTokenExpiredError: grpc.StatusCode.FAILED_PRECONDITION,
    StateTokenModelError: grpc.StatusCode.FAILED_PRECONDITION,
    StateTokenNumericsError: grpc.StatusCode.FAILED_PRECONDITION,
    ModelNotReadyError: grpc.StatusCode.UNAVAILABLE,
    EngineLostError: grpc.StatusCode.UNAVAILABLE,
    ShuttingDownError: grpc.StatusCode.UNAVAILABLE,
    QueueFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineExceededError: grpc.StatusCode.DEADLINE_EXCEEDED,
    InferenceFailedError: grpc.StatusCode.INTERNAL,
    SettingsError: grpc.StatusCode.INTERNAL,
    BundleError: grpc.StatusCode.INTERNAL,
}

DOMAIN = "seqserve"
RETRY_MILLISECONDS = 100
"""When a refused caller may come back: a few batches later."""

# Everything below travels in trailers, of which clients take 8 KiB; the message is in them up to three times.
MESSAGE_BYTES = 800
FACT_BYTES = 200


@dataclass(frozen=True)
class RpcStatus(grpc.Status):
    """A status as `abort_with_status` takes it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_status(error: ServiceError) -> RpcStatus:
    """Turn an error into code, message, ErrorInfo, BadRequest if it names a field, RetryInfo if it may be retried."""
    code = CODE_BY_ERROR.get(type(error), grpc.StatusCode.INTERNAL)
    message = _shortened(error.message, MESSAGE_BYTES)
    metadata = {name: _shortened(value, FACT_BYTES) for name, value in error.facts.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if not isinstance(error, QueueFullError):
        return _status(code, message, details)
    delay = duration_pb2.Duration(nanos=RETRY_MILLISECONDS * 1_000_000)
    details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code, message, details, ("grpc-retry-pushback-ms", str(RETRY_MILLISECONDS)))


def to_internal_status(error: BaseException) -> RpcStatus:
    """Turn an error that nobody foresaw into INTERNAL with an id; the log has the traceback under the same id."""
    return to_status(internal_error(error))


def internal_error(error: BaseException) -> ServiceError:
    """An error that nobody foresaw, as callers are told of it: with an id, under which the log has the traceback."""
    error_id = uuid.uuid4().hex
    logger.error("unexpected_error error_id=%s", error_id, exc_info=error)
    return ServiceError(f"internal error; the server's log has more under {error_id}", error_id=error_id)


def _status(
    code: grpc.StatusCode, message: str, details: list[Message], *metadata: tuple[str, str | bytes]
) -> RpcStatus:
    proto = status_pb2.Status(code=code.value[0], message=message, details=[_packed(detail) for detail in details])
    return RpcStatus(code, message, (*rpc_status.to_status(proto).trailing_metadata, *metadata))


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _shortened(text: str, most_bytes: int) -> str:
    """Cut a text to so many bytes of UTF-8, with `...` for what is missing. What UTF-8 cannot say becomes `?`."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most_bytes:
        return raw.decode()
    return raw[: most_bytes - 3].decode("utf-8", "ignore") + "..."
