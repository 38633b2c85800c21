"""What the `seqserve` command is given: texts, pairs and files of readings.   Asks no server."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import typer

from seqserve.convert import InputSequence
from seqserve.feature_file import read_feature_file

Item = TypeVar("Item")


class Source(NamedTuple):
    """A sequence to label: what to call it, what to call its rows if it has rows, and itself."""

    name: str
    row_names: list[str] | None
    sequence: InputSequence


def text_sources(texts: Iterable[str], *, words: bool) -> Iterator[Source]:
    """Texts as sequences; as the words between their blanks where `words` is set."""
    return (Source(text, None, text.split() if words else text) for text in texts)


def table_sources(paths: Sequence[Path], key_columns: Sequence[str]) -> list[Source]:
    """CSV files as sequences; all are read, so that a bad one is told before anything is asked."""
    try:
        tables = [read_feature_file(path, key_columns) for path in paths]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--features") from error
    return [Source(str(path), table.row_names, table.rows) for path, table in zip(paths, tables, strict=True)]


def given_texts(arguments: Sequence[str] | None) -> Iterator[str]:
    """The texts of the command line, or else the lines of standard input that are not blank."""
    if arguments:
        yield from map(valid_text, arguments)
        return
    try:
        yield from (valid_text(line.rstrip("\r\n")) for line in sys.stdin if line.strip())
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"standard input is not UTF-8: {error}") from error


def given_pairs(arguments: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """Texts with their translations, from the command line or the lines of standard input."""
    if arguments:
        if len(arguments) % 2:
            raise typer.BadParameter("each text needs a translation after it", param_hint="SOURCE TARGET")
        texts = map(valid_text, arguments)
        yield from zip(texts, texts, strict=True)
        return
    for line in given_texts(None):
        text, tabulator, translation = line.partition("\t")
        if not tabulator:
            raise typer.BadParameter(f"no tabulator in the line {line!r}", param_hint="standard input")
        yield text, translation


def valid_text(text: str) -> str:
    """`text` itself; refuses what no UTF-8 can spell, such as bytes of another encoding in an argument."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise typer.BadParameter(f"text is not UTF-8: {error}") from error
    return text


def valid_texts(texts: Sequence[str] | None) -> list[str]:
    """As `valid_text`, of an option that may be repeated."""
    return [valid_text(text) for text in texts or ()]


def grouped(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`items` in lists of at most `size`, each as soon as it is full."""
    remaining = iter(items)
    while group := list(islice(remaining, size)):
        yield group
