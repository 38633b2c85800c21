"""The demo asks whatever is published: models that it knows nothing of, of every task."""

import io
from pathlib import Path

from rich.console import Console

from demo.published import ask_published
from demo.server import ServerProcess
from seqserve import Client
from tests.e2e.calls import CLASSIFIER, FORECASTER, GENERATOR, TAGGER, TRANSLATOR


def shown(server: ServerProcess, bundles: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    with Client(server.target) as client:
        ask_published(client, console, bundles)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_published_model_is_asked(server: ServerProcess, tmp_path: Path) -> None:
    in_table = [CLASSIFIER, TAGGER, FORECASTER, TRANSLATOR]
    for name in (*in_table, GENERATOR):
        (tmp_path / name).mkdir()
    told = shown(server, tmp_path)
    assert [name for name in in_table if f"│ {name} " not in told] == []
    assert f"\n{GENERATOR} goes on:\n" in told


def test_models_that_are_not_published_are_not_asked(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / TAGGER).mkdir()
    assert CLASSIFIER not in shown(server, tmp_path)


def test_without_published_models_nothing_is_shown(server: ServerProcess, tmp_path: Path) -> None:
    assert shown(server, tmp_path) == ""
