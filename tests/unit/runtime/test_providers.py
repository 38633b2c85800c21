"""Whether a provider can be had is found out before anything is served, and said in one line."""

import subprocess
import sys

import onnxruntime
import pytest

from service.runtime import providers
from service.runtime.providers import why_it_does_not_start, why_unavailable
from tests.trained import ROOT

WITH_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
without_cuda = pytest.mark.skipif(WITH_CUDA, reason="onnxruntime-gpu is installed")


def test_the_cpu_is_always_there() -> None:
    assert why_unavailable("cpu") == ""
    assert why_it_does_not_start("cpu") == ""


@without_cuda
def test_a_provider_that_is_not_installed_is_named_with_what_is() -> None:
    problem = why_unavailable("cuda")
    assert problem.startswith(f"CUDAExecutionProvider is not in the installed onnxruntime {onnxruntime.__version__}")
    assert "CPUExecutionProvider" in problem
    assert "service-gpu" in problem
    assert "\n" not in problem


@without_cuda
def test_a_provider_that_is_installed_but_does_not_start_is_found_out_by_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: names)
    command = (
        "-c",
        "import sys; from service.runtime.providers import why_it_does_not_start as why; print(why('cuda'))",
    )
    monkeypatch.setattr(providers, "child_command", lambda provider: [sys.executable, *command])
    assert why_unavailable("cuda") == (
        "CUDAExecutionProvider is installed but does not start here (driver, libraries or device missing)"
    )


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        pytest.param("raise SystemExit(3)", "ended the process that tried it, with code 3", id="exit"),
        pytest.param("import os; os.abort()", "ended the process that tried it, with code -6", id="crash"),
        pytest.param("import time; time.sleep(60)", "did not start within 1 s", id="hang"),
        pytest.param("print('CUDA failure 35')", "CUDA failure 35", id="a problem"),
        pytest.param("pass", "", id="no problem"),
    ],
)
def test_whatever_becomes_of_the_child_is_told(monkeypatch: pytest.MonkeyPatch, program: str, problem: str) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(providers, "START_SECONDS", 1.0)
    monkeypatch.setattr(providers, "child_command", lambda provider: [sys.executable, "-c", program])
    found = why_unavailable("cuda")
    assert found in {problem, f"CUDAExecutionProvider {problem}"}


def test_as_a_program_it_says_nothing_about_a_provider_that_starts() -> None:
    run = subprocess.run(
        providers.child_command("cpu"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
