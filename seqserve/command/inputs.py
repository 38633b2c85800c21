"""What the `seqserve` command is given: texts, pairs and readings, and where each came from.   Asks no server."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from select import select
from typing import Generic, TypeAlias, TypeVar

import typer

from seqserve.command.files.feature_file import read_feature_file
from seqserve.convert import Readings
from seqserve.many.answers import PAUSE, Pause

QUIET_SECONDS = 0.02
"""When standard input has had nothing for so long, what came before is answered first."""
BLOCK_BYTES = 1 << 16

Input = TypeVar("Input")
Input_co = TypeVar("Input_co", covariant=True)
Output = TypeVar("Output")


@dataclass(frozen=True)
class Given(Generic[Input_co]):
    """One input, what to call it in a complaint, and its number from 1."""

    input: Input_co
    name: str
    number: int


class Blank(Enum):
    """A blank line, which is no input."""

    BLANK = "blank"


@dataclass(frozen=True)
class Origin:
    """Where an input came from: its name and number, and how many blank lines stand before it."""

    name: str
    number: int
    blank_line_count: int


Source: TypeAlias = Iterable[Given[Input] | Pause | Blank]


class Inputs(Generic[Input]):
    """The inputs of a run, to be iterated once.

    `origins` has those of the inputs that were given, for the reader of their answers to take from the left;
    `blank_line_count` the blank lines since the last of them.
    """

    def __init__(self, source: Source[Input]) -> None:
        self._source = source
        self.origins: deque[Origin] = deque()
        self.blank_line_count = 0

    def __iter__(self) -> Iterator[Input | Pause]:
        for given in self._source:
            if isinstance(given, Pause):
                yield given
            elif isinstance(given, Blank):
                self.blank_line_count += 1
            else:
                self.origins.append(Origin(given.name, given.number, self.blank_line_count))
                self.blank_line_count = 0
                yield given.input


def given_texts(arguments: Sequence[str] | None, file: Path | None) -> Source[str]:
    """The texts of the command line, or the lines of a file, or else those of standard input.

    Raises:
        typer.BadParameter: there are both; or, when iterated, there is no such file, standard input is closed, or a
            line is not UTF-8.
    """
    if arguments and file:
        raise typer.BadParameter("give texts or a file of them, not both", param_hint="--input")
    if arguments:
        return [Given(valid_text(text), f"text {number}", number) for number, text in enumerate(arguments, start=1)]
    return _decoded(_lines_of_standard_input() if file is None or str(file) == "-" else _lines_of(file))


def given_pairs(arguments: Sequence[str] | None, file: Path | None) -> Source[tuple[str, str]]:
    """Texts with their translations, from the command line or tabbed lines.

    Raises:
        typer.BadParameter: as `given_texts`; or a text has no translation.
    """
    if arguments and len(arguments) % 2:
        raise typer.BadParameter("each text needs a translation after it", param_hint="SOURCE TARGET")
    if arguments:
        texts = map(valid_text, arguments)
        pairs = zip(texts, texts, strict=True)
        return [Given(pair, f"pair {number}", number) for number, pair in enumerate(pairs, start=1)]
    return _each(given_texts(None, file), _pair)


def given_words(source: Source[str]) -> Source[list[str]]:
    """Texts as the words between their blanks."""
    return _each(source, lambda given: given.input.split())


def given_tables(
    paths: Sequence[Path], key_columns: Sequence[str]
) -> tuple[list[Given[Sequence[Readings]]], dict[str, list[str]]]:
    """CSV files as sequences, and by file the names of its rows; all are read, so that a bad one is told at once.

    Raises:
        typer.BadParameter: a file cannot be read; names file, line and column.
    """
    try:
        tables = {str(path): read_feature_file(path, key_columns) for path in paths}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--features") from error
    given: list[Given[Sequence[Readings]]] = [
        Given(tables[str(path)].rows, str(path), number) for number, path in enumerate(paths, start=1)
    ]
    return given, {name: table.row_names for name, table in tables.items()}


def line_count(file: Path | None) -> int | None:
    """Lines of a file, or None of standard input."""
    if file is None or str(file) == "-":
        return None
    with file.open("rb") as opened:
        return sum(block.count(b"\n") for block in iter(lambda: opened.read(1 << 20), b""))


def valid_text(text: str) -> str:
    """`text` itself; refuses what no UTF-8 can spell, such as bytes of another encoding in an argument."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise typer.BadParameter(f"text is not UTF-8: {error}") from error
    return text


def _each(source: Source[Input], change: Callable[[Given[Input]], Output]) -> Iterator[Given[Output] | Pause | Blank]:
    for given in source:
        yield Given(change(given), given.name, given.number) if isinstance(given, Given) else given


def _pair(given: Given[str]) -> tuple[str, str]:
    text, tabulator, translation = given.input.partition("\t")
    if not tabulator:
        raise typer.BadParameter(f"no tabulator in {given.name}: {given.input!r}", param_hint="SOURCE TARGET")
    return text, translation


def _decoded(lines: Iterable[bytes | Pause]) -> Iterator[Given[str] | Pause | Blank]:
    number = 0
    for line in lines:
        if isinstance(line, Pause):
            yield line
            continue
        number += 1
        try:
            text = line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise typer.BadParameter(f"line {number} is not UTF-8: {error}", param_hint="--input") from error
        yield Given(text, f"line {number}", number) if text.strip() else Blank.BLANK


def _lines_of(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--input") from error


def _lines_of_standard_input() -> Iterator[bytes | Pause]:
    """Lines as they come, and a pause where the next one is late: a person is typing, or a program is slow."""
    if sys.stdin is None:
        raise typer.BadParameter("standard input is closed, and nothing else is given", param_hint="--input")
    try:
        descriptor = sys.stdin.fileno()
    except OSError:  # standard input is no file
        descriptor = None
    if descriptor is None or sys.platform == "win32":  # where only sockets can be waited for
        yield from sys.stdin.buffer
        return
    kept = b""
    while True:
        if not select([descriptor], [], [], QUIET_SECONDS)[0]:
            yield PAUSE
            select([descriptor], [], [])
        block = os.read(descriptor, BLOCK_BYTES)
        if not block:
            break
        *lines, kept = (kept + block).split(b"\n")
        yield from lines
    if kept:
        yield kept
