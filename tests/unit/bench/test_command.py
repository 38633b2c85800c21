"""The command of the benchmark."""

from pathlib import Path

import pytest

from tests.bench.serving.__main__ import main


def test_a_task_without_a_model_ends_the_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--part", "startup", "--models", str(tmp_path), "--page", str(tmp_path / "page.md")])
    assert ended.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "expected a bundle for translation" in complaint
    assert not (tmp_path / "page.md").exists()
