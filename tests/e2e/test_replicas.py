"""Two servers behind one name: the client's calls take turns, and go on when one of the two is gone."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demo.server import ServerProcess
from seqserve import Client, GenerateOptions
from service.state.keys import new_key_line
from tests.e2e.calls import (
    CLASSIFIER,
    GENERATOR,
    engines_of,
    eventually,
    frozen_engines,
    in_flight,
    publish_all,
    running_server,
    sample,
)

LEAN = ("--engine-layout", "inline")
PROMPT, COUNT = "X:1\nK:G\n", 200
GENERATIONS = 'grpc_method="GenerateText",grpc_service="seqserve.v1.InferenceService",grpc_type="server_stream"'


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


def killed_with_its_engines(server: ServerProcess) -> None:
    """SIGKILL to all of it: no word of farewell, and nothing that was still to be said."""
    for process in (psutil.Process(server.process.pid), *engines_of(server)):
        process.kill()


@pytest.mark.parametrize("tokens", [True, False], ids=["by state token", "by seed"])
def test_a_stream_outlives_its_killed_server_to_the_character(
    tokens: bool, models_folder: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "state-keys"
    keys.touch(mode=0o600)
    keys.write_text(new_key_line("first"))
    flags = ("--state-keys", str(keys))
    options: GenerateOptions = {
        "max_output_token_count": COUNT, "min_output_token_count": COUNT, "seed": 7, "temperature": 0.9,
        "include_token_scores": True, "include_state_token": tokens, "state_token_interval": 8 if tokens else None,
    }  # fmt: skip
    with running_server(models_folder, *flags) as first, running_server(models_folder, *flags) as second:
        replicas = first, second
        with Client(name_of(replicas)) as client, client.generate(GENERATOR, PROMPT, **options) as stream:
            chunks = [next(stream)]
            while tokens and chunks[-1].state_token is None:
                chunks.append(next(stream))
            with frozen_engines(first), frozen_engines(second):
                (writing,) = [server for server in replicas if in_flight(server, GENERATOR)]
                killed_with_its_engines(writing)
            chunks += stream
            whole = client.generate_text(GENERATOR, PROMPT, **options)
        (survivor,) = [server for server in replicas if server is not writing]
        begun = sample(survivor, f"grpc_server_started_total{{{GENERATIONS}}}")
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert tuple(score for chunk in chunks for score in chunk.token_scores) == whole.token_scores
    assert sum(chunk.token_count for chunk in chunks) == COUNT
    assert begun == 2, "the rest of the text, and the whole one"
