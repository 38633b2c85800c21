"""What was measured of a comparison's runs, kept in a JSON file from one command to the next.   Trains nothing."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from training.errors import DataError
from training.settings.strict import StrictModel


class Measurement(StrictModel):
    """One row, trained with one seed."""

    comparison: str
    row: str
    seed: int
    run_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of recipe and data: a row that was changed since is measured anew."""
    measure: str
    value: float
    decimals: int
    parameter_count: int
    seconds: float
    """Of training, validation included."""
    speed: float
    """Examples per second, or tokens where a model writes, through the service's engine."""
    machine: str


_FILE = TypeAdapter(list[Measurement])


def read_measurements(path: Path) -> list[Measurement]:
    """Read what was measured so far; nothing where there is no file.

    Raises:
        DataError: the file is not one of measurements.
    """
    if not path.exists():
        return []
    try:
        return _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def write_measurements(path: Path, measurements: Iterable[Measurement]) -> None:
    """Write measurements, whole or not at all."""
    text = json.dumps([one.model_dump() for one in measurements], indent=1, ensure_ascii=False)
    part = path.with_suffix(".part")
    part.write_text(f"{text}\n")
    part.replace(path)


def spread(values: Sequence[float], decimals: int) -> str:
    """Mean and standard deviation, as `91.2 ± 0.3`; a single value by itself."""
    if len(values) == 1:
        return f"{values[0]:.{decimals}f}"
    return f"{mean(values):.{decimals}f} ± {stdev(values):.{decimals}f}"
