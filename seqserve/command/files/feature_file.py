"""Rows of readings from a CSV file, for the `seqserve` command.   Talks to no server; prints nothing."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _csv

MISSING = {"", "NA"}
"""Cells that hold no reading."""


@dataclass(frozen=True)
class FeatureTable:
    """One sequence. `keys` has, per row, the cells of the columns that name the row instead of being a reading."""

    rows: tuple[dict[str, float | None], ...]
    keys: tuple[tuple[str, ...], ...]

    @property
    def row_names(self) -> list[str]:
        """What to call each row: its keys, or else its number from 1."""
        return [" ".join(keys) or str(number) for number, keys in enumerate(self.keys, start=1)]


def read_feature_file(path: Path, key_columns: Collection[str] = ()) -> FeatureTable:
    """Read a CSV file, UTF-8, whose first line names the features; every other line is a step.

    Args:
        path: the file.
        key_columns: columns that are no features, such as `date`.

    Raises:
        ValueError: no such file, wrong encoding, no rows, a ragged line, a column twice or missing, or a cell that is
            no number; one line that names file, line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _table(csv.reader(file, strict=True), path, key_columns)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    except csv.Error as error:
        raise ValueError(f"{path} is not CSV: {error}") from error


def _table(lines: "_csv.Reader", path: Path, key_columns: Collection[str]) -> FeatureTable:
    names = [name.strip() for name in next(lines, [])]
    _check_header(names, path, key_columns)
    rows, keys = [], []
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(names):
            raise ValueError(f"{path} line {lines.line_num}: {len(cells)} cells, the first line has {len(names)}")
        row = dict(zip(names, cells, strict=True))
        keys.append(tuple(row.pop(name) for name in names if name in key_columns))
        rows.append({name: _reading(cell, f"{path} line {lines.line_num}, {name}") for name, cell in row.items()})
    if not rows:
        raise ValueError(f"{path} has no rows below its first line")
    return FeatureTable(tuple(rows), tuple(keys))


def _check_header(names: Sequence[str], path: Path, key_columns: Collection[str]) -> None:
    if not names:
        raise ValueError(f"{path}: the first line has no names of columns")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path}: the first line has column {name!r} twice")
    for name in key_columns:
        if name not in names:
            raise ValueError(f"{path}: the first line has no column {name!r}, only {', '.join(names)}")


def _reading(cell: str, where: str) -> float | None:
    cell = cell.strip()
    if cell in MISSING:
        return None
    try:
        return float(cell)
    except ValueError as error:
        raise ValueError(f"{where}: {cell!r} is not a number") from error
