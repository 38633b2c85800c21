"""Reading files as a recipe describes them: the table is written in the test, the files beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from training.data.examples import AnySplits
from training.data.files.read import read_files
from training.settings.files import FileSettings

ReadFiles = Callable[..., AnySplits]


@pytest.fixture
def read(tmp_path: Path) -> ReadFiles:
    """Write files by name, and read them by the settings."""

    def write_and_read(files: dict[str, str], **settings: object) -> AnySplits:
        for name, text in files.items():
            (tmp_path / name).write_bytes(text.encode())
        return read_files(TypeAdapter(FileSettings).validate_python(settings), tmp_path)

    return write_and_read
