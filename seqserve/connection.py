"""How both clients connect, how long they wait and when they try again.   Does no I/O itself."""

import json
import math
import random
import time

from seqserve.errors import ResourceExhaustedError, SeqserveError

DEFAULT_TARGET = "localhost:50051"
DEFAULT_TIMEOUT_S = 30.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_ATTEMPTS = 4

HEALTH_CHECK_METHOD = "/grpc.health.v1.Health/Check"

# gRPC itself repeats a call that met no server or one that is draining, as long as nothing of its answer has come; with
# several replicas the next attempt goes to the next one. RESOURCE_EXHAUSTED is not listed: gRPC would then also repeat
# what can never succeed, such as a message that is too large. See Attempts.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "seqserve.v1.InferenceService"},
                {"service": "seqserve.v1.ModelService"},
                {"service": "grpc.health.v1.Health", "method": "Check"},
            ],
            "retryPolicy": {
                "maxAttempts": MAX_ATTEMPTS,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # a target that resolves to several addresses is several replicas, which take turns
    "loadBalancingConfig": [{"round_robin": {}}],
    # while most calls fail, repeating them makes it worse
    "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
}

CHANNEL_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),  # what does not fit is never repeated
    # notices a peer that vanished under a stream; idle connections are left in peace
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
]


def checked_timeout(timeout_s: float) -> float:
    """`timeout_s` itself.

    Raises:
        ValueError: it is not above 0 and finite; every call has a deadline.
    """
    if not 0 < timeout_s < math.inf:
        raise ValueError(f"timeout_s is {timeout_s}, expected a finite number above 0")
    return timeout_s


class Attempts:
    """One call: its deadline, and whether a full queue is worth another try.

    A server that refuses with RESOURCE_EXHAUSTED says when to come back if that makes sense (google.rpc.RetryInfo).

    Args:
        timeout_s: seconds until the deadline.
        max_attempts: most tries; None means as many as there is time for.
    """

    def __init__(self, timeout_s: float, max_attempts: int | None = MAX_ATTEMPTS) -> None:
        self._ends_at = time.monotonic() + checked_timeout(timeout_s)
        self._max_attempts = max_attempts or math.inf
        self._failed_count = 0

    def seconds_left(self) -> float:
        """Time until the call's deadline, at least 0."""
        return max(self._ends_at - time.monotonic(), 0.0)

    def delay_after(self, error: SeqserveError) -> float | None:
        """Seconds to wait before the next attempt, or None when `error` is to be raised."""
        self._failed_count += 1
        if not isinstance(error, ResourceExhaustedError) or error.retry_delay_seconds is None:
            return None
        delay = error.retry_delay_seconds * random.uniform(1.0, 1.5)  # those refused together come back apart
        return delay if self._failed_count < self._max_attempts and delay < self.seconds_left() else None
