"""The service's command line, as a person meets it."""

import subprocess
import sys
from pathlib import Path

from demo.server import ServerProcess
from service.bundle.store import publish_bundle
from tests.bundles import publish_tiny, tiny_bundle
from tests.e2e.calls import client_of, running_server
from tests.trained import ROOT

LEAN = ("--engine-layout", "inline")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)


def test_check_says_that_a_good_bundle_is_sound(tmp_path: Path) -> None:
    done = run("check", str(publish_tiny(tmp_path, "translation")))
    assert done.returncode == 0, done.stderr
    assert "tiny-translation@1 (translation) is sound" in done.stdout


def test_check_names_the_file_and_the_rule_of_a_bad_bundle(tmp_path: Path) -> None:
    bundle = publish_tiny(tmp_path, "translation")
    graph = bundle / "encoder.fp32.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    done = run("check", str(bundle))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "encoder.fp32.onnx" in done.stderr
    assert "sha256" in done.stderr.lower()


def test_check_passes_over_half_precision_where_there_is_no_gpu(tmp_path: Path) -> None:
    manifest, files = tiny_bundle("classification")
    both = manifest.model_copy(update={"variants": manifest.variants | {"fp16": manifest.variants["fp32"]}})
    done = run("check", str(publish_bundle(tmp_path, both, files)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "fp32: proven on cpu; 96 answers alone and in a crowd are the same bit for bit",
        "fp16: not proven on cpu, it is for cuda alone",
    ]


def test_health_exits_0_when_serving_and_1_when_not(server: ServerProcess) -> None:
    assert run("health", "--target", server.target, "--service", "readiness").stdout == "SERVING\n"
    gone = run("health", "--target", "127.0.0.1:1", "--timeout-seconds", "0.5")
    assert (gone.returncode, gone.stdout) == (1, "UNAVAILABLE\n")


def test_a_bad_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run("serve", "--models", str(tmp_path), "--queue-capacity", "1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: queue_capacity is '1'")
    assert done.stdout == ""


def test_a_device_that_is_not_there_is_refused_and_never_replaced(tmp_path: Path) -> None:
    bundle = publish_tiny(tmp_path, "classification")
    done = run("check", str(bundle), "--device", "cuda")
    assert done.returncode == 2
    assert "cuda" in done.stderr.lower()


def test_every_setting_has_help_and_a_default(tmp_path: Path) -> None:
    text = run("serve", "--help").stdout
    for flag in ("--models", "--grpc-address", "--queue-capacity", "--padding-budget", "--drain-seconds"):
        assert flag in text
    assert text.count("(default:") >= 15


def test_serving_on_a_device_that_is_not_there_ends_with_2_and_one_line(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "classification")
    flags = ["--models", str(tmp_path), "--log-level", "error", "--grpc-address", "127.0.0.1:0"]
    done = run("serve", *flags, "--metrics-address", "127.0.0.1:0", "--device", "auto,tiny-classification=cuda")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: the device of model tiny-classification is cuda, but CUDAExecutionProvider")


def test_auto_serves_on_the_cpu_where_there_is_no_other_and_says_so(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "classification")
    with running_server(tmp_path, "--device", "auto", *LEAN) as server, client_of(server) as client:
        assert client.model("tiny-classification").provider == "cpu"
    assert any("device_chosen model=* asked=auto chosen=cpu" in line for line in server.log)
