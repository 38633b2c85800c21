"""The `seqserve` command against a real server with the trained sample models."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.server import ServerProcess, start_server
from tests.e2e.calls import sample
from tests.trained import ROOT, trained_models

LINES = ["The black dog jumped over the cat", "The cat sleeps", "The old woman ate the red apple"]
DECODE_SLOTS = 32
MELODY_PROMPT = "M:4/4\nL:1/8\nK:G\nG"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    server = start_server(trained_models(), "--decode-slots", str(DECODE_SLOTS), "--engine-count", "1")
    yield server
    assert server.stop() == 0


def run(server: ServerProcess, *arguments: str, given: str = "") -> str:
    script = Path(sys.executable).parent / "seqserve"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SEQSERVE_TARGET": server.target}
    done = subprocess.run(
        [script, *arguments], input=given, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def mean_rows(server: ServerProcess) -> float:
    """Rows that a decode step of the translator had, on average."""
    labels = '{graph="decoder_step",model="sample-en-it"}'
    rows, steps = (sample(server, f"seqserve_batch_size_{part}{labels}") for part in ("sum", "count"))
    return rows / steps


def test_a_file_that_is_piped_through_keeps_the_servers_batch_full(server: ServerProcess) -> None:
    """With one request of 64 lines in flight it would have about 24 rows. Two engines would have half of them each."""
    lines = [LINES[number % 3] for number in range(1000)]
    output = run(server, "translate", "sample-en-it", given="".join(f"{line}\n" for line in lines)).splitlines()
    assert output == [output[number % 3] for number in range(1000)]
    assert output[0] == "Il cane nero saltò sopra il gatto"
    assert mean_rows(server) > 0.9 * DECODE_SLOTS


def test_a_generated_melody_is_saved_as_midi(server: ServerProcess, tmp_path: Path) -> None:
    saved = tmp_path / "melody.mid"
    output = run(server, "generate", "sample-melody", MELODY_PROMPT, "--seed", "7", "--midi", str(saved))
    assert len(output) > 10
    assert saved.read_bytes().startswith(b"MThd")


def test_the_attention_of_the_lecture_sentence_is_drawn(server: ServerProcess, tmp_path: Path) -> None:
    picture = tmp_path / "attention.png"
    run(server, "translate", "sample-en-it", LINES[0], "--alignment", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
