"""The verb `tunes`: whether what a model of tunes writes holds together as well as tunes that people wrote."""

from pathlib import Path
from typing import Annotated

import typer

from service.bundle.store import open_bundle
from training.commands.arguments import DataFolder
from training.commands.evaluate import recipe_of
from training.data.load import load_examples
from training.evaluation.spread import spread
from training.evaluation.written_tunes import check_held_out, check_written
from training.settings.evaluation import TuneSettings
from training.settings.recipe import load_recipe


def tunes(
    bundle: Annotated[Path, typer.Argument(help="Folder of one bundle: REPOSITORY/NAME/VERSION.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe that names the corpus [default: the bundle's own].", metavar="RECIPE.toml"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many tunes to write, and held-out ones to read.")] = 200,
    temperature: Annotated[float, typer.Option(min=0.01, max=10, help="Below 1: likelier notes.")] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="Of the first tune; the others count up from it.")] = 1,
    blocks: Annotated[
        int, typer.Option(min=1, help="How many times to write so many, each time with other seeds.")
    ] = 1,
    data: DataFolder = None,
) -> None:
    """Have a model write tunes in ABC notation, and check them and held-out ones by a parser and bar by bar."""
    opened = open_bundle(bundle)
    path = recipe or recipe_of(opened.manifest)
    splits = load_examples(load_recipe(path).data, data_folder=data, files_folder=path.parent)
    held_out = check_held_out(splits, count)
    settings = TuneSettings(count=count, temperature=temperature, seed=seed, blocks=blocks)
    found = []
    for first, check in check_written(opened, settings):
        found.append(check)
        typer.echo(f"written at temperature {temperature:g}, seed {first}: {check}")
    if blocks > 1:
        read, full = spread([one.read_share for one in found], 1), spread([one.full_share for one in found], 1)
        typer.echo(f"mean and standard deviation of {blocks} blocks: {read} % are read, {full} % of bars are full")
    typer.echo(f"held out: {held_out}")
