"""Clients that do not read, and clients that send more than a model can take, hurt nobody else."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.server import ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from tests.e2e.calls import (
    CLASSIFIER,
    GENERATOR,
    Client,
    client_of,
    eventually,
    in_flight,
    publish_all,
    refused,
    running_server,
    sample,
)
from tests.e2e.http2 import UnreadingClient

GENERATE_METHOD = "/seqserve.v1.InferenceService/GenerateText"
GENERATE = inference.GenerateTextRequest(model=GENERATOR, prompt="X:1", max_output_token_count=250, seed=1)
LONGEST_HEALTH_SECONDS = 0.15


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with short deadlines, and limits on text as they once were."""
    models = publish_all(tmp_path_factory.mktemp("models"))
    limits = ["--max-text-characters", "100000", "--max-request-characters", "4000000"]
    with running_server(models, "--max-request-seconds", "2", *limits) as server:
        yield server


def test_clients_that_do_not_read_lose_their_places_at_the_deadline(server: ServerProcess, client: Client) -> None:
    rejected = f'seqserve_requests_rejected_total{{model="{GENERATOR}",reason="DEADLINE_EXCEEDED"}}'
    before = sample(server, rejected)
    with UnreadingClient(server.target, GENERATE_METHOD, GENERATE.SerializeToString(), call_count=5) as unreading:
        eventually(lambda: in_flight(server, GENERATOR) == 5)
        eventually(lambda: in_flight(server, GENERATOR) == 0, seconds=4)
        assert sample(server, rejected) - before == 5
        assert client.generate(prompt="X:1", max_output_token_count=3, seed=1)[-1].finish_reason
        assert not unreading.all_ended
        unreading.read()
        eventually(lambda: unreading.all_ended)
        assert b"deadline" in unreading.last_headers
    assert "Traceback" not in "".join(server.log)


def test_an_unreading_client_that_leaves_is_forgotten(server: ServerProcess) -> None:
    with UnreadingClient(server.target, GENERATE_METHOD, GENERATE.SerializeToString()):
        eventually(lambda: in_flight(server, GENERATOR) == 1)
    eventually(lambda: in_flight(server, GENERATOR) == 0, seconds=1)
    assert "Traceback" not in "".join(server.log)


def test_health_is_answered_at_once_while_millions_of_characters_are_split(
    server: ServerProcess, client: Client
) -> None:
    latencies: list[float] = []
    done = threading.Event()

    def probe() -> None:
        health: Any = health_pb2_grpc.HealthStub(client.channel)
        while not done.is_set():
            begun = time.perf_counter()
            health.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=5)
            latencies.append(time.perf_counter() - begun)
            time.sleep(0.002)

    probing = threading.Thread(target=probe)
    probing.start()
    try:
        answer = client.classify(*["a" * 99_000] * 40)
    finally:
        done.set()
        probing.join()
    assert [found.token_count for found in answer.classifications] == [1] * 40
    assert len(latencies) > 3
    assert max(latencies) < LONGEST_HEALTH_SECONDS


def test_texts_that_are_too_long_together_are_refused_with_the_sum_and_the_limit(tmp_path: Path) -> None:
    with running_server(publish_all(tmp_path / "models")) as server, client_of(server) as client:
        refusal = refused(lambda: client.classify(*["a" * 2_001] * 256))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TEXT_TOO_LONG")
        assert refusal.fields == ("texts",)
        assert refusal.facts["character_count"] == "512256"
        assert refusal.facts["limit"] == "512000"
        refusal = refused(lambda: client.classify("fine", "a" * 20_001))
        assert (refusal.reason, refusal.fields) == ("TEXT_TOO_LONG", ("texts[1]",))
        assert len(client.classify(*["a" * 2_000] * 256).classifications) == 256
        assert in_flight(server, CLASSIFIER) == 0
