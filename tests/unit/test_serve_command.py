"""What the command `serve` sets before the server runs."""

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.__main__ import app

THREADS = "TOKENIZERS_PARALLELISM"


@pytest.mark.parametrize(("given", "served"), [(None, "false"), ("true", "true")])
def test_the_tokenizers_threads_are_off_unless_somebody_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, served: str
) -> None:
    monkeypatch.setenv(THREADS, given or "")  # so that it is put back afterwards, whatever the command sets
    if given is None:
        monkeypatch.delenv(THREADS)
    found: list[str | None] = []

    def run(server: Coroutine[Any, Any, None]) -> None:
        server.close()
        found.append(os.environ.get(THREADS))

    monkeypatch.setattr("uvloop.run", run)
    done = CliRunner().invoke(app, ["serve", "--models", str(tmp_path)])
    assert (done.exit_code, found) == (0, [served])
