"""The base of everything that is read from a recipe: frozen, typed as written, unknown keys refused."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A misspelt or mistyped setting is an error, never a default."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
