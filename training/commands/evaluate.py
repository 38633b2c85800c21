"""The verb `evaluate`: measures a bundle again, and warns where another recipe or other data would be compared.

It can publish the bundle with what was measured in its card, beside what other seeds of the recipe reached.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.bundle.manifest import Manifest
from service.bundle.store import OpenedBundle, open_bundle
from training.commands.arguments import DataFolder, default_runs
from training.comparison.results import TrainedModel, read_results
from training.data.examples import AnySplits
from training.data.load import load_corpus, load_examples
from training.errors import ExportError, RecipeError, TrainingError
from training.evaluation.evaluate import Evaluations, evaluate_variants
from training.export.measured import Measured, publish_measured
from training.export.sections.scores import OtherRun
from training.pipeline import load_run
from training.preparation.provenance import OWN_RECIPES, own_recipe, run_sha256
from training.settings.recipe import Recipe, load_recipe

_OTHERS = Path("docs/other-models.json")


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of one bundle: REPOSITORY/NAME/VERSION.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe that names the corpus.", metavar="RECIPE.toml", show_default="the bundle's own"),
    ] = None,
    beam_size: Annotated[
        int | None, typer.Option(min=1, help="How wide a translator searches [default: as the recipe says].")
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(help="Publish the bundle there too, with these scores in its card.", metavar="DIR")
    ] = None,
    others: Annotated[
        Path, typer.Option(help="With --publish: where `models` keeps what other seeds reached.", metavar="FILE.json")
    ] = _OTHERS,
    data: DataFolder = None,
) -> None:
    """Measure a bundle on its corpus's test examples, through the service's own engine.

    With --publish its card gets these scores, those of other seeds beside them; graphs and weights stay as they are.
    """
    if publish is not None and beam_size is not None:
        raise ExportError("evaluate --publish writes a card of what the recipe asks for: leave out --beam-size")
    opened = open_bundle(bundle)
    path = recipe or recipe_of(opened.manifest)
    found = load_recipe(path)
    splits = load_examples(found.data, data_folder=data, files_folder=path.parent)
    if publish is None:
        _warn_of_other_origin(opened.manifest, path, splits, data)
        _measure(opened, found, splits, beam_size, data)
        return
    found = _with_seed(found, opened.manifest.producer.seed)
    other_runs = _other_runs(opened, found, splits, begun=_begun_sha256(path, data), kept=others)
    evaluations = _measure(opened, found, splits, None, data)
    typer.echo(f"published {publish_measured(opened, Measured(found, splits, evaluations, other_runs), publish)}")


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


def _measure(
    bundle: OpenedBundle, recipe: Recipe, splits: AnySplits, beam_size: int | None, data: Path | None
) -> Evaluations:
    """Score a bundle as its recipe says, or with another beam, and print what came out."""
    settings = recipe.evaluation
    if beam_size is not None:
        settings = settings.model_copy(update={"beam_size": beam_size})
    others = {name: load_corpus(name, data) for name in settings.corpora}
    evaluations = evaluate_variants(bundle, splits, settings=settings, continuous=recipe.continuous, others=others)
    say_scores(f"{bundle.manifest.name}@{bundle.manifest.version}", evaluations)
    return evaluations


def _other_runs(
    bundle: OpenedBundle, recipe: Recipe, splits: AnySplits, *, begun: str | None, kept: Path
) -> list[OtherRun]:
    """Find what a bundle's recipe reached with other seeds on the same data; if it was changed since, it is another.

    Args:
        bundle: made by `recipe`.
        recipe: with the bundle's seed.
        splits: its examples.
        begun: SHA-256 of the run whose weights its runs begin from.
        kept: file of what other bundles reached.

    Raises:
        ExportError: the bundle was made by another recipe, or from other data.
        DataError: the file holds something else.
    """
    if run_sha256(recipe, splits, pretraining=begun) != bundle.manifest.producer.recipe_sha256:
        raise ExportError(f"{bundle.path}: made from another recipe or other data; its card tells nothing of these")
    return [
        OtherRun(one.seed, dict([one.score, *one.further]))
        for one in read_results(kept, TrainedModel)
        if (one.name, one.version) == (recipe.name, recipe.version)
        and one.seed != recipe.seed
        and one.recipe_sha256 == run_sha256(_with_seed(recipe, one.seed), splits, pretraining=begun)
    ]


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"seed": seed})


def _begun_sha256(recipe: Path, data: Path | None) -> str | None:
    """SHA-256 of the run whose weights a recipe's run begins from, where it does."""
    if load_recipe(recipe).pretraining is None:
        return None
    begun = load_run(recipe, None, runs=default_runs(), data=data).pretraining
    return None if begun is None else begun.sha256


def _warn_of_other_origin(manifest: Manifest, path: Path, splits: AnySplits, data: Path | None) -> None:
    """Say when a bundle is scored by another recipe or on other data than its own: on purpose it is no mistake."""
    own = manifest.producer.recipe_sha256
    try:
        sha256 = run_sha256(load_recipe(path), splits, pretraining=_begun_sha256(path, data))
    except TrainingError as error:  # the score needs none of what pretraining reads
        typer.echo(f"warning: {path}: cannot be compared with the bundle's recipe: {error}", err=True)
        return
    if sha256 != own:
        typer.echo(
            f"warning: {path}: recipe or data are not those the bundle was made from (SHA-256 {sha256[:8]}, the "
            f"bundle's {own[:8]}); a bundle made with --max-epochs has another recipe too",
            err=True,
        )
