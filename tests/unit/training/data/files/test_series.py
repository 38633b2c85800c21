"""Tables of readings over time: order, groups, missing values, and parts cut by time."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from training.data.examples import AnySplits, FeatureColumn, LabelledSeries
from training.errors import DataError, RecipeError

Read = Callable[..., AnySplits]
TABLE = """Day,Place,Temp,Wind,Rain
2016-01-02,Rome,11,N,No
2016-01-01,Rome,10.5,S,Yes
2016-01-01,Bath,NA,,No
2016-01-03,Rome,12,W,NA
2016-01-04,Rome,13,NA,Yes
"""
SETTINGS: dict[str, Any] = {
    "format": "series",
    "time_column": "Day",
    "group_column": "Place",
    "target_column": "Rain",
    "features": [
        {"column": "Temp", "unit": "degC"},
        {"column": "Wind", "unit": "1", "name": "north", "values": {"N": 1.0, "S": -1.0, "W": 0.0}},
    ],
}
FILES = {"training": "a", "validation": "a", "test": "a"}


def test_each_group_is_a_series_in_order_of_time(read: Read) -> None:
    rome, bath = read({"a": TABLE}, **SETTINGS, **FILES).training
    columns = (FeatureColumn("Temp", "degC"), FeatureColumn("north", "1"))
    assert rome == LabelledSeries(((10.5, -1.0), (11.0, 1.0), (13.0, None)), ("Yes", "No", "Yes"), "Rome", columns)
    assert bath == LabelledSeries(((None, None),), ("No",), "Bath", columns)
    assert str(rome.origin).endswith("a, line 3")


def test_a_file_is_one_series_without_a_group_column(read: Read) -> None:
    table = "t;x;y\n10;1;a\n9;2;b\n"
    settings = {"format": "series", "time_column": "t", "target_column": "y", "delimiter": ";"}
    (series,) = read({"a": table}, **settings, features={"column": "x", "unit": "V"}, **FILES).training
    assert series == LabelledSeries(((2.0,), (1.0,)), ("b", "a"), "a", (FeatureColumn("x", "V"),))


@pytest.mark.parametrize(
    "bound", [pytest.param("2016-01-02", id="text"), pytest.param(date(2016, 1, 2), id="TOML date")]
)
def test_parts_are_cut_by_time(read: Read, bound: object) -> None:
    table = TABLE.replace("W,NA", "W,No") + "2016-01-04,Bath,1,N,Yes\n"
    splits = read(
        {"a": table}, **SETTINGS, training="a", time_split={"validation_from": bound, "test_from": "2016-01-04"}
    )
    named = [[(s.name, s.labels) for s in part] for part in (splits.training, splits.validation, splits.test)]  # type: ignore[union-attr]
    assert named == [
        [("Rome", ("Yes",)), ("Bath", ("No",))],
        [("Rome", ("No", "No"))],
        [("Rome", ("Yes",)), ("Bath", ("Yes",))],
    ]


def test_whole_series_are_set_apart_by_their_name(read: Read) -> None:
    rows = [f"2016-01-0{day},P{place},1,N,No" for place in range(60) for day in (1, 2)]
    table = "Day,Place,Temp,Wind,Rain\n" + "\n".join(rows)
    splits = read({"a": table}, **SETTINGS, training="a", split={"validation": 0.2, "test": 0.2})
    names = [{s.name for s in part} for part in (splits.training, splits.validation, splits.test)]  # type: ignore[union-attr]
    assert sum(map(len, names)) == len(set.union(*names)) == 60


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("11,N", "warm,N", "a, line 2: expected a number in 'Temp' .*, found 'warm'", id="no number"),
        pytest.param("11,N", "inf,N", "a, line 2: expected a number in 'Temp'", id="infinity"),
        pytest.param("11,N", "1_1,N", "a, line 2: expected a number in 'Temp'", id="underscore"),
        pytest.param("11,N", "11,NW", "a, line 2: expected one of 'N', 'S', 'W' in 'Wind' .*found 'NW'", id="no word"),
        pytest.param("2016-01-02", "2/1/16", "a, line 2: expected a time in 'Day' .*found '2/1/16'", id="no time"),
        pytest.param(
            "2016-01-02",
            "2016-01-01",
            "a, line 3: expected one row of 'Rome' per time, found that of line 2",
            id="twice",
        ),
        pytest.param("11,N,No", "11,N", "a, line 2: expected 5 columns as in line 1, found 4", id="ragged"),
        pytest.param("Temp,", "Tmp,", "a, line 1: expected a header with a column 'Temp'", id="no column"),
    ],
)
def test_a_wrong_row_is_named(read: Read, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read({"a": TABLE.replace(old, new, 1)}, **SETTINGS, **FILES)


def test_rows_without_any_label_are_refused(read: Read) -> None:
    with pytest.raises(DataError, match="a: expected rows with a 'Rain', found none"):
        read({"a": "Day,Place,Temp,Wind,Rain\n2016-01-01,Rome,1,N,NA\n"}, **SETTINGS, **FILES)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        pytest.param(("2016-01-03", "2016-01-02"), "validation_from must be before test_from", id="order"),
        pytest.param(("soon", "2016-01-02"), "'soon' is neither an ISO 8601 time nor a number", id="no time"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(read: Read, bounds: tuple[str, str], message: str) -> None:
    split = dict(zip(("validation_from", "test_from"), bounds, strict=True))
    with pytest.raises(RecipeError, match=message):
        read({"a": TABLE}, **SETTINGS, training="a", time_split=split)
