"""Tables (TSV, CSV) and JSON lines: one record an example.   Knows columns and keys; no examples.

Sources: RFC 4180 (CSV), by Python's `csv` in its strict mode; jsonlines.org.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from training.data.files.lines import numbered_lines, shorten, wrong_line
from training.settings.files import Column, RecordFiles

Row = tuple[int, Sequence[str]]
"""Number of the row's first line, and its fields."""


def read_records(path: Path, settings: RecordFiles) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each record's first line and, by role, its texts, none of them empty.

    Raises:
        DataError: a line is not a record, or lacks what the recipe says it holds.
    """
    for number, found in _values(path, settings):
        texts = {role: value.strip() for role, value in found.items()}
        for role, text in texts.items():
            if not text:
                raise wrong_line(path, number, f"a {role} in {settings.roles[role]!r}", "none")
        yield number, texts


def tab_rows(path: Path) -> Iterator[Row]:
    """Rows of a table whose fields are separated by tabs; quotes are characters like others."""
    for number, line in numbered_lines(path):
        yield number, line.split("\t")


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a CSV table; a quoted field may go over several lines.

    Raises:
        DataError: a quote is not closed, or stands where none may.
    """
    reader = csv.reader((f"{line}\n" for _, line in numbered_lines(path)), delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in reader:
            yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise wrong_line(path, start, "a row of CSV", str(error)) from error


def pick_columns(path: Path, rows: Iterator[Row], columns: Mapping[str, Column], *, header: bool) -> Iterator[Row]:
    """Give from each row the fields of `columns`, in their order; every row has as many fields as the first.

    Raises:
        DataError: a column is not there, is there twice, or a row has more or fewer fields.
    """
    first_number, first = next(rows)
    positions = [_position(path, first, column, header=header) for column in columns.values()]
    if not header:
        yield first_number, [first[position] for position in positions]
    for number, fields in rows:
        if len(fields) != len(first):
            raise wrong_line(path, number, f"{len(first)} columns as in line {first_number}", f"{len(fields)}")
        yield number, [fields[position] for position in positions]


def _values(path: Path, settings: RecordFiles) -> Iterator[tuple[int, dict[str, str]]]:
    if settings.format == "jsonl":
        keys = {role: str(key) for role, key in settings.roles.items()}
        for number, line in numbered_lines(path):
            record = _json_object(path, number, line)
            yield number, {role: _json_text(path, number, record, key) for role, key in keys.items()}
        return
    rows = tab_rows(path) if settings.format == "tsv" else csv_rows(path, settings.delimiter)
    for number, fields in pick_columns(path, rows, settings.roles, header=settings.header):
        yield number, dict(zip(settings.roles, fields, strict=True))


def _position(path: Path, first: Sequence[str], column: Column, *, header: bool) -> int:
    if isinstance(column, int):
        if column > len(first):
            raise wrong_line(path, 1, f"at least {column} columns", f"{len(first)}")
        return column - 1
    names = [name.strip() for name in first]
    if header and names.count(column) == 1:
        return names.index(column)
    found = f"it {names.count(column)} times" if column in names else ", ".join(map(repr, names))
    raise wrong_line(path, 1, f"a header with a column {column!r}", shorten_list(found))


def shorten_list(found: str, limit: int = 200) -> str:
    """Cut a list of names that is too long for a message."""
    return found if len(found) <= limit else found[: limit - 3] + "..."


def _json_object(path: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise wrong_line(path, number, "a JSON object", f"{shorten(line)} ({error})") from error
    if not isinstance(record, dict):
        raise wrong_line(path, number, "a JSON object", shorten(line))
    return record


def _json_text(path: Path, number: int, record: Mapping[str, object], key: str) -> str:
    if key not in record:
        raise wrong_line(path, number, f"a key {key!r}", shorten_list(", ".join(map(repr, record)) or "none"))
    value = record[key]
    if isinstance(value, str):
        return value
    if isinstance(value, int):  # booleans, too: labels are often written as one of them
        return json.dumps(value)
    raise wrong_line(path, number, f"a string or an integer under {key!r}", shorten(json.dumps(value)))
