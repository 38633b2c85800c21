"""Arguments that several verbs of the training command share."""

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (TOML).", metavar="RECIPE.toml")]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="SEQSERVE_DATA", help="Folder of the real corpora. Samples need none.", metavar="DIR"
    ),
]
