"""Readings are scaled by the manifest alone, and what does not fit is named."""

import math

import pytest

from service.bundle.features import scale_rows
from service.bundle.manifest import Feature
from service.errors import InvalidArgumentError

FEATURES = [
    Feature(name="temperature", unit="Cel", mean=10.0, scale=5.0, imputation="refuse"),
    Feature(name="humidity", unit="%", mean=70.0, scale=20.0, imputation=80.0),
]


def test_readings_are_scaled_in_the_order_of_the_manifest() -> None:
    rows = [{"humidity": 90.0, "temperature": 0.0}, {"temperature": 12.5, "humidity": 70.0}]
    assert scale_rows(FEATURES, rows) == [[-2.0, 1.0], [0.5, 0.0]]


@pytest.mark.parametrize(
    "row", [{"temperature": 10.0}, {"temperature": 10.0, "humidity": math.nan}], ids=["missing", "NaN"]
)
def test_an_imputed_value_takes_the_place_of_a_reading_and_is_scaled_too(row: dict[str, float]) -> None:
    assert scale_rows(FEATURES, [row]) == [[0.0, 0.5]]


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        pytest.param({"humidity": 1.0}, "temperature", "is missing", id="missing"),
        pytest.param({"temperature": math.nan}, "temperature", "is NaN", id="NaN"),
        pytest.param({"temperature": math.inf}, "temperature", "is inf, expected a number within", id="infinite"),
        pytest.param(
            {"temperature": 0.0, "humidity": -math.inf}, "humidity", "is -inf", id="infinite, with imputation"
        ),
        pytest.param({"temperature": 1e7}, "temperature", r"is 10000000\.0, .* 1e\+06 times 5 of 10 Cel", id="far off"),
        pytest.param({"temperature": 1e308}, "temperature", "is 1e[+]308", id="overflows float32"),
        pytest.param({"temprature": 1.0}, "temprature", "which has temperature, humidity", id="unknown"),
        pytest.param({"temperature": 1.0, "": 1.0}, "", "is not a feature", id="no name"),
    ],
)
def test_what_does_not_fit_is_refused_by_row_and_name(row: dict[str, float], field: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message) as refused:
        scale_rows(FEATURES, [{"temperature": 1.0}, row], where="sequences[2].rows")
    assert refused.value.field == f"sequences[2].rows[1].{field}"
    assert refused.value.message.startswith(f"sequences[2].rows[1].{field} is ")


def test_a_very_long_unknown_name_is_cut() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        scale_rows(FEATURES, [{"x" * 1_000_000: 1.0}])
    assert refused.value.field == "rows[0]." + "x" * 100
    assert len(refused.value.message) < 300
