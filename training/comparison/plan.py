"""What is compared: a base recipe and, per row, what is different.   Parses and checks TOML; trains nothing."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from training.errors import RecipeError
from training.settings.recipe import Recipe, first_problem, parse_document
from training.settings.strict import StrictModel


class Row(StrictModel):
    """What of the base recipe is different."""

    change: dict[str, Any] = Field(default={})
    """Sections with the keys that have other values."""
    leave_out: list[str] = Field(default=[])
    """Keys that are left out, as `model.attention`."""


class Comparison(StrictModel):
    """One TOML file: a table of its rows can be read off."""

    title: str
    """What is compared, on what."""
    base: str
    """What the recipe as it stands is called in the table."""
    seeds: Annotated[list[int], Field(min_length=1)]
    """Each row is trained with each of them, in place of the recipe's own."""
    recipe: dict[str, Any]
    """A whole recipe."""
    rows: dict[str, Row]
    """By what they are called in the table."""

    @model_validator(mode="after")
    def _rows_have_names_of_their_own(self) -> "Comparison":
        if self.base in self.rows:
            raise ValueError(f"a row has the name of the base, {self.base!r}")
        return self

    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each row, the base first.

        Raises:
            RecipeError: a row is no recipe; says which.
        """
        rows = {self.base: Row(), **self.rows}
        return {
            name: parse_document(self._document(row), where=f"{self.title}, row {name!r}") for name, row in rows.items()
        }

    def _document(self, row: Row) -> dict[str, Any]:
        document = _merged(self.recipe, row.change)
        for key in row.leave_out:
            section, _, name = key.partition(".")
            if name not in document.get(section, {}):
                raise RecipeError(f"{self.title}: leave_out: the recipe has no key {key!r}")
            document[section] = {other: value for other, value in document[section].items() if other != name}
        return document


def load_comparison(path: Path) -> Comparison:
    """Read and check a comparison's file.

    Raises:
        RecipeError: no such file, not TOML, a key that is unknown or missing.
    """
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    try:
        return Comparison.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_problem(error, document)}") from error


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested tables with some values replaced or added."""
    return {
        **document,
        **{
            key: _merged(document[key], value)
            if isinstance(value, dict) and isinstance(document.get(key), dict)
            else value
            for key, value in changes.items()
        },
    }
