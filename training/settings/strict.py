"""The base of everything that is read from a recipe: frozen, typed as written, unknown keys refused.

Beside it stand the ranges that several sections share.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInteger = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
DropoutProbability = Annotated[float, Field(ge=0, lt=1)]


class StrictModel(BaseModel):
    """A misspelt or mistyped setting is an error, never a default."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
