"""The verbs `data inspect` and `data fetch`: what a recipe would train on, and where corpora come from."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from training.commands.arguments import DataFolder, RecipeFile
from training.commands.data_report import print_inspection
from training.data.corpora import folder_of
from training.data.corpora.fetch import RECORD, addresses, fetch_corpus
from training.data.inspection import inspect_examples
from training.data.load import load_examples
from training.errors import DataError
from training.preparation.pretraining_chain import pretraining_texts
from training.settings.recipe import load_recipe

_PIPE_WIDTH = 160
"""Columns of a table that goes to no terminal."""

data_app = typer.Typer(help="Look at the data of a recipe, or fetch a corpus.", no_args_is_help=True)


@data_app.command()
def inspect(
    recipe: RecipeFile,
    data: DataFolder = None,
    examples: Annotated[int, typer.Option(min=0, help="How many examples of each part to show.")] = 3,
) -> None:
    """Show what was read: examples, lengths, labels, vocabulary, and leaks between training, validation and test."""
    settings = load_recipe(recipe)
    with Console(stderr=True).status("reading and counting"):
        splits = load_examples(settings.data, data_folder=data, files_folder=recipe.parent)
        texts = pretraining_texts(settings, data_folder=data, files_folder=recipe.parent)
        inspection = inspect_examples(settings, splits, [text.tokenizer for text in texts])
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    print_inspection(inspection, console, example_count=examples)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A corpus that recipes name, for instance tinyshakespeare.")],
    data: DataFolder = None,
) -> None:
    """Fetch a corpus from its official address into the data folder; what is there already stays."""
    known = addresses()
    if folder_of(name) not in known:
        raise DataError(f"corpus {name!r} has no address; known are {', '.join(known)}")
    if data is None:
        raise DataError("expected the folder to fetch into: --data DIR, or SEQSERVE_DATA")
    folder = data / folder_of(name)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        new = fetch_corpus(known[folder_of(name)], folder, progress)
    _say_fetched(name, folder, new)


def _say_fetched(name: str, folder: Path, new: list[Path]) -> None:
    if new:
        typer.echo(f"{name}: {len(new)} files fetched into {folder}; {RECORD} there has addresses and hashes")
    else:
        typer.echo(f"{name}: {folder} has every file already; nothing to do")
