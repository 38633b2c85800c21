"""Arguments that several verbs of the training command share, and where runs and models go if nothing is said."""

import os
from pathlib import Path
from typing import Annotated

import typer


def default_runs() -> Path:
    """Where checkpoints go if nothing is said: the user's cache, for they are no part of a checkout.

    Source: XDG Base Directory Specification 0.8, by which a relative `XDG_CACHE_HOME` does not count.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path("~/.cache").expanduser()) / "seqserve" / "runs"


RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (TOML).", metavar="RECIPE.toml")]
RecipeFiles = Annotated[list[Path], typer.Argument(help="Recipe files (TOML).", metavar="RECIPE.toml")]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="SEQSERVE_DATA", help="Folder of the real corpora. Samples need none.", metavar="DIR"
    ),
]
Runs = Annotated[
    Path,
    typer.Option(
        default_factory=default_runs,
        show_default="seqserve/runs in the user's cache",
        envvar="SEQSERVE_RUNS",
        help="Folder of checkpoints.",
        metavar="DIR",
    ),
]
Models = Annotated[Path, typer.Option(help="Model repository where bundles are published.", metavar="DIR")]
MaxEpochs = Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs, whatever the recipe says.")]

MODELS = Path(".build/models")
