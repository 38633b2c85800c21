"""The sample of readings over time: days in towns, and whether it rains on the day after.   Simulated; no records.

Fronts come and go: some fair days, a day on which wind and warmth announce the front, two or three days of rain, a day
on which it clears. Readings are noisy, and of humidity some are missing. So today alone does not tell about tomorrow:
on a day of rain it matters how long it has rained, on a fair day how long it has been fair. Each town's days are cut
by time: the first are for training, then come validation and test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from training.data.examples import FeatureColumn, LabelledSeries, Splits
from training.data.stable import Chooser

Phase = Literal["fair", "front", "rain", "clearing"]

TOWNS = ("Rome", "Turin", "Athens", "Lisbon", "Oslo", "Berlin", "Madrid", "Lima", "Kyoto", "Cairo", "Paris", "London")
DAYS = {"training": 400, "validation": 100, "test": 200}
COLUMNS = (FeatureColumn("temperature", "degC"), FeatureColumn("humidity", "%"), FeatureColumn("wind", "m/s"))
DRY, RAIN = "dry", "rain"

_YEAR = 365
_MISSING_SHARE = 0.06


@dataclass(frozen=True)
class _Climate:
    """What a phase does to the readings of a day."""

    warmth: float  # degC above the season's
    humidity: float  # %
    wind: float  # m/s


_CLIMATES: dict[Phase, _Climate] = {
    "fair": _Climate(1.0, 58.0, 2.5),
    "front": _Climate(3.0, 66.0, 6.0),
    "rain": _Climate(-2.0, 86.0, 5.0),
    "clearing": _Climate(-3.0, 68.0, 6.5),
}


def load() -> Splits[LabelledSeries]:
    """Generate the sample: 12 towns, of each 400 training, 100 validation and 200 test days."""
    towns = [_days(town) for town in TOWNS]
    ends = [0, DAYS["training"], DAYS["training"] + DAYS["validation"], sum(DAYS.values())]
    training, validation, test = (
        tuple(_series(town, days[start:end]) for town, days in zip(TOWNS, towns, strict=True))
        for start, end in pairwise(ends)
    )
    return Splits(training, validation, test)


@dataclass(frozen=True)
class _Day:
    readings: tuple[float | None, ...]
    label: str


def _series(town: str, days: list[_Day]) -> LabelledSeries:
    return LabelledSeries(tuple(day.readings for day in days), tuple(day.label for day in days), town, COLUMNS)


def _days(town: str) -> list[_Day]:
    chooser = Chooser(f"weather {town}")
    phases = _phases(chooser)
    mean, first_day = chooser.between(8, 18), int(chooser.between(0, _YEAR))
    today, days = next(phases), []
    for number in range(sum(DAYS.values())):
        tomorrow = next(phases)
        season = mean + 10 * _season((first_day + number) % _YEAR)
        days.append(_Day(_readings(chooser, today, season), RAIN if tomorrow == "rain" else DRY))
        today = tomorrow
    return days


def _phases(chooser: Chooser) -> Iterator[Phase]:
    """One day after another: fair for three to five, then a front, rain for two or three, and clearing."""
    while True:
        for _ in range(chooser.pick((3, 4, 5))):
            yield "fair"
        yield "front"
        for _ in range(chooser.pick((2, 3))):
            yield "rain"
        yield "clearing"


def _readings(chooser: Chooser, phase: Phase, season: float) -> tuple[float | None, ...]:
    climate = _CLIMATES[phase]
    temperature = season + climate.warmth + 2.5 * _noise(chooser)
    humidity = min(100.0, climate.humidity + 8 * _noise(chooser))
    wind = max(0.0, climate.wind + 2 * _noise(chooser))
    missing = chooser.chance(_MISSING_SHARE)
    return round(temperature, 1), None if missing else round(humidity), round(wind, 1)


def _season(day: int) -> float:
    """-1 in midwinter, 1 in midsummer, straight lines between them."""
    return 1 - 4 * abs(day / _YEAR - 0.5)


def _noise(chooser: Chooser) -> float:
    """About normal, of variance 1: the sum of twelve evenly spread numbers (no library's logarithm is asked)."""
    return sum(chooser.between(-0.5, 0.5) for _ in range(12))
