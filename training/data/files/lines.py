"""Text files as numbered lines.   Knows gzip, UTF-8 and line ends; knows no format."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from training.data.examples import Origin
from training.errors import DataError

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file, packed or not, counted from 1; LF or CRLF ends them and nothing else does.

    A byte-order mark before the first line is no part of it.

    Raises:
        DataError: the file cannot be read, is empty, is not UTF-8, or holds a NUL byte.
    """
    lines = read_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix("\r")


def read_text(path: Path) -> str:
    """Read a UTF-8 file, packed or not, whole; line ends as they are. Errors as `numbered_lines`."""
    raw = read_bytes(path)
    if raw.startswith(_UTF_16):
        raise DataError(f"{path}, line 1: expected UTF-8 text, found a UTF-16 byte-order mark; save it as UTF-8")
    try:
        text = raw.decode().removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at byte offset {error.start} ({error.reason})"
        raise DataError(f"{path}, line {_line_of(raw, error.start)}: expected UTF-8 text, found {found}") from error
    if "\x00" in text:
        offset = raw.index(b"\x00")
        raise DataError(f"{path}, line {_line_of(raw, offset)}: expected text, found NUL at byte offset {offset}")
    if not text:
        raise DataError(f"{path}: expected at least one line, the file is empty")
    return text


def read_bytes(path: Path) -> bytes:
    """Read a file, packed or not; a name that ends in `.gz` must be packed.

    Raises:
        DataError: the file cannot be read or unpacked.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" or raw.startswith(_GZIP) else raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: expected a file of the corpus: {error.strerror}") from error


def packed_or_not(folder: Path, name: str) -> Path:
    """Path of a file that may have been packed with gzip, and then has `.gz` behind its name."""
    packed = folder / f"{name}.gz"
    return packed if packed.exists() else folder / name


def wrong_line(path: Path, number: int, expected: str, found: str) -> DataError:
    """Make the error of a line that is not what it should be."""
    return DataError(f"{Origin(str(path), number)}: expected {expected}, found {found}")


def shorten(text: str, limit: int = 60) -> str:
    """Quote a text, its end left out where it is longer than `limit` characters."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def _line_of(raw: bytes, offset: int) -> int:
    return raw.count(b"\n", 0, offset) + 1
