"""The verb `evaluate`: measures a bundle again, and warns where another recipe or other data would be compared."""

from pathlib import Path
from typing import Annotated

import typer

from service.bundle.manifest import Manifest
from service.bundle.store import open_bundle
from training.commands.arguments import DataFolder, default_runs
from training.data.examples import AnySplits
from training.data.load import load_corpus, load_examples
from training.errors import RecipeError, TrainingError
from training.evaluation.evaluate import Evaluations, evaluate_variants
from training.pipeline import load_run
from training.preparation.provenance import OWN_RECIPES, own_recipe, run_sha256
from training.settings.recipe import load_recipe


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of one bundle: REPOSITORY/NAME/VERSION.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe that names the corpus.", metavar="RECIPE.toml", show_default="the bundle's own"),
    ] = None,
    beam_size: Annotated[
        int | None, typer.Option(min=1, help="How wide a translator searches [default: as the recipe says].")
    ] = None,
    data: DataFolder = None,
) -> None:
    """Measure a bundle on its corpus's test examples, through the service's own engine."""
    opened = open_bundle(bundle)
    path = recipe or recipe_of(opened.manifest)
    found = load_recipe(path)
    splits = load_examples(found.data, data_folder=data, files_folder=path.parent)
    _warn_of_other_origin(opened.manifest, path, splits, data)
    settings = found.evaluation
    if beam_size is not None:
        settings = settings.model_copy(update={"beam_size": beam_size})
    others = {name: load_corpus(name, data) for name in settings.corpora}
    evaluations = evaluate_variants(opened, splits, settings=settings, continuous=found.continuous, others=others)
    say_scores(f"{opened.manifest.name}@{opened.manifest.version}", evaluations)


def say_scores(name: str, evaluations: Evaluations) -> None:
    """Print the score of every precision, then what the first one is compared with, each on a line after `name`."""
    for precision, evaluation in evaluations.items():
        typer.echo(f"{name}: {evaluation.score}" + (f" ({precision})" if len(evaluations) > 1 else ""))
    default = next(iter(evaluations.values()))
    for score in (*default.further, default.baseline, *default.other_baselines):
        typer.echo(f"{name}: {score}")


def recipe_of(manifest: Manifest) -> Path:
    """Find the recipe that a bundle is of, among those that come with the project.

    Of its version, or else of its name: a bundle that was exported from another has a version of its own.
    """
    name = manifest.producer.recipe
    path = own_recipe(name, manifest.version) or OWN_RECIPES / f"{name}.toml"
    if not path.is_file():
        raise RecipeError(
            f"{manifest.name}@{manifest.version} is of recipe {name!r}, not among those in {OWN_RECIPES}: name its "
            "file by --recipe"
        )
    return path


def _warn_of_other_origin(manifest: Manifest, path: Path, splits: AnySplits, data: Path | None) -> None:
    """Say when a bundle is scored by another recipe or on other data than its own: on purpose it is no mistake."""
    recipe, own = load_recipe(path), manifest.producer.recipe_sha256
    try:
        chained = recipe.pretraining is not None
        sha256 = load_run(path, None, runs=default_runs(), data=data).sha256 if chained else run_sha256(recipe, splits)
    except TrainingError as error:  # the score needs none of what pretraining reads
        typer.echo(f"warning: {path}: cannot be compared with the bundle's recipe: {error}", err=True)
        return
    if sha256 != own:
        typer.echo(
            f"warning: {path}: recipe or data are not those the bundle was made from (SHA-256 {sha256[:8]}, the "
            f"bundle's {own[:8]}); a bundle made with --max-epochs has another recipe too",
            err=True,
        )
