"""Answers as the `seqserve` command shows them: text as they come, JSON for programs, a table at the end.

Asks no server.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Generic, TextIO, TypeVar, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqserve.errors import SeqserveError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PIPE_WIDTH = 200  # columns of a table that goes to no terminal
NO_FIELDS: Mapping[str, object] = {}

Value = TypeVar("Value")


class OutputFormat(StrEnum):
    """What `--output` takes."""

    TEXT = "text"
    JSON = "json"
    TABLE = "table"


@dataclass(frozen=True)
class View(Generic[Value]):
    """How the answers of one verb look.

    Args:
        text: an answer as text; given also what to call its input.
        columns: of the table.
        rows: an answer as rows of the table; given also what to call its input.
        line_for_line: whether the text has one line for each input, so that blank lines keep their places.
        numbered: whether one answer may be several texts under their numbers, which cannot be shown as they come.
    """

    text: Callable[[str, Value], str]
    columns: tuple[str, ...]
    rows: Callable[[str, Value], Iterable[Sequence[str]]]
    line_for_line: bool = False
    numbered: bool = False


class Screen:
    """Where answers are shown, in one format: standard output, and complaints on standard error."""

    def __init__(self, output: OutputFormat, columns: Sequence[str]) -> None:
        self.output = output
        self._table = new_table(*columns)

    def show(self, view: View[Value], source: str, value: Value, fields: Mapping[str, object] = NO_FIELDS) -> None:
        """Show an answer; `fields` are those that its JSON begins with."""
        if self.output is OutputFormat.JSON:
            for one in value if isinstance(value, tuple) else (value,):
                typer.echo(as_json(one, **fields))
        elif self.output is OutputFormat.TEXT:
            typer.echo(view.text(source, value))
        else:
            for row in view.rows(source, value):
                add_row(self._table, *row)

    def show_blank_lines(self, view: View[Value], count: int) -> None:
        """Keep the places of blank lines, in a text that has a line for each line of the input."""
        if self.output is OutputFormat.TEXT and view.line_for_line:
            typer.echo("\n" * count, nl=False)

    def refuse(self, name: str, error: SeqserveError, fields: Mapping[str, object]) -> None:
        """Say that one input was refused; in JSON also on standard output, in its place."""
        complain(name, error)
        if self.output is OutputFormat.JSON:
            told = {"reason": error.reason, "message": error.message, "facts": error.facts}
            typer.echo(as_json({"error": told}, **fields))

    def close(self) -> None:
        """Show the table, if that is the format."""
        if self.output is OutputFormat.TABLE:
            print_table(self._table)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at a stream, which is None where it is closed."""
    return stream is not None and stream.isatty()


def complain(name: str, error: Exception) -> None:
    """One line on standard error."""
    typer.echo(f"seqserve: {name}: {' '.join(str(error).split())}", err=True)


def as_json(value: object, **more: object) -> str:
    """One line of JSON: `more`, then the fields of `value`, a dataclass or mapping.

    An enum is its value, and bytes are in base64, as protobuf has them.
    """
    fields = value if isinstance(value, Mapping) else asdict(cast("DataclassInstance", value))
    return json.dumps({**more, **fields}, ensure_ascii=False, default=_plain)


def new_table(*columns: str) -> Table:
    """An empty table."""
    return Table(*columns, box=None, pad_edge=False)


def add_row(table: Table, *cells: str) -> None:
    """Add a row; a server's words are not markup."""
    table.add_row(*map(Text, cells))


def print_table(table: Table) -> None:
    """Print a table on standard output, wide where that is no terminal."""
    Console(width=None if is_terminal(sys.stdout) else PIPE_WIDTH, highlight=False).print(table)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{value!r} has no place in JSON")
