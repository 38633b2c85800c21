"""A real server process with one tiny model per task, and a client to it."""

from collections.abc import Iterator

import pytest

from demo.server import ServerProcess
from tests.e2e.calls import Client, client_of, publish_all, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = publish_all(tmp_path_factory.mktemp("models"))
    flags = ("--poll-seconds", "0.2", "--queue-capacity", "256", "--ephemeral-state-key")
    with running_server(models, *flags) as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with client_of(server) as client:
        yield client
