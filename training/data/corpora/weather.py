"""Daily weather of Australian stations; the label is whether it rains on the day after."""

import math
from collections.abc import Callable
from pathlib import Path

from training.data.examples import LabelledSeries, Splits
from training.data.files.lines import packed_or_not
from training.data.files.series import split_by_time
from training.settings.files import FeatureSettings, SeriesFiles, TimeSplitSettings

_COMPASS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"]
_UNITS = {
    "MinTemp": "degC",
    "MaxTemp": "degC",
    "Rainfall": "mm",
    "Evaporation": "mm",
    "Sunshine": "h",
    "WindGustSpeed": "km/h",
    "WindSpeed9am": "km/h",
    "WindSpeed3pm": "km/h",
    "Humidity9am": "%",
    "Humidity3pm": "%",
    "Pressure9am": "hPa",
    "Pressure3pm": "hPa",
    "Cloud9am": "okta",
    "Cloud3pm": "okta",
    "Temp9am": "degC",
    "Temp3pm": "degC",
}
_DIRECTIONS = ("WindGustDir", "WindDir9am", "WindDir3pm")


def read_weather_aus(folder: Path) -> Splits[LabelledSeries]:
    """One series per station and part, in order of date: to the end of 2015, 2016, from 2017 on.

    File `weatherAUS.csv`, packed or not. Days whose `RainTomorrow` is missing are left out. A wind's direction is two
    features, its north and its east component. A day's label is the next day's `RainToday`, so whatever reads a
    series backwards has read the answer. An older edition's column `RISK_MM`, tomorrow's rain, is not read.
    Source: Bureau of Meteorology, by way of the rattle package's weatherAUS.

    Raises:
        DataError: the file is missing, or a row is not of this form.
    """
    path = packed_or_not(folder, "weatherAUS.csv")
    bounds = TimeSplitSettings(validation_from="2016-01-01", test_from="2017-01-01")
    settings = SeriesFiles(
        format="series",
        training=(path.name,),
        time_column="Date",
        group_column="Location",
        target_column="RainTomorrow",
        features=_features(),
        missing=("NA",),
        time_split=bounds,
    )
    return split_by_time([path], settings, bounds)


def _features() -> tuple[FeatureSettings, ...]:
    numbers = [FeatureSettings(column=column, unit=unit) for column, unit in _UNITS.items()]
    winds = [
        FeatureSettings(column=column, unit="1", name=f"{column}{side}", values=components)
        for column in _DIRECTIONS
        for side, components in (("North", _components(math.cos)), ("East", _components(math.sin)))
    ]
    rain = FeatureSettings(column="RainToday", unit="1", values={"No": 0.0, "Yes": 1.0})
    return (*numbers, *winds, rain)


def _components(of_angle: Callable[[float], float]) -> dict[str, float]:
    """By compass point, cosine (north) or sine (east) of its angle, clockwise from north."""
    return {
        point: round(of_angle(2 * math.pi * index / len(_COMPASS)), 6) + 0.0 for index, point in enumerate(_COMPASS)
    }
