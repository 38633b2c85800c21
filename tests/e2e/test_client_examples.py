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
from tests.trained import ROOT, trained_models

PAGE = (ROOT / "docs" / "clients.md").read_text()
TRANSLATION = "Il cane nero saltò sopra il gatto"
INSTALL_SECONDS = 180


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
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60
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
            [*block("sh", "Node.js").split(), "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True,
            check=False, timeout=INSTALL_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm installed nothing within {INSTALL_SECONDS} s")
    if done.returncode:
        pytest.skip(f"npm could not install: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def test_the_node_example_runs(server: ServerProcess, node_folder: Path) -> None:
    (node_folder / "ask.js").write_text(block("js", "Node.js").replace("localhost:50051", server.target))
    lines = run(["node", "ask.js"], node_folder, {})
    assert lines[0] == TRANSLATION
    assert len(lines) > 4, "a melody follows"
    assert lines[-2:] == ["FINISH_REASON_LENGTH", "NOT_FOUND no model is called 'no-such-model'"]
