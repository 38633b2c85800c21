"""Who the server is, and who calls: TLS and bearer tokens, as gRPC's credentials.   Opens no connection."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

Token: TypeAlias = str | Callable[[], str]
"""A bearer token, or what gives the one to use now, for tokens that expire. It is asked before every call."""


@dataclass(frozen=True)
class Tls:
    """How a connection is encrypted. Files are PEM, and are read when a client is made.

    Args:
        ca_file: certificates of those who may vouch for the server; None means those that gRPC brings.
        certificate_file: the caller's own certificate, where the server asks for one.
        key_file: the private key of `certificate_file`.

    Raises:
        ValueError: a certificate without its key, or the other way round.
    """

    ca_file: Path | str | None = None
    certificate_file: Path | str | None = None
    key_file: Path | str | None = None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("a client certificate needs both: certificate_file and key_file")


def channel_credentials(tls: Tls | None, token: Token | None) -> grpc.ChannelCredentials | None:
    """GRPC's credentials of a connection; None means plaintext.

    Raises:
        ValueError: a file cannot be read, or a token would travel in plaintext or is none.
    """
    if tls is None:
        if token is not None:
            raise ValueError("a token needs TLS: in plaintext anybody on the way could read and use it")
        return None
    channel = grpc.ssl_channel_credentials(_read(tls.ca_file), _read(tls.key_file), _read(tls.certificate_file))
    if token is None:
        return channel
    if isinstance(token, str):
        _check(token)
    return grpc.composite_channel_credentials(channel, grpc.metadata_call_credentials(_Bearer(token)))


class _Bearer(grpc.AuthMetadataPlugin):
    """Puts `authorization: Bearer TOKEN` on every call."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:  # noqa: ARG002
        try:
            token = self._token if isinstance(self._token, str) else self._token()
            _check(token)
        except Exception as error:  # noqa: BLE001 - whatever the caller's function raises ends the call, not the thread
            callback((), error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)


def _check(token: str) -> None:
    """Refuse what cannot be a header's value, such as a line end read with the token; never show the token itself."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token is empty, or has blanks, line ends or characters that are not ASCII")


def _read(path: Path | str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
