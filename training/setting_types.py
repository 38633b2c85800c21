"""Ranges that several sections of a recipe share."""

from typing import Annotated

from pydantic import Field

PositiveInteger = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
DropoutProbability = Annotated[float, Field(ge=0, lt=1)]
