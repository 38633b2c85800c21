"""Connections with TLS, client certificates and tokens: whom both clients believe, and what they show."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from seqserve import AsyncClient, Client, SeqserveError, Tls, Token, UnavailableError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program for a certificate")


class Witness(grpc.aio.ServerInterceptor):
    """Notes what callers say they are."""

    def __init__(self) -> None:
        self.authorizations: list[object] = []

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], details: Any) -> Any:
        self.authorizations.append(dict(details.invocation_metadata).get("authorization"))
        return await continuation(details)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `server` and `caller`, each a certificate that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, subject in (("server", "localhost"), ("caller", "caller")):
        options = ["-subj", f"/CN={subject}", "-addext", f"subjectAltName=DNS:{subject}", "-nodes", "-days", "1"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(["openssl", "req", "-x509", *curve, *options, *files], check=True, capture_output=True)
    return folder


@asynccontextmanager
async def serving(certificates: Path, *, asks_for_certificate: bool = False) -> AsyncIterator[tuple[str, Witness]]:
    """A server for localhost, which may believe nobody but `caller`."""
    witness = Witness()
    server = grpc.aio.server(interceptors=[witness])
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    pair = ((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())
    callers = (certificates / "caller.pem").read_bytes() if asks_for_certificate else None
    credentials = grpc.ssl_server_credentials([pair], callers, asks_for_certificate)
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    try:
        yield f"localhost:{port}", witness
    finally:
        await server.stop(None)


async def ask_with_both(target: str, tls: Tls, token: Token | None = None) -> None:
    """Raises what either client raises."""

    def ask() -> None:
        with Client(target, tls=tls, token=token) as client:
            assert client.health()

    await asyncio.to_thread(ask)
    async with AsyncClient(target, tls=tls, token=token) as client:
        assert await client.health()


async def test_both_clients_speak_tls(certificates: Path) -> None:
    async with serving(certificates) as (target, _):
        await ask_with_both(target, Tls(ca_file=certificates / "server.pem"))


async def test_an_unknown_certificate_is_refused(certificates: Path) -> None:
    async with serving(certificates) as (target, _), AsyncClient(target, tls=Tls()) as client:
        with pytest.raises(UnavailableError):
            await client.health()


async def test_a_caller_shows_its_certificate_to_a_server_that_asks(certificates: Path) -> None:
    async with serving(certificates, asks_for_certificate=True) as (target, _):
        own = Tls(certificates / "server.pem", certificates / "caller.pem", certificates / "caller.key")
        await ask_with_both(target, own)
        with pytest.raises(UnavailableError):
            await ask_with_both(target, Tls(certificates / "server.pem"))


async def test_a_token_goes_with_every_call(certificates: Path) -> None:
    async with serving(certificates) as (target, witness):
        await ask_with_both(target, Tls(certificates / "server.pem"), "s3cret")
    assert witness.authorizations == ["Bearer s3cret"] * 2


async def test_a_token_that_expires_is_asked_for_before_every_call(certificates: Path) -> None:
    numbers = count()
    async with (
        serving(certificates) as (target, witness),
        AsyncClient(target, tls=Tls(certificates / "server.pem"), token=lambda: f"t{next(numbers)}") as client,
    ):
        await client.health()
        await client.health()
    assert witness.authorizations == ["Bearer t0", "Bearer t1"]


async def test_a_token_that_cannot_be_had_ends_the_call(certificates: Path) -> None:
    def lost() -> str:
        raise OSError("no such vault")

    async with serving(certificates) as (target, witness):
        with pytest.raises(SeqserveError, match="no such vault"):
            await ask_with_both(target, Tls(certificates / "server.pem"), lost)
    assert witness.authorizations == []


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(ValueError, match=words):
        yield


def test_a_token_never_travels_in_plaintext() -> None:
    with refused("needs TLS"):
        Client("localhost:1", token="s3cret")


@pytest.mark.parametrize("token", ["", "with\n", "two words", "pàssword"])
def test_what_is_no_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="the token is empty, or") as caught:
        Client("localhost:1", tls=Tls(), token=token)
    assert not token or token not in str(caught.value)


def test_a_certificate_that_cannot_be_used_is_named() -> None:
    with refused("needs both"):
        Tls(certificate_file="caller.pem")
    with refused("nowhere.pem: No such file"):
        Client("localhost:1", tls=Tls(ca_file="nowhere.pem"))
