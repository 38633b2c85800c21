"""The command line, as a user runs it, in a folder of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training.__main__ import main


@pytest.fixture
def training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in the test's folder: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQSERVE_DATA", raising=False)
    monkeypatch.setenv("SEQSERVE_RUNS", "runs")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["training", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        output, errors = capsys.readouterr()
        code = exit_.value.code
        return code if isinstance(code, int) else 0, output, errors

    return run
