"""Text files as numbered lines: what is read as it should be, and what is refused with its place."""

import gzip
from pathlib import Path

import pytest

from training.data.files.lines import numbered_lines
from training.errors import DataError


def lines_of(folder: Path, content: bytes, name: str = "file.txt") -> list[tuple[int, str]]:
    (folder / name).write_bytes(content)
    return list(numbered_lines(folder / name))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("uno\ndué\n".encode(), id="LF"),
        pytest.param("uno\r\ndué\r\n".encode(), id="CRLF"),
        pytest.param("uno\ndué".encode(), id="no end of the last line"),
        pytest.param(b"\xef\xbb\xbf" + "uno\ndué\n".encode(), id="byte-order mark"),
        pytest.param(gzip.compress("uno\ndué\n".encode()), id="packed, whatever its name"),
    ],
)
def test_lines_are_the_same_however_the_file_was_saved(tmp_path: Path, content: bytes) -> None:
    assert lines_of(tmp_path, content) == [(1, "uno"), (2, "dué")]


def test_nothing_but_lf_and_crlf_ends_a_line(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "a\N{NEXT LINE}b\x0bc\rd\n".encode()) == [(1, "a\N{NEXT LINE}b\x0bc\rd")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", r"file\.txt: expected at least one line, the file is empty", id="empty"),
        pytest.param(b"\xef\xbb\xbf", r"the file is empty", id="nothing but a byte-order mark"),
        pytest.param(gzip.compress(b""), r"the file is empty", id="packed nothing"),
        pytest.param(
            "uno\ndué\n".encode("latin-1"),
            r"file\.txt, line 2: expected UTF-8 text, found byte 0xe9 at byte offset 6 ",
            id="Latin-1",
        ),
        pytest.param("uno\n".encode("utf-16"), r"line 1: expected UTF-8 text, found a UTF-16 byte-order", id="UTF-16"),
        pytest.param(b"uno\nd\x00e\n", r"line 2: expected text, found NUL at byte offset 5", id="binary"),
        pytest.param(gzip.compress(b"uno\n" * 99)[:-9], r"file\.txt: expected a gzip file", id="cut off"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        lines_of(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt: expected a file of the corpus: No such file"):
        list(numbered_lines(tmp_path / "absent.txt"))
