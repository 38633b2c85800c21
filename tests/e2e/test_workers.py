"""Several workers behind one port: each is reached, one may die, all drain, and their metrics are one page."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from demo.server import ROOT, ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import inference_service_pb2_grpc
from service.settings import split_address
from tests.e2e.calls import (
    CLASSIFIER,
    Client,
    client_of,
    code_of,
    eventually,
    metrics_page,
    publish_all,
    running_server,
    sample,
)

WORKERS = ("0", "1")
CLASSIFY = inference.ClassifyTextRequest(model=CLASSIFIER, texts=["a good film"])
CONNECTIONS = 32
"""So many that all of them end at one of two workers once in 2**31 times."""
SLOW_START_SECONDS = 60.0
LEAN = ("--engine-layout", "inline")
"""Fewer processes to start, where a test is about the workers alone."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_all(tmp_path_factory.mktemp("repository") / "models")


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    with running_server(models, "--workers", "2", "--poll-seconds", "0.2") as server:
        yield server


def worker_processes(server: ServerProcess) -> list[psutil.Process]:
    """The processes of the workers, in the order of their numbers."""
    found = [child for child in psutil.Process(server.process.pid).children() if is_worker(child)]
    return sorted(found, key=lambda process: process.cmdline()[3])


def is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "service.worker_process" in process.cmdline()
    return False


def new_connection(target: str) -> grpc.Channel:
    """A channel that shares its connection with no other."""
    return grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])


def classify_over_connections(target: str, count: int) -> list[inference.ClassifyTextResponse]:
    """One call over each of so many connections that are open at once."""
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(new_connection(target)) for _ in range(count)]
        stubs = [inference_service_pb2_grpc.InferenceServiceStub(channel) for channel in channels]
        calls = [stub.ClassifyText.future(CLASSIFY, timeout=20) for stub in stubs]
        return [call.result() for call in calls]


def answered(server: ServerProcess, worker: str) -> float:
    """How many classifications a worker has answered."""
    labels = 'grpc_code="OK",grpc_method="ClassifyText",grpc_service="seqserve.v1.InferenceService"'
    return sample(server, f'grpc_server_handled_total{{{labels},grpc_type="unary",worker="{worker}"}}')


def readiness_page(server: ServerProcess) -> int:
    """The status of /ready."""
    try:
        with urllib.request.urlopen(server.metrics_url.replace("/metrics", "/ready"), timeout=5) as page:
            return int(page.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def run_service(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_storm_over_many_connections_reaches_every_worker_and_all_answer_alike(server: ServerProcess) -> None:
    before = {worker: answered(server, worker) for worker in WORKERS}
    answers = classify_over_connections(server.target, CONNECTIONS)
    assert len({answer.classifications[0].SerializeToString() for answer in answers}) == 1
    eventually(lambda: sum(answered(server, worker) - before[worker] for worker in WORKERS) == CONNECTIONS)
    assert all(answered(server, worker) > before[worker] for worker in WORKERS)


def test_the_page_joins_the_series_of_all_workers_and_the_client_parser_reads_it(server: ServerProcess) -> None:
    families: dict[str, Metric] = {}
    for family in text_string_to_metric_families(metrics_page(server)):
        assert family.name not in families, "a family must be one block"
        families[family.name] = family
    for family in families.values():
        assert {one.labels["worker"] for one in family.samples} == set(WORKERS), family.name
        keys = [(one.name, *sorted(one.labels.items())) for one in family.samples]
        assert len(set(keys)) == len(keys)
    versions = {(one.labels["model"], one.labels["digest"]) for one in families["seqserve_model_info"].samples}
    assert len(versions) == len(families["seqserve_model_info"].samples) / len(WORKERS), "workers agree"
    assert {one.labels["worker"] for one in families["process_start_time_seconds"].samples} == set(WORKERS)


@pytest.mark.prometheus
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say_about_the_joined_page(server: ServerProcess) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics_page(server),
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    problems = [line for line in checked.stderr.splitlines() if not re.match(r"(process|python)_", line)]
    assert (checked.returncode, problems) == (0, [])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_server_on_the_port_exits_with_2_and_one_line(server: ServerProcess, workers: str) -> None:
    addresses = ["--grpc-address", server.target, "--metrics-address", "127.0.0.1:0"]
    flags = ["--models", str(server.models_folder), "--log-level", "error", "--workers", workers, *addresses]
    result = run_service("serve", *flags)
    assert result.stderr == (
        f"error: grpc_address {server.target} cannot be used: another seqserve server has port "
        f"{server.target.rpartition(':')[2]}, on this or another address: give this one another port\n"
    )
    assert (result.returncode, result.stdout) == (2, "")


def test_several_workers_do_not_join_a_server_of_one_process(models: Path) -> None:
    with running_server(models, *LEAN) as server:
        addresses = ["--grpc-address", server.target, "--metrics-address", "127.0.0.1:0"]
        result = run_service("serve", "--models", str(models), "--log-level", "error", "--workers", "2", *addresses)
    assert result.stderr == f"error: grpc_address {server.target} cannot be used: Address already in use\n"
    assert result.returncode == 2


def test_the_health_probe_and_the_pages_say_that_the_server_is_ready(server: ServerProcess) -> None:
    assert run_service("health", "--target", server.target, "--service", "readiness").stdout == "SERVING\n"
    assert readiness_page(server) == 200
    assert sample(server, 'seqserve_worker_ready{worker="1"}') == 1


def test_a_model_that_is_published_reaches_every_worker(server: ServerProcess, models: Path) -> None:
    shutil.copytree(models / CLASSIFIER, models / "arriving")
    shutil.move(models / "arriving", models / "tiny-again")  # its manifest names another model: every worker refuses it
    failures = 'seqserve_model_load_failures_total{{model="tiny-again",worker="{}"}}'
    try:
        for worker in WORKERS:
            eventually(lambda worker=worker: failures.format(worker) in metrics_page(server))  # type: ignore[misc]
    finally:
        shutil.rmtree(models / "tiny-again")


def worker_of(server: ServerProcess, client: Client) -> int:
    """The number of the worker that has a client's connection."""
    before = [answered(server, worker) for worker in WORKERS]
    client.classify("a good film")
    eventually(lambda: [answered(server, worker) for worker in WORKERS] != before)
    return next(number for number, worker in enumerate(WORKERS) if answered(server, worker) > before[number])


def test_a_killed_worker_is_counted_and_comes_back_while_the_other_answers(server: ServerProcess) -> None:
    with client_of(server) as client:
        lost = worker_of(server, client)
        kept = 1 - lost
        processes = worker_processes(server)
        engines = processes[lost].children()
        os.kill(processes[lost].pid, signal.SIGKILL)
        eventually(lambda: sample(server, f'seqserve_worker_restarts_total{{worker="{lost}"}}') == 1)
        assert readiness_page(server) == 200, "a worker is left"
        classify_over_connections(server.target, 8)  # raises if one fails
        eventually(lambda: code_of(lambda: client.classify("a good film")) is grpc.StatusCode.OK)  # it reconnects
    eventually(lambda: not any(engine.is_running() for engine in engines), seconds=10)
    eventually(lambda: sample(server, f'seqserve_worker_ready{{worker="{lost}"}}') == 1, seconds=SLOW_START_SECONDS)
    assert worker_processes(server)[kept].pid == processes[kept].pid
    assert sample(server, f'seqserve_worker_restarts_total{{worker="{kept}"}}') == 0
    classify_over_connections(server.target, CONNECTIONS)
    eventually(lambda: answered(server, str(lost)) > 0)
    ended = [line for line in server.log if f"worker_ended worker={lost}" in line]
    assert ["exit_code=-9" in line for line in ended] == [True], "".join(server.log)


@contextlib.contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    """Hold processes still."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def test_sigterm_drains_every_worker_and_the_process_exits_with_0(models: Path) -> None:
    with running_server(models, "--workers", "2") as server, contextlib.ExitStack() as stack:
        workers = worker_processes(server)
        engines = [child for worker in workers for child in worker.children()]
        clients = [Client(server.target, new_connection(server.target)) for _ in range(CONNECTIONS)]
        for client in clients:
            stack.enter_context(client.channel)
            client.classify("a good film")
        with frozen(engines):
            calls = [client.inference.ClassifyText.future(CLASSIFY, timeout=20) for client in clients]
            eventually(lambda: sum(in_flight_of(server)) == CONNECTIONS)
            assert all(in_flight_of(server))
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: readiness_page(server) == 503)
            assert not any(call.done() for call in calls)
        assert all(call.result(20).classifications for call in calls)
        assert server.process.wait(20) == 0
        assert not any(process.is_running() for process in [*workers, *engines])
    assert "Traceback" not in "".join(server.log)


def in_flight_of(server: ServerProcess) -> list[float]:
    """How many classifications each worker works on."""
    series = f'seqserve_texts_in_flight{{{{model="{CLASSIFIER}",worker="{{}}"}}}}'
    return [sample(server, series.format(worker)) for worker in WORKERS]


def test_ctrl_c_which_every_process_of_a_terminal_gets_drains_too(models: Path) -> None:
    with running_server(models, *LEAN, "--workers", "2") as server:
        workers = worker_processes(server)
        for process in [psutil.Process(server.process.pid), *workers]:
            process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        assert not any(worker.is_running() for worker in workers)
        assert not any("exit_code" in line and "exit_code=0" not in line for line in server.log)


def test_workers_drain_and_free_the_port_when_their_supervisor_was_killed(models: Path) -> None:
    with running_server(models, *LEAN, "--workers", "2") as server:
        workers = worker_processes(server)
        server.process.kill()
        server.process.wait(5)
        eventually(lambda: all(not worker.is_running() for worker in workers), seconds=20)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(split_address(server.target))


def test_a_second_signal_ends_every_process_at_once(models: Path) -> None:
    with running_server(models, *LEAN, "--workers", "2", "--drain-seconds", "30") as server:
        workers = worker_processes(server)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: readiness_page(server) == 503)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 1
        eventually(lambda: all(not worker.is_running() for worker in workers))
