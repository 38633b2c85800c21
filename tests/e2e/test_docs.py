"""The examples of the documentation run against a real server with the trained sample models."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.server import ServerProcess, start_server
from tests.trained import ROOT, trained_models

LECTURE_SENTENCE = "The black dog jumped over the cat"
LECTURE_TRANSLATION = "Il cane nero saltò sopra il gatto"


@pytest.fixture(scope="module")
def trained_server() -> Iterator[ServerProcess]:
    server = start_server(trained_models())
    yield server
    assert server.stop() == 0


def python_blocks(page: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE))


def run_python(code: str, folder: Path) -> str:
    script = folder / "example.py"
    script.write_text(code)
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_example_runs_and_translates_the_lecture_sentence(
    trained_server: ServerProcess, tmp_path: Path
) -> None:
    code = python_blocks("README.md")
    assert LECTURE_SENTENCE in code
    output = run_python(code.replace("127.0.0.1:50051", trained_server.target), tmp_path)
    assert output.splitlines()[0] == LECTURE_TRANSLATION
    assert output.splitlines()[1] in {"positive", "negative"}
    assert len(output.splitlines()) > 3, "a melody follows"


def test_the_client_page_runs(trained_server: ServerProcess, tmp_path: Path) -> None:
    code = python_blocks("docs/client.md")
    assert "AsyncClient" in code
    assert LECTURE_TRANSLATION in run_python(f"target = {trained_server.target!r}\n{code}", tmp_path)


def test_the_command_line_translates_the_lecture_sentence(trained_server: ServerProcess) -> None:
    command = [str(Path(sys.executable).parent / "seqserve"), "translate", "sample-en-it", LECTURE_SENTENCE]
    done = subprocess.run(
        [*command, "--target", trained_server.target], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == LECTURE_TRANSLATION
