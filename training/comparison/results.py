"""What was measured of comparisons and of trained models, kept in JSON files between commands.   Trains nothing."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

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
    begun_time: str = ""
    """When training began, RFC 3339, UTC; of what was measured before this was kept, nothing."""
    commit: str = ""
    """At which, as `training.preparation.provenance.source_commit`; empty as above."""

    def is_of_the_row(self, other: "Measurement") -> bool:
        """Whether both are of one row and seed: the later one counts."""
        return (self.comparison, self.row, self.seed) == (other.comparison, other.row, other.seed)


class Begun(StrictModel):
    """A model that another begins from."""

    name: str
    version: int | None = None
    """Of an earlier version of the same model; None: of another model."""
    seconds: int
    """Of its own training, validation included."""


class TrainedModel(StrictModel):
    """What a page shows of a bundle, published or not: scores of its default variant on test examples."""

    name: str
    version: int
    seed: int
    recipe_sha256: str
    """Of recipe and data."""
    score: tuple[str, str]
    """Name and value, as the card has them."""
    baselines: tuple[tuple[str, str], ...]
    """The same measure of what needs no network, by what reached it."""
    further: tuple[tuple[str, str], ...]
    parameter_count: int
    size_bytes: int
    seconds: int
    """Of training, validation included."""
    begins_from: tuple[Begun, ...]
    """The nearest first."""
    methods: tuple[tuple[str, str], ...] = ()
    """How each score was measured, by its name; of what was kept before this was, nothing."""
    trained: str = ""
    """When, at which commit and on what it was trained, as the card has it; empty as above."""
    command: str = ""
    """What trains it; empty as above."""

    def is_of_the_run(self, other: "TrainedModel") -> bool:
        """Whether both are of one name, version and seed: the later one counts."""
        return (self.name, self.version, self.seed) == (other.name, other.version, other.seed)


_Kept = TypeVar("_Kept", Measurement, TrainedModel)


def read_results(path: Path, kind: type[_Kept]) -> list[_Kept]:
    """Read what was kept so far; nothing where there is no file.

    Raises:
        DataError: the file holds something else.
    """
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[kind]).validate_json(path.read_bytes(), strict=False)  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def write_results(path: Path, results: Iterable[Measurement | TrainedModel]) -> None:
    """Write results, whole or not at all."""
    text = json.dumps([one.model_dump() for one in results], indent=1, ensure_ascii=False)
    part = path.with_suffix(".part")
    part.write_text(f"{text}\n")
    part.replace(path)
