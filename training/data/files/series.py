"""Tables of readings over time.   Knows columns, groups and time; no scaling and no imputation.

A row whose target is missing is left out: its neighbours follow one another in the series.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from training.data.examples import FeatureColumn, LabelledSeries, Origin, Splits
from training.data.files.lines import shorten, wrong_line
from training.data.files.records import csv_rows, pick_columns
from training.errors import DataError, RecipeError
from training.settings.files import FeatureSettings, SeriesFiles, TimeSplitSettings

Time = float
"""Seconds since 1970 for dates, else the number that was written."""


@dataclass(frozen=True)
class Step:
    """One row of a table."""

    number: int
    time: Time
    features: tuple[float | None, ...]
    label: str


def read_series(path: Path, settings: SeriesFiles) -> list[LabelledSeries]:
    """Give the series of a file, each in order of time.

    Raises:
        DataError: a row has more or fewer columns, a cell is no number, no known word or no time, two rows of a
            series have the same time, or nothing is left.
    """
    return [_series(path, name, steps, settings) for name, steps in _steps_by_group(path, settings).items()]


def split_by_time(paths: Sequence[Path], settings: SeriesFiles, bounds: TimeSplitSettings) -> Splits[LabelledSeries]:
    """Cut every series at the same two times. A series that has no step in a part is not in it.

    Raises:
        RecipeError: the bounds are no times, or in the wrong order.
        DataError: as `read_series`.
    """
    validation_from, test_from = (_bound(bound) for bound in (bounds.validation_from, bounds.test_from))
    if validation_from >= test_from:
        raise RecipeError("data.files.time_split: validation_from must be before test_from")
    groups = [(path, *group) for path in paths for group in _steps_by_group(path, settings).items()]

    def between(start: Time, end: Time) -> tuple[LabelledSeries, ...]:
        cut = [(path, name, [step for step in steps if start <= step.time < end]) for path, name, steps in groups]
        return tuple(_series(path, name, steps, settings) for path, name, steps in cut if steps)

    return Splits(
        between(-math.inf, validation_from), between(validation_from, test_from), between(test_from, math.inf)
    )


def _series(path: Path, name: str, steps: Sequence[Step], settings: SeriesFiles) -> LabelledSeries:
    return LabelledSeries(
        features=tuple(step.features for step in steps),
        labels=tuple(step.label for step in steps),
        name=name,
        columns=tuple(FeatureColumn(feature.feature_name, feature.unit) for feature in settings.features),
        origin=Origin(str(path), steps[0].number),
    )


def _steps_by_group(path: Path, settings: SeriesFiles) -> dict[str, list[Step]]:
    groups: dict[str, list[Step]] = {}
    for group, step in _steps(path, settings):
        groups.setdefault(group, []).append(step)
    if not groups:
        raise DataError(f"{path}: expected rows with a {settings.target_column!r}, found none")
    for group, steps in groups.items():
        steps.sort(key=lambda step: step.time)
        for before, after in pairwise(steps):
            if before.time == after.time:
                raise wrong_line(path, after.number, f"one row of {group!r} per time", f"that of line {before.number}")
    return groups


def _steps(path: Path, settings: SeriesFiles) -> Iterator[tuple[str, Step]]:
    """Group and step of each row that has a label."""
    group_columns = [settings.group_column] if settings.group_column else []
    names = [settings.time_column, settings.target_column, *group_columns]
    wanted = [*names, *(feature.column for feature in settings.features)]
    columns = {str(index): column for index, column in enumerate(wanted)}
    for number, cells in pick_columns(path, csv_rows(path, settings.delimiter), columns, header=True):
        label = cells[1].strip()
        if label in settings.missing:
            continue
        readings = cells[len(names) :]
        features = tuple(
            _reading(path, number, cell.strip(), feature, settings)
            for cell, feature in zip(readings, settings.features, strict=True)
        )
        time = _time(cells[0])
        if time is None:
            raise wrong_line(
                path, number, f"a time in {settings.time_column!r} (ISO 8601 or a number)", shorten(cells[0])
            )
        yield cells[2].strip() if group_columns else path.name, Step(number, time, features, label)


def _reading(path: Path, number: int, cell: str, feature: FeatureSettings, settings: SeriesFiles) -> float | None:
    if cell in settings.missing:
        return None
    value = feature.values.get(cell) if feature.values is not None else _number(cell)
    if value is None:
        words = "one of " + ", ".join(map(repr, feature.values)) if feature.values is not None else "a number"
        missing = ", ".join(map(repr, settings.missing))
        raise wrong_line(path, number, f"{words} in {feature.column!r} (missing: {missing})", shorten(cell))
    return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None  # Python reads 1_000; tables do not mean it


def _time(text: str) -> Time | None:
    number = _number(text)
    if number is not None:
        return number
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _bound(bound: str | float) -> Time:
    time = _time(bound) if isinstance(bound, str) else bound
    if time is None:
        raise RecipeError(f"data.files.time_split: {bound!r} is neither an ISO 8601 time nor a number")
    return time
