"""Connections with TLS: a server whose certificate is known answers, another does not."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from seqserve import AsyncClient, Client, UnavailableError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program for a certificate")


@pytest.fixture
async def secure_target(tmp_path: Path) -> AsyncIterator[str]:
    """A server for localhost whose certificate lies in `tmp_path`."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    command = ["openssl", "req", "-x509", *curve, *subject, "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    yield f"localhost:{port}"
    await server.stop(None)


async def test_both_clients_speak_tls(secure_target: str, tmp_path: Path) -> None:
    credentials = grpc.ssl_channel_credentials((tmp_path / "certificate.pem").read_bytes())
    with Client(secure_target, credentials=credentials) as client:
        assert await asyncio.to_thread(client.health)
    async with AsyncClient(secure_target, credentials=credentials) as async_client:
        assert await async_client.health()


async def test_an_unknown_certificate_is_refused(secure_target: str) -> None:
    async with AsyncClient(secure_target, credentials=grpc.ssl_channel_credentials()) as client:
        with pytest.raises(UnavailableError):
            await client.health()
