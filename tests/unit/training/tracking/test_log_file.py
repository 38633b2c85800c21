"""What the log of a run says, and that it is there whenever somebody looks."""

import re
from pathlib import Path

import pytest

from tests.training_process import tiny_recipe
from training.errors import TrackingError
from training.run.checkpoint import Epoch
from training.tracking.log_file import LogFile


def epoch(number: int) -> Epoch:
    return Epoch(number, loss=0.5, value=12.345, seconds=2.0, token_count=4000)


def test_each_epoch_is_a_line_with_its_time_as_soon_as_it_is_told(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    log = LogFile(tmp_path, recipe, metric="BLEU")
    for number in (1, 2):
        log.on_update(number, 0.5, 0.01, 1.0)
        log.on_epoch(epoch(number))
        lines = (tmp_path / "log.txt").read_text().splitlines()
        assert len(lines) == number
        time, line = lines[-1].split(" ", 1)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time)
        assert line.startswith(f"{recipe.name} epoch {number}/")
        assert "loss 0.500, validation BLEU 12.35, 2.0 s, 2,000 tokens/s" in line


def test_a_run_that_goes_on_writes_on(tmp_path: Path) -> None:
    for number in (1, 2):
        LogFile(tmp_path, tiny_recipe(), metric="BLEU").on_epoch(epoch(number))
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"missing/log\.txt: cannot be written: No such file"):
        LogFile(tmp_path / "missing", tiny_recipe(), metric="BLEU").on_epoch(epoch(1))
