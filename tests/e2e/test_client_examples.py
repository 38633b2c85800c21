"""The examples of docs/clients.md that can run here, against a real server with the trained sample models."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from demo.server import ServerProcess, start_server
from tests.e2e.calls import eventually, sample
from tests.trained import ROOT, trained_models

JARS = Path("/usr/share/java")
JAR_NAMES = ("grpc-*", "protobuf-*", "netty-*", "perfmark-*", "guava*", "geronimo-annotation*")
"""Where Debian puts grpc-java and what it needs."""
PAGE = (ROOT / "docs" / "clients.md").read_text()
TRANSLATION = "Il cane nero saltò sopra il gatto"
INSTALL_SECONDS = 60
RUN_SECONDS = 120
NPM_OPTIONS = ("--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
"""Without a network, npm would try for minutes."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    server = start_server(trained_models())
    yield server
    assert server.stop() == 0


def block(language: str, section: str) -> str:
    """The one example in a language below a heading."""
    text = PAGE.split(f"# {section}\n")[1].split("\n## ")[0]
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return str(code)


def run(command: list[str], folder: Path, variables: Mapping[str, str]) -> list[str]:
    """The lines that an example prints; it ends well and complains of nothing."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_python_example_runs(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(block("python", "Python").replace("localhost:50051", server.target))
    lines = run([sys.executable, "-W", "error", "ask.py"], tmp_path, {"PYTHONPATH": str(ROOT)})
    assert lines[0] == TRANSLATION
    assert len(lines) > 3, "a melody follows"
    assert lines[-1] == "NOT_FOUND no model is called 'no-such-model'"


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page has one install, and the files that it names."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(ROOT / "proto", folder / "proto")
    (folder / "service-config.json").write_text(block("json", "Clients in other languages"))
    try:
        done = subprocess.run(
            [*block("sh", "Node.js").split(), *NPM_OPTIONS], cwd=folder, capture_output=True, text=True, check=False,
            timeout=INSTALL_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm installed nothing within {INSTALL_SECONDS} s")
    if done.returncode:
        pytest.skip(f"npm could not install: {done.stderr.strip().splitlines()[:1]}")
    return folder


def test_leaving_the_loop_of_the_node_example_cancels_the_generation(server: ServerProcess, node_folder: Path) -> None:
    code = block("js", "Node.js").replace("localhost:50051", server.target)
    code = code.replace("maxOutputTokenCount: 32", "minOutputTokenCount: 250, sampleCount: 16")
    (node_folder / "leave.js").write_text(code.replace("process.stdout.write(chunk.text);", "break;"))
    run(["node", "leave.js"], node_folder, {})
    method = 'grpc_method="GenerateText",grpc_service="seqserve.v1.InferenceService",grpc_type="server_stream"'
    eventually(lambda: sample(server, f'grpc_server_handled_total{{grpc_code="Canceled",{method}}}') == 1)


def test_the_node_example_runs(server: ServerProcess, node_folder: Path) -> None:
    (node_folder / "ask.js").write_text(block("js", "Node.js").replace("localhost:50051", server.target))
    lines = run(["node", "ask.js"], node_folder, {})
    assert lines[0] == TRANSLATION
    assert len(lines) > 4, "a melody follows"
    assert lines[-2:] == ["FINISH_REASON_LENGTH", "NOT_FOUND no model is called 'no-such-model'"]


def test_the_java_example_runs(server: ServerProcess, tmp_path: Path) -> None:
    plugin = shutil.which("grpc_java_plugin")
    if plugin is None or any(shutil.which(tool) is None for tool in ("protoc", "javac", "java")):
        pytest.skip("protoc, its plugin for grpc-java, or the JDK is not installed")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Ask.java").write_text(block("java", "Java").replace("localhost:50051", server.target))
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    generate = [*block("sh", "Java").split(), f"--plugin=protoc-gen-grpc-java={plugin}"]
    assert run(generate, tmp_path, {}) == []
    jars = [str(jar) for name in JAR_NAMES for jar in sorted(JARS.glob(f"{name}.jar"))]
    sources = [str(path) for path in (tmp_path / "src").rglob("*.java")]
    assert run(["javac", "-nowarn", "-d", ".", "-cp", ":".join(jars), *sources], tmp_path, {}) == []
    lines = run(["java", "-cp", ":".join([".", *jars]), "Ask"], tmp_path, {})
    assert lines[0] == TRANSLATION
    assert len(lines) > 3, "a melody follows"
    assert lines[-1] == "NOT_FOUND no model is called 'no-such-model'"
