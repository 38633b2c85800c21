"""Two servers behind one name: the client's calls take turns, and go on when one of the two is gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.server import ServerProcess
from seqserve import Client
from tests.e2e.calls import CLASSIFIER, GENERATOR, eventually, publish_all, running_server, sample

LEAN = ("--engine-layout", "inline")


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_all(tmp_path_factory.mktemp("models"))


@pytest.fixture
def replicas(models_folder: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    with running_server(models_folder, *LEAN) as first, running_server(models_folder, *LEAN) as second:
        yield first, second


def name_of(replicas: tuple[ServerProcess, ServerProcess]) -> str:
    """One name for both, as DNS gives for a headless service."""
    return "ipv4:" + ",".join(server.target for server in replicas)


def answered(server: ServerProcess) -> float:
    """Classifications that a server has answered."""
    method = 'grpc_method="ClassifyText",grpc_service="seqserve.v1.InferenceService",grpc_type="unary"'
    return sample(server, f'grpc_server_handled_total{{grpc_code="OK",{method}}}')


def test_calls_take_turns(replicas: tuple[ServerProcess, ServerProcess]) -> None:
    with Client(name_of(replicas)) as client:
        for _ in range(40):
            client.classify(CLASSIFIER, "a b")
    eventually(lambda: sum(map(answered, replicas)) == 40)
    assert min(map(answered, replicas)) >= 10


def test_a_killed_replica_is_not_noticed_by_callers(replicas: tuple[ServerProcess, ServerProcess]) -> None:
    with Client(name_of(replicas)) as client:
        for number in range(60):
            if number == 20:
                replicas[0].process.kill()
            assert client.classify(CLASSIFIER, "a b").model_version.version == 1
        assert client.generate_text(GENERATOR, max_output_token_count=3).token_count >= 0


def test_a_run_of_many_inputs_outlives_a_killed_replica(replicas: tuple[ServerProcess, ServerProcess]) -> None:
    with Client(name_of(replicas)) as client:
        indices = []
        for answer in client.classify_many(CLASSIFIER, ["a b"] * 3000):
            indices.append(answer.index)
            assert answer.error is None
            if len(indices) == 500:
                replicas[1].process.kill()
    assert indices == list(range(3000))
