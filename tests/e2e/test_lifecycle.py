"""Starting, draining, deadlines, cancellation and loss, through a real server process and stock clients."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2

from demo.server import ROOT, ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from service.cores import find_cores
from tests.e2e.calls import (
    CLASSIFIER,
    GENERATOR,
    Client,
    client_of,
    engines_of,
    eventually,
    frozen_engines,
    in_flight,
    metrics_page,
    publish_all,
    refusal_of,
    refused,
    running_server,
    sample,
    status_of,
    watch,
)

Status = health_pb2.HealthCheckResponse
CLASSIFY = inference.ClassifyTextRequest(model=CLASSIFIER, texts=["a good film"])
GENERATE = inference.GenerateTextRequest(model=GENERATOR, prompt="X:1", max_output_token_count=200, seed=1)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return publish_all(tmp_path / "models")


@pytest.fixture
def own_server(models: Path) -> Iterator[ServerProcess]:
    """A server that a test may end."""
    with running_server(models) as server:
        yield server


def ended(process: "subprocess.Popen[str]", seconds: float) -> int:
    """The exit code of a process that ends within so many seconds."""
    return process.wait(seconds)


def test_a_drain_finishes_what_is_in_flight_tells_watchers_and_exits_with_0(own_server: ServerProcess) -> None:
    with client_of(own_server) as client, ThreadPoolExecutor() as pool:
        watching = watch(client, "")
        assert next(watching).status == Status.SERVING
        with frozen_engines(own_server):
            stream = pool.submit(list, client.inference.GenerateText(GENERATE))
            unary = client.inference.ClassifyText.future(CLASSIFY)
            eventually(lambda: in_flight(own_server, GENERATOR) == 1 and in_flight(own_server, CLASSIFIER) == 1)
            own_server.process.send_signal(signal.SIGTERM)
            assert [message.status for message in watching] == [Status.NOT_SERVING]
            assert not unary.done()
        resumed = time.monotonic()
        messages = stream.result(10)
        assert messages[-1].finish_reason
        assert sum(message.token_count for message in messages) <= 200
        assert len(unary.result(10).classifications) == 1
        assert ended(own_server.process, 10) == 0
        assert time.monotonic() - resumed < 5
    assert "Traceback" not in "".join(own_server.log)


def test_new_requests_are_answered_while_health_already_says_no(models: Path) -> None:
    with running_server(models, "--drain-seconds", "2") as server, client_of(server) as client:
        watching = watch(client, "readiness")
        assert next(watching).status == Status.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert [message.status for message in watching] == [Status.NOT_SERVING]
        assert client.classify("a good film").classifications
        assert status_of(client, CLASSIFIER) == Status.NOT_SERVING
        assert status_of(client, "liveness") == Status.SERVING
        assert ended(server.process, 10) == 0


def test_with_the_default_drain_no_call_around_the_signal_is_lost(models: Path) -> None:
    with running_server(models, "--drain-seconds", "1") as server, client_of(server) as client:
        calls = []
        for number in range(60):
            calls.append(client.inference.ClassifyText.future(CLASSIFY, timeout=10))
            if number == 20:
                server.process.send_signal(signal.SIGTERM)
            time.sleep(0.005)
        assert all(call.result(10).classifications for call in calls)
        assert ended(server.process, 10) == 0


def test_what_outlasts_the_grace_time_is_ended(models: Path) -> None:
    with (
        running_server(models, "--grace-seconds", "0.5") as server,
        client_of(server) as client,
        frozen_engines(server),
    ):
        call = client.inference.ClassifyText.future(CLASSIFY)
        eventually(lambda: in_flight(server, CLASSIFIER) == 1)
        server.process.send_signal(signal.SIGTERM)
        error = call.exception(5)
        assert isinstance(error, grpc.RpcError)
        assert refusal_of(error).code is grpc.StatusCode.UNAVAILABLE
        assert ended(server.process, 15) == 0
    assert "Traceback" not in "".join(server.log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_an_idle_server_ends_at_once(models: Path, number: signal.Signals) -> None:
    with running_server(models) as server:
        engines = engines_of(server)
        began = time.monotonic()
        server.process.send_signal(number)
        assert ended(server.process, 10) == 0
        assert time.monotonic() - began < 3
        assert not any(engine.is_running() for engine in engines)


def test_a_second_signal_ends_the_server_at_once(models: Path) -> None:
    with running_server(models) as server, client_of(server) as client:
        engines = engines_of(server)
        with frozen_engines(server):
            call = client.inference.ClassifyText.future(CLASSIFY)
            eventually(lambda: in_flight(server, CLASSIFIER) == 1)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            assert ended(server.process, 2) == 1
        assert call.exception(5) is not None
        eventually(lambda: all(map(gone, engines)))


def test_an_engine_does_not_outlive_a_server_that_was_killed(models: Path) -> None:
    with running_server(models) as server:
        engines = engines_of(server)
        server.process.kill()
        server.process.wait(5)
        eventually(lambda: all(map(gone, engines)))


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_second_server_on_the_same_port_exits_with_2_and_one_line(server: ServerProcess) -> None:
    for flag, address in [
        ("--grpc-address", server.target),
        ("--metrics-address", server.metrics_url.removeprefix("http://").removesuffix("/metrics")),
    ]:
        addresses = {"--grpc-address": "127.0.0.1:0", "--metrics-address": "127.0.0.1:0", flag: address}
        flags = [part for pair in addresses.items() for part in pair]
        result = run_service("serve", "--models", str(server.models_folder), "--log-level", "error", *flags)
        setting = flag[2:].replace("-", "_")
        assert result.stderr == f"error: {setting} {address} cannot be used: Address already in use\n"
        assert (result.returncode, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        pytest.param(["--models", "/does/not/exist"], "models is '/does/not/exist'", id="no folder"),
        pytest.param(["--models", ".", "--queue-capacity", "1"], "queue_capacity is '1'", id="out of range"),
        pytest.param(["--models", ".", "--nonsense"], "unrecognized arguments: --nonsense", id="unknown flag"),
    ],
)
def test_a_bad_setting_exits_with_2_and_one_line(flags: list[str], problem: str) -> None:
    result = run_service("serve", *flags)
    assert result.stderr.startswith(f"error: {problem}")
    assert result.stderr.count("\n") == 1
    assert (result.returncode, result.stdout) == (2, "")


def run_service(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_a_deadline_is_kept_while_the_engine_is_busy(server: ServerProcess, client: Client) -> None:
    with frozen_engines(server):
        for call in (
            lambda: client.inference.ClassifyText(CLASSIFY, timeout=0.3),
            lambda: list(client.inference.GenerateText(GENERATE, timeout=0.3)),
        ):
            began = time.monotonic()
            assert refused(call).code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert time.monotonic() - began < 1
        eventually(lambda: in_flight(server, CLASSIFIER) == 0 and in_flight(server, GENERATOR) == 0)
    assert client.classify("a good film").classifications


def test_the_server_keeps_its_own_deadline_where_the_client_has_none(models: Path) -> None:
    with running_server(models, "--max-request-seconds", "0.5") as server, client_of(server) as client:
        with frozen_engines(server):
            began = time.monotonic()
            refusal = refused(lambda: client.inference.ClassifyText(CLASSIFY))
            assert 0.4 < time.monotonic() - began < 2
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert client.classify("a good film").classifications


def test_a_cancelled_call_frees_its_place(server: ServerProcess, client: Client) -> None:
    with frozen_engines(server):
        unary = client.inference.ClassifyText.future(CLASSIFY)
        stream = client.inference.GenerateText(GENERATE)
        eventually(lambda: in_flight(server, CLASSIFIER) == 1 and in_flight(server, GENERATOR) == 1)
        unary.cancel()
        stream.cancel()
        eventually(lambda: in_flight(server, CLASSIFIER) == 0 and in_flight(server, GENERATOR) == 0, seconds=2)
    assert client.classify("a good film").classifications
    cancelled = 'grpc_server_handled_total{grpc_code="Canceled",grpc_method="GenerateText"'
    cancelled += ',grpc_service="seqserve.v1.InferenceService",grpc_type="server_stream"}'
    assert sample(server, cancelled) >= 1


def test_a_client_that_is_killed_frees_its_place(server: ServerProcess) -> None:
    program = (
        "import sys, grpc; from seqserve.v1 import inference_service_pb2 as m, inference_service_pb2_grpc as s;"
        f"stub = s.InferenceServiceStub(grpc.insecure_channel({server.target!r}));"
        f"list(stub.GenerateText(m.GenerateTextRequest(model={GENERATOR!r})))"
    )
    with frozen_engines(server), subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as other:
        eventually(lambda: in_flight(server, GENERATOR) == 1, seconds=20)
        other.kill()
        other.wait()
        eventually(lambda: in_flight(server, GENERATOR) == 0, seconds=2)


def test_the_queue_holds_exactly_what_it_says(server: ServerProcess, client: Client) -> None:
    with frozen_engines(server):
        calls = [client.inference.ClassifyText.future(CLASSIFY) for _ in range(256 + 2)]
        eventually(lambda: sum(call.done() for call in calls) == 2)
        time.sleep(0.3)
        refused_calls = [call for call in calls if call.done()]
        assert len(refused_calls) == 2
        assert in_flight(server, CLASSIFIER) == 256
    for call in refused_calls:
        refusal = refusal_of(call.exception())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert refusal.facts["capacity"] == "256"
        assert ("grpc-retry-pushback-ms", "100") in tuple(call.trailing_metadata())
    answered = [call.result(20) for call in calls if call not in refused_calls]
    assert len(answered) == 256
    assert len({answer.classifications[0].SerializeToString() for answer in answered}) == 1
    eventually(lambda: in_flight(server, CLASSIFIER) == 0)


def test_a_server_has_an_engine_for_each_core_up_to_eight(server: ServerProcess) -> None:
    assert len(engines_of(server)) == min(8, find_cores().usable)


@pytest.mark.skipif(find_cores().usable == 1, reason="the one engine of one core gets all calls")
def test_a_few_single_calls_stay_away_from_the_engine_that_has_no_core_beside_the_front(models: Path) -> None:
    with running_server(models, "--engine-count", str(find_cores().usable)) as server, client_of(server) as client:
        with frozen_engines(server):
            calls = [client.inference.ClassifyText.future(CLASSIFY) for _ in range(4)]
            eventually(lambda: in_flight(server, CLASSIFIER) == 4)
            engines_of(server)[-1].kill()
            eventually(lambda: sample(server, "seqserve_engine_restarts_total") == 1)
        answers = [call.result(20) for call in calls]
    assert len({answer.classifications[0].SerializeToString() for answer in answers}) == 1


def test_lost_engines_fail_their_requests_and_are_replaced(own_server: ServerProcess) -> None:
    with client_of(own_server) as client:
        before = client.classify("a good film").classifications
        with frozen_engines(own_server):
            call = client.inference.ClassifyText.future(CLASSIFY)
            eventually(lambda: in_flight(own_server, CLASSIFIER) == 1)
            engines = engines_of(own_server)
            for engine in engines:
                os.kill(engine.pid, signal.SIGKILL)
            error = call.exception(5)
        assert isinstance(error, grpc.RpcError)
        refusal = refusal_of(error)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_LOST")
        assert in_flight(own_server, CLASSIFIER) == 0
        eventually(lambda: status_of(client, "") == Status.SERVING, seconds=10)
        assert client.classify("a good film").classifications == before
        eventually(lambda: sample(own_server, "seqserve_engine_restarts_total") == len(engines))


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say_about_the_metrics(server: ServerProcess, client: Client) -> None:
    client.classify("a good film")
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics_page(server),
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    problems = [line for line in checked.stderr.splitlines() if not re.match(r"(process|python)_", line)]
    assert problems == []
