"""Calls of a real server with nothing but stock gRPC, and what tests want to know of the answers."""

import contextlib
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from demo.server import ServerProcess, start_server
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import inference_service_pb2_grpc, model_service_pb2_grpc
from seqserve.v1 import model_service_pb2 as models
from tests.bundles import publish_tiny

TASKS = ("classification", "labelling", "labelling-features", "generation", "translation")
CLASSIFIER, TAGGER, FORECASTER, GENERATOR, TRANSLATOR = (f"tiny-{task}" for task in TASKS)


@dataclass(frozen=True)
class Refusal:
    """How a call failed. Without details of ours, `reason` is empty."""

    code: grpc.StatusCode
    reason: str
    fields: tuple[str, ...]
    facts: dict[str, str]
    message: str


class Client:
    """A channel to a server and the stubs over it."""

    def __init__(self, target: str, channel: grpc.Channel | None = None) -> None:
        self.channel = channel or grpc.insecure_channel(target)
        self.inference = inference_service_pb2_grpc.InferenceServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def classify(self, *texts: str, model: str = CLASSIFIER) -> inference.ClassifyTextResponse:
        return self.inference.ClassifyText(inference.ClassifyTextRequest(model=model, texts=texts), timeout=20)

    def label(
        self, *sequences: inference.InputSequence, model: str = TAGGER, **fields: object
    ) -> inference.LabelSequenceResponse:
        request = inference.LabelSequenceRequest(model=model, sequences=sequences, **fields)  # type: ignore[arg-type]
        return self.inference.LabelSequence(request, timeout=20)

    def generate(self, model: str = GENERATOR, **fields: object) -> list[inference.GenerateTextResponse]:
        request = inference.GenerateTextRequest(model=model, **fields)  # type: ignore[arg-type]
        return list(self.inference.GenerateText(request, timeout=20))

    def translate(self, *texts: str, model: str = TRANSLATOR, **fields: object) -> inference.TranslateTextResponse:
        request = inference.TranslateTextRequest(model=model, texts=texts, **fields)  # type: ignore[arg-type]
        return self.inference.TranslateText(request, timeout=20)

    def model(self, reference: str) -> models.Model:
        return self.models.GetModel(models.GetModelRequest(model=reference), timeout=20).model

    def raw(self, method: str, message: bytes, **options: object) -> bytes:
        """Send bytes as they are."""
        call = self.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        return call(message, timeout=20, **options)  # type: ignore[arg-type]


def text(text: str) -> inference.InputSequence:
    """A sequence that the server splits into words."""
    return inference.InputSequence(text=text)


def words(*words: str) -> inference.InputSequence:
    """A sequence of words."""
    return inference.InputSequence(words=words)


def rows(*rows: dict[str, float]) -> inference.InputSequence:
    """A sequence of readings."""
    return inference.InputSequence(rows=[inference.FeatureRow(features=row) for row in rows])


@contextlib.contextmanager
def client_of(server: ServerProcess) -> Iterator[Client]:
    client = Client(server.target)
    with client.channel:
        yield client


@contextlib.contextmanager
def running_server(models_folder: Path, *flags: str) -> Iterator[ServerProcess]:
    """Serve a folder; in the end the server is asked to stop, and killed if it does not. It drains 0 s unless told."""
    drain = [] if "--drain-seconds" in flags else ["--drain-seconds", "0"]
    server = start_server(models_folder, *drain, *flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        for pipe in (server.process.stdout, server.process.stderr):
            if pipe is not None:
                pipe.close()


def publish_all(folder: Path) -> Path:
    """A repository with a tiny model for each of TASKS, in a folder that is made."""
    folder.mkdir(exist_ok=True)
    for task in TASKS:
        publish_tiny(folder, task)
    return folder


def refused(call: Callable[[], object]) -> Refusal:
    """Make a call that must fail, and tell how it did."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return refusal_of(caught.value)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    """The status code that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return refusal_of(error).code
    return grpc.StatusCode.OK


def refusal_of(error: object) -> Refusal:
    """How a call failed, from what it raised."""
    assert isinstance(error, grpc.Call)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        for message in (info, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    assert info.domain in {"", "seqserve"}
    fields = tuple(violation.field for violation in bad.field_violations)
    return Refusal(error.code(), info.reason, fields, dict(info.metadata), error.details() or "")


def status_of(client: Client, name: str) -> int:
    """What the stock health client hears of a name: a `HealthCheckResponse.ServingStatus`."""
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answer: int = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status
    return answer


def watch(client: Client, name: str) -> Iterator[health_pb2.HealthCheckResponse]:
    """The status of a name now, and at each change."""
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    stream: Iterator[health_pb2.HealthCheckResponse] = stub.Watch(health_pb2.HealthCheckRequest(service=name))
    return stream


def metrics_page(server: ServerProcess) -> str:
    """What /metrics shows now."""
    with urllib.request.urlopen(server.metrics_url, timeout=5) as page:
        text: str = page.read().decode()
    return text


def sample(server: ServerProcess, series: str) -> float:
    """The value of one series, spelled as on the page: `name{label="value"}`."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", metrics_page(server), flags=re.MULTILINE)
    assert found is not None, f"{series} is not shown"
    return float(found[1])


def in_flight(server: ServerProcess, model: str) -> float:
    return sample(server, f'seqserve_texts_in_flight{{model="{model}"}}')


def eventually(fact: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Wait until a fact is true."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def engines_of(server: ServerProcess) -> list[psutil.Process]:
    """The engines' processes."""
    engines: list[psutil.Process] = psutil.Process(server.process.pid).children()
    return engines


@contextlib.contextmanager
def frozen_engines(server: ServerProcess) -> Iterator[None]:
    """Hold the engines still, so that whatever is sent stays in flight until the block ends."""
    engines = engines_of(server)
    for engine in engines:
        engine.suspend()
    try:
        yield
    finally:
        for engine in engines:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was frozen to be killed
                engine.resume()
