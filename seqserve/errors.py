"""What the client raises when a call fails: one class per meaning, with the facts the server sent.

SeqserveError
 |- InvalidArgumentError      a field of the request is wrong: see `field_violations`
 |- FailedPreconditionError   the request does not fit the model, for example its task
 |- NotFoundError             no such model, version or health service
 |- UnauthenticatedError      the server does not know who calls
 |- PermissionDeniedError     the server knows, and refuses
 |- ResourceExhaustedError    a full queue (see `retry_delay_seconds`) or a message that is too large
 |- UnavailableError          no server there, or it is shutting down; a later call may succeed
 |- DeadlineExceededError     `timeout_s` passed before the answer was complete
 |- CallCancelledError        the call was cancelled, here or by the server
 |- UnimplementedError        the server is too old for this call
 |- InternalError             the server failed; `facts` has what its operator needs to find it
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request, as the proto spells it (`texts[3]`), and what is wrong with it."""

    field: str
    description: str


class SeqserveError(Exception):
    """A call that failed.

    Args:
        message: one line from the server, or from gRPC where no server answered.
        code: status code of the call.
        reason: stable name of the error, such as `TEXT_TOO_LONG`; empty when the server sent none.
        facts: values that the message mentions, by name.
        field_violations: fields of the request that are at fault.
        retry_delay_seconds: when to try again, or None when the server did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_delay_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.facts = dict(facts or {})
        self.field_violations = field_violations
        self.retry_delay_seconds = retry_delay_seconds

    def __str__(self) -> str:
        fields = ", ".join(v.field for v in self.field_violations if v.field not in self.message)
        return f"{self.reason or self.code.name}: {self.message}" + (f" (in {fields})" if fields else "")

    def __reduce__(self) -> tuple[Callable[[str], "SeqserveError"], tuple[str]]:
        """Pickles: an error that a worker process cannot send back would break its pool."""
        again = partial(
            type(self),
            code=self.code,
            reason=self.reason,
            facts=self.facts,
            field_violations=self.field_violations,
            retry_delay_seconds=self.retry_delay_seconds,
        )
        return again, (self.message,)


class InvalidArgumentError(SeqserveError):
    """A field of the request is out of range, missing or contradictory."""


class FailedPreconditionError(SeqserveError):
    """The request is well formed but does not fit the model or its state."""


class NotFoundError(SeqserveError):
    """No model, version or health service has this name."""


class UnauthenticatedError(SeqserveError):
    """The server does not know who calls."""


class PermissionDeniedError(SeqserveError):
    """The server knows who calls, and refuses."""


class ResourceExhaustedError(SeqserveError):
    """A queue is full, or a message is too large."""


class UnavailableError(SeqserveError):
    """No server answered, or it is shutting down; a later call may succeed."""


class DeadlineExceededError(SeqserveError):
    """The deadline passed before the answer was complete."""


class CallCancelledError(SeqserveError):
    """The call was cancelled, here or by the server."""


class UnimplementedError(SeqserveError):
    """The server does not know the method."""


class InternalError(SeqserveError):
    """The server, or what lies between, failed."""


ERROR_BY_CODE: Mapping[grpc.StatusCode, type[SeqserveError]] = MappingProxyType(
    {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
        grpc.StatusCode.OUT_OF_RANGE: InvalidArgumentError,
        grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
        grpc.StatusCode.NOT_FOUND: NotFoundError,
        grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
        grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
        grpc.StatusCode.UNAVAILABLE: UnavailableError,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
        grpc.StatusCode.CANCELLED: CallCancelledError,
        grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
        grpc.StatusCode.INTERNAL: InternalError,
        grpc.StatusCode.UNKNOWN: InternalError,
        grpc.StatusCode.DATA_LOSS: InternalError,
    }
)


def from_rpc_error(error: grpc.RpcError) -> SeqserveError:
    """The error of a finished call, sync or grpc.aio, with what its google.rpc details say."""
    code = error.code()
    details = _details(error)
    info = _unpacked(details, error_details_pb2.ErrorInfo())
    retry = _unpacked(details, error_details_pb2.RetryInfo())
    violations = _unpacked(details, error_details_pb2.BadRequest()).field_violations
    return ERROR_BY_CODE.get(code, SeqserveError)(
        error.details() or code.value[1],
        code=code,
        reason=info.reason,
        facts=info.metadata,
        field_violations=tuple(FieldViolation(v.field, v.description) for v in violations),
        retry_delay_seconds=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def _details(error: grpc.RpcError) -> status_pb2.Status:
    """The google.rpc.Status of a call, empty where the server sent none that can be read."""
    try:
        return rpc_status.from_call(cast(grpc.Call, error)) or status_pb2.Status()
    except (ValueError, DecodeError):  # contradicts the call's own status, or is no Status
        return status_pb2.Status()


def _unpacked(status: status_pb2.Status, empty: Message) -> Any:
    """The first detail of `empty`'s type, or `empty` itself."""
    try:
        next((detail for detail in status.details if detail.Unpack(empty)), None)
    except DecodeError:
        empty.Clear()
    return empty
