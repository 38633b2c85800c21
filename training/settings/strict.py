"""The base of everything that is read from a recipe: frozen, typed as written, unknown keys refused.

Beside it stand the ranges that several sections share.
"""

from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

PositiveInteger = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
DropoutProbability = Annotated[float, Field(ge=0, lt=1)]


class StrictModel(BaseModel):
    """A misspelt or mistyped setting is an error, never a default."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, given: object) -> object:
        """Refuse an unknown key before anything else: a misspelt one, not the one that is missing for it, is named."""
        unknown = [key for key in given if key not in cls.model_fields] if isinstance(given, dict) else []
        if unknown:
            near = get_close_matches(str(unknown[0]), cls.model_fields, n=1)
            expected = f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(cls.model_fields)}"
            raise PydanticCustomError(
                "unknown_key", "unknown key {key}: {expected}", {"key": repr(unknown[0]), "expected": expected}
            )
        return given
