"""State tokens: content that was signed, and is refused unless it comes back as it went, in time, to the same model.

    token = version (1 byte) | length of the key id (1 byte) | key id | body | HMAC-SHA256 (32 bytes)

The body is a MessagePack array: digest of the bundle, numerics class, times of issue and expiry, content. The HMAC is
over all before it. Tokens are signed, not encrypted, and may be sent any number of times.   Knows no model and no text.
"""

import hmac
import time
from collections.abc import Callable, Sequence

import msgspec

from service.errors import (
    StateTokenExpiredError,
    StateTokenInvalidError,
    StateTokenKeyError,
    StateTokenModelError,
    StateTokenNumericsError,
    StateTokenVersionError,
)
from service.state.keys import Key

VERSION = 1
"""Of tokens, and of how text goes on from them: raised whenever the same token would lead to another text."""

MOST_TOKEN_BYTES = 4 * 1024 * 1024
"""Longest token that is looked at; a token is a little longer than 4 bytes for each number of the state."""

_PURPOSE = b"seqserve state token\0"
"""Begins what is signed, so that a key used elsewhere too cannot be made to sign a token."""

_SIGNATURE_BYTES = 32

LEAST_TOKEN_BYTES = 2 + _SIGNATURE_BYTES


class Origin(msgspec.Struct, frozen=True):
    """What a state belongs to: `digest` of the bundle's manifest, in hexadecimal, and the numerics class."""

    digest: str
    numerics_class: str


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    digest: bytes
    numerics_class: str
    issued_seconds: int
    expires_seconds: int
    content: bytes


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Body)


class StateTokens:
    """Signs and opens tokens.

    Args:
        keys: the first signs, all of them verify; one at least.
        lifetime_seconds: how long a token may be used.
        clock: seconds since 1970.
    """

    def __init__(self, keys: Sequence[Key], *, lifetime_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._signing = keys[0]
        self._keys = {key.id.encode(): key for key in keys}
        self._lifetime_seconds = lifetime_seconds
        self._clock = clock

    def issue(self, origin: Origin, content: bytes) -> bytes:
        """Sign `content`, which is a state of `origin`."""
        now, key_id = int(self._clock()), self._signing.id.encode()
        digest, expiry = bytes.fromhex(origin.digest), now + self._lifetime_seconds
        body = _Body(digest, origin.numerics_class, now, expiry, content)
        signed = bytes([VERSION, len(key_id)]) + key_id + _ENCODER.encode(body)
        return signed + _signature(self._signing, signed)

    def open(self, token: bytes, origin: Origin, *, field: str, allow_inexact: bool) -> bytes:
        """The content of a token that `origin` may go on from.

        Args:
            token: what `issue` gave, here or elsewhere; anything else is refused.
            origin: the model that is to go on.
            field: of the request, for errors.
            allow_inexact: whether another numerics class will do.

        Raises:
            StateTokenInvalidError: it is none, or not as it was signed.
            StateTokenVersionError: it is in another format.
            StateTokenKeyError: it was signed with a key that is not here.
            StateTokenExpiredError: it is too old.
            StateTokenModelError: it is of another bundle.
            StateTokenNumericsError: it is of another numerics class, and `allow_inexact` is not set.
        """
        body = self._verified(token, field)
        if body.expires_seconds <= self._clock():
            age = int(self._clock()) - body.expires_seconds
            raise StateTokenExpiredError(f"{field} expired {age} s ago", field=field, expired_seconds=age)
        if body.digest.hex() != origin.digest:
            raise StateTokenModelError(
                f"{field} is of the bundle {body.digest.hex()[:12]}, the model that answers is {origin.digest[:12]}",
                field=field,
                token_digest=body.digest.hex(),
                digest=origin.digest,
            )
        if body.numerics_class != origin.numerics_class and not allow_inexact:
            raise StateTokenNumericsError(
                f"{field} is of the numerics class {body.numerics_class}, here is {origin.numerics_class}; "
                "allow_inexact_state lets the text go on, though not bit for bit",
                field=field,
                token_numerics_class=body.numerics_class,
                numerics_class=origin.numerics_class,
            )
        return body.content

    def _verified(self, token: bytes, field: str) -> _Body:
        """What is in a token, once its signature is right; nothing of it is looked into before."""
        if not LEAST_TOKEN_BYTES <= len(token) <= MOST_TOKEN_BYTES:
            raise StateTokenInvalidError(
                f"{field} has {len(token)} bytes, a state token has {LEAST_TOKEN_BYTES} to {MOST_TOKEN_BYTES}",
                field=field,
            )
        if token[0] != VERSION:
            raise StateTokenVersionError(
                f"{field} is in version {token[0]} of the format, this server reads {VERSION}",
                field=field,
                version=token[0],
                known_version=VERSION,
            )
        key_end = 2 + int.from_bytes(token[1:2])
        signed, signature = token[:-_SIGNATURE_BYTES], token[-_SIGNATURE_BYTES:]
        key = self._keys.get(token[2:key_end])
        if key is None:
            name = token[2:key_end].decode("ascii", "replace")
            raise StateTokenKeyError(f"{field} was signed with the key {name!r}, which is not here", field=field)
        if not hmac.compare_digest(_signature(key, signed), signature):
            raise StateTokenInvalidError(f"{field} is not as it was signed", field=field)
        try:
            return _DECODER.decode(signed[key_end:])
        except msgspec.DecodeError as error:  # signed, but not by this code
            raise StateTokenInvalidError(f"{field} holds no state", field=field) from error


def _signature(key: Key, signed: bytes) -> bytes:
    return hmac.digest(key.secret, _PURPOSE + signed, "sha256")
