"""Rows of named readings into the numbers that a graph takes.   Training and serving run this same code.

Knows the manifest's features; opens no file and knows no tensors.
"""

from collections.abc import Mapping, Sequence

from service.bundle.manifest import MAX_SCALED_VALUE, Feature
from service.errors import InvalidArgumentError

_SHOWN_CHARACTERS = 100
"""How much of an unknown name an error repeats."""


def scale_rows(
    features: Sequence[Feature], rows: Sequence[Mapping[str, float]], *, where: str = "rows"
) -> list[list[float]]:
    """Scale rows of readings: (value - mean) / scale, in float64; what is missing or NaN is imputed or refused.

    Args:
        features: the manifest's, in its order.
        rows: readings by name, in the features' units.
        where: what the rows are called, for errors (`sequences[2].rows`).

    Returns:
        One list per row, with a number per feature, in the order of `features`.

    Raises:
        InvalidArgumentError: a feature is unknown; or is missing, NaN or infinite, and the manifest has nothing to put
            in its place; or is further than MAX_SCALED_VALUE scales from its mean. Names row and feature
            (`sequences[2].rows[5].humidity`).
    """
    names = {feature.name for feature in features}
    scaled = []
    for index, row in enumerate(rows):
        place = f"{where}[{index}]"
        if not names.issuperset(row):
            raise _unknown(next(name for name in row if name not in names), features, place)
        scaled.append([_scaled(feature, row.get(feature.name), place) for feature in features])
    return scaled


def _scaled(feature: Feature, value: float | None, place: str) -> float:
    if value is None or value != value:  # missing, or NaN  # noqa: PLR0124
        if feature.imputation == "refuse":
            raise _refused(feature, place, "missing" if value is None else "NaN, expected a number")
        value = feature.imputation
    scaled = feature.scaled(value)
    if not abs(scaled) <= MAX_SCALED_VALUE:
        expected = f"a number within {MAX_SCALED_VALUE:g} times {feature.scale:g} of {feature.mean:g}"
        raise _refused(feature, place, f"{value}, expected {expected}{f' {feature.unit}' if feature.unit else ''}")
    return scaled


def _refused(feature: Feature, place: str, problem: str) -> InvalidArgumentError:
    field = f"{place}.{feature.name}"
    return InvalidArgumentError(f"{field} is {problem}", field=field, feature=feature.name, unit=feature.unit)


def _unknown(name: str, features: Sequence[Feature], place: str) -> InvalidArgumentError:
    shown = name[:_SHOWN_CHARACTERS]
    known = ", ".join(feature.name for feature in features)
    return InvalidArgumentError(
        f"{place}.{shown} is not a feature of the model, which has {known}", field=f"{place}.{shown}", feature=shown
    )
