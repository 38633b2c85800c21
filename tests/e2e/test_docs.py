"""The examples of the documentation, and the demo's clue, run against a real server with the trained sample models."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.labelling import CLUE_MODELS, clue_accuracy
from demo.server import ServerProcess, start_server
from seqserve import Client
from tests.published import PUBLISHED
from tests.trained import ROOT, trained_models
from training.data.samples import clues

LECTURE_SENTENCE = "The black dog jumped over the cat"
LECTURE_TRANSLATION = "Il cane nero saltò sopra il gatto"


@pytest.fixture(scope="module")
def trained_server() -> Iterator[ServerProcess]:
    server = start_server(trained_models(), "--ephemeral-state-key")
    yield server
    assert server.stop() == 0


def python_blocks(page: str, *, heading: str = "") -> str:
    """The examples of a page, or of the part of it that one heading heads."""
    text = (ROOT / page).read_text()
    if heading:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def run_python(code: str, folder: Path) -> str:
    script = folder / "example.py"
    script.write_text(code)
    command = [sys.executable, "-W", "error", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout's client, whichever is installed
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_example_runs_and_translates_the_lecture_sentence(
    trained_server: ServerProcess, tmp_path: Path
) -> None:
    code = python_blocks("README.md", heading="Ask a server")
    assert LECTURE_SENTENCE in code
    output = run_python(code.replace("127.0.0.1:50051", trained_server.target), tmp_path)
    assert output.splitlines()[0] == LECTURE_TRANSLATION
    assert output.splitlines()[1] in {"positive", "negative"}
    assert len(output.splitlines()) > 3, "a melody follows"


def test_the_readme_example_of_a_published_model_translates_the_lecture_sentence(tmp_path: Path) -> None:
    code = python_blocks("README.md", heading="Models you can use at once")
    server = start_server(PUBLISHED)
    try:
        output = run_python(code.replace("127.0.0.1:50051", server.target), tmp_path)
    finally:
        server.stop()
    assert re.search(r"(?i)\bcane nero\b.*\b(sopra|su)\b.*\bgatto\b", output)


def test_the_client_page_runs(trained_server: ServerProcess, tmp_path: Path) -> None:
    code = python_blocks("docs/client.md")
    assert "AsyncClient" in code
    output = run_python(f"target = {trained_server.target!r}\n{code}", tmp_path)
    assert LECTURE_TRANSLATION in output
    assert "sequences[1].rows[0].wind" in output
    assert [line for line in output.splitlines() if line.startswith(("PER 0 1 ", "LOC 4 5 "))], "Mary Smith, New York"
    assert "humidity % " in output
    assert "wind m/s None" in output


def test_the_open_inference_page_runs_with_the_stock_client(trained_server: ServerProcess, tmp_path: Path) -> None:
    code = python_blocks("docs/open-inference.md")
    assert "tritonclient" in code
    output = run_python(code.replace("127.0.0.1:50051", trained_server.target), tmp_path).splitlines()
    assert [line.split()[0] for line in output[:2]] == ["positive", "negative"]
    assert output[2:4] == [LECTURE_TRANSLATION, "temperature,humidity,wind"]
    assert output[4] in {f"{[one, other]}" for one in ("dry", "rain") for other in ("dry", "rain")}
    assert len(output) > 6, "a melody follows"


def test_the_state_page_runs_and_what_goes_on_is_the_same(trained_server: ServerProcess, tmp_path: Path) -> None:
    code = python_blocks("docs/state.md")
    output = run_python(f"target = {trained_server.target!r}\n{code}", tmp_path)
    assert re.findall("True|False", output) == ["True"] * 4
    assert "after another prompt: '" in output


def test_a_clue_that_comes_later_is_understood_by_both_directions_alone(trained_server: ServerProcess) -> None:
    """Every pronoun of the sample's test sentences, asked over the wire as `make demo` does."""
    examples = clues.load().test
    with Client(trained_server.target) as client:
        both, one = (clue_accuracy(client, model, examples) for model in CLUE_MODELS.values())
    assert both >= 95
    assert abs(one - 50) <= 3 * 50 / len(examples) ** 0.5


def test_the_command_line_translates_the_lecture_sentence(trained_server: ServerProcess) -> None:
    command = [str(Path(sys.executable).parent / "seqserve"), "translate", "sample-en-it", LECTURE_SENTENCE]
    done = subprocess.run(
        [*command, "--target", trained_server.target], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == LECTURE_TRANSLATION
