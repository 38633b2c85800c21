"""Health and reflection of a real server process, asked by stock clients."""

import shutil
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from demo.server import ServerProcess
from service.transport.standard.health import HealthListResponse
from tests.bundles import publish_tiny
from tests.e2e.calls import (
    CLASSIFIER,
    FORECASTER,
    GENERATOR,
    TAGGER,
    TRANSLATOR,
    Client,
    client_of,
    eventually,
    publish_all,
    refused,
    running_server,
    status_of,
    watch,
)

Status = health_pb2.HealthCheckResponse
SERVICES = {"seqserve.v1.InferenceService", "seqserve.v1.ModelService", "inference.GRPCInferenceService"}
OWN_NAMES = {"", "liveness", "readiness", *SERVICES}
MODELS = {CLASSIFIER, TAGGER, FORECASTER, GENERATOR, TRANSLATOR}


def listed(client: Client) -> dict[str, int]:
    """Status by name, from List, which the stock client does not have."""
    answer: Any = HealthListResponse.FromString(client.raw("/grpc.health.v1.Health/List", b""))
    return {name: one.status for name, one in answer.statuses.items()}


@pytest.mark.parametrize("name", sorted(OWN_NAMES | {CLASSIFIER}))
def test_the_stock_health_client_is_answered(client: Client, name: str) -> None:
    assert status_of(client, name) == Status.SERVING


def test_an_unknown_name_is_not_found_by_check_and_unknown_to_watch(client: Client) -> None:
    assert refused(lambda: status_of(client, "nothing")).code is grpc.StatusCode.NOT_FOUND
    assert next(watch(client, "nothing")).status == Status.SERVICE_UNKNOWN


def test_a_list_holds_the_server_and_every_model(client: Client) -> None:
    statuses = listed(client)
    assert statuses.keys() >= OWN_NAMES | MODELS
    assert {statuses[name] for name in OWN_NAMES | MODELS} == {Status.SERVING}


def test_a_model_that_comes_is_broken_and_goes_is_followed_by_its_name(server: ServerProcess, client: Client) -> None:
    changes = watch(client, "followed")
    assert next(changes).status == Status.SERVICE_UNKNOWN
    folder = server.models_folder / "followed"
    (folder / "1").mkdir(parents=True)
    assert next(changes).status == Status.NOT_SERVING
    assert listed(client)["followed"] == Status.NOT_SERVING
    shutil.rmtree(folder)
    assert next(changes).status == Status.SERVICE_UNKNOWN
    assert "followed" not in listed(client)
    publish_tiny(server.models_folder, "classification", name="followed")
    eventually(lambda: next(changes).status == Status.SERVING)
    shutil.rmtree(folder)
    assert next(changes).status == Status.SERVICE_UNKNOWN


def test_watchers_of_every_name_are_told_of_a_drain_and_do_not_hold_it_up(tmp_path: Path) -> None:
    models = publish_all(tmp_path / "models")
    with running_server(models, "--grace-seconds", "15") as server, client_of(server) as client:
        streams = {name: watch(client, name) for name in (*OWN_NAMES, CLASSIFIER, "nothing")}
        for stream in streams.values():
            next(stream)
        server.process.send_signal(signal.SIGTERM)
        last = {name: [message.status for message in stream] for name, stream in streams.items()}
        unchanged = {"liveness", "nothing"}
        assert last == {name: [] if name in unchanged else [Status.NOT_SERVING] for name in streams}
        assert server.process.wait(5) == 0


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services_and_describes_our_messages(client: Client, version: str) -> None:
    ask = client.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="seqserve.v1.InferenceService"),
    ]
    names, described = ask(iter(requests), timeout=5)
    assert {service.name for service in names.list_services_response.service} >= {
        "grpc.health.v1.Health",
        "seqserve.v1.InferenceService",
        "seqserve.v1.ModelService",
    }
    assert b"ClassifyTextRequest" in described.file_descriptor_response.file_descriptor_proto[0]


def test_reflection_can_be_turned_off(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with running_server(models, "--no-reflection") as server, client_of(server) as client:
        for version in ("v1", "v1alpha"):
            refusal = refused(lambda version=version: client.raw(reflection_method(version), b""))  # type: ignore[misc]
            assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


def reflection_method(version: str) -> str:
    return f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
