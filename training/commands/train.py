"""The verbs `train` and `export`: from recipes to published bundles, and what a person is told on the way."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.bundle.store import open_bundle
from training.commands.arguments import MODELS, DataFolder, MaxEpochs, Models, RecipeFiles, Runs
from training.commands.evaluate import say_scores
from training.errors import ExportError, StoppedError
from training.export.bundle import bundle_folder, is_published
from training.export.rebuild import parse_precisions, publish_rebuilt
from training.optimization.distributed import Processes, joined_processes
from training.pipeline import Run, load_run, publish_run, report_run, restore_run, train_run, what_is_kept
from training.run.loop import new_progress
from training.settings.recipe import Recipe
from training.tracking.mlflow import log_scores

Mlflow = Annotated[
    str | None,
    typer.Option(
        envvar="SEQSERVE_MLFLOW", help="Also track the run in MLflow there; needs the package mlflow.", metavar="URI"
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**32 - 1, help="In place of the recipes' own, to see how far results spread."),
]
FromBundle = Annotated[
    Path | None, typer.Option(help="Folder of a bundle with weights: no recipe, no run, no data.", metavar="DIR")
]
Precisions = Annotated[
    str | None,
    typer.Option(help="With --from-bundle: fp32,int8,fp16 or fewer.", metavar="LIST", show_default="its own"),
]
Version = Annotated[
    int | None, typer.Option(min=1, help="With --from-bundle: of the new bundle.", show_default="its own")
]


def train(
    recipes: RecipeFiles,
    runs: Runs,
    models: Models = MODELS,
    max_epochs: MaxEpochs = None,
    seed: Seed = None,
    data: DataFolder = None,
    mlflow: Mlflow = None,
) -> None:
    """Train, export, measure, publish and report. A recipe whose bundle is published already is skipped.

    Under torchrun, all processes train together.
    """
    with joined_processes(os.environ) as processes:
        for path in recipes:
            with _told_when_stopped("reading the data; nothing was trained yet, the same command begins anew"):
                run = load_run(path, max_epochs, runs=runs, data=data, seed=seed)
                published = is_published(run.recipe, models, run_sha256=run.sha256)
            if not published:
                _train(run, models, processes, mlflow)
            elif processes.is_first:
                _say_published(run.recipe, models)


def export(
    context: typer.Context,
    recipe: Annotated[Path | None, typer.Argument(help="Recipe file (TOML).", metavar="[RECIPE.toml]")] = None,
    from_bundle: FromBundle = None,
    precisions: Precisions = None,
    version: Version = None,
    *,
    runs: Runs,
    models: Models = MODELS,
    max_epochs: MaxEpochs = None,
    data: DataFolder = None,
) -> None:
    """Publish the best weights that a run has so far, without training on; or a bundle anew, from its own weights."""
    if from_bundle is not None:
        _refuse_idle(context, "runs", "data", "max_epochs")
    if from_bundle is not None and recipe is None:
        wanted = None if precisions is None else parse_precisions(precisions)
        folder = publish_rebuilt(from_bundle, models, precisions=wanted, version=version)
        typer.echo(f"{from_bundle}: published {folder}")
        return
    if recipe is None or from_bundle or precisions or version:
        raise ExportError(
            "export takes RECIPE.toml alone, or --from-bundle with --precisions (fp32,int8,fp16) and --version"
        )
    run = load_run(recipe, max_epochs, runs=runs, data=data)
    if is_published(run.recipe, models, run_sha256=run.sha256):
        _say_published(run.recipe, models)
        return
    folder, evaluations = publish_run(run, restore_run(run)[0], models)
    typer.echo(f"{run.recipe.name}: published {folder}")
    say_scores(run.recipe.name, evaluations)


def _train(run: Run, models: Path, processes: Processes, mlflow: str | None) -> None:
    """Train one recipe with all processes; publish it and report with the first."""
    with _told_when_stopped(run):
        with new_progress(Console(stderr=True, quiet=not processes.is_first)) as progress:
            task, outcome = train_run(run, progress, mlflow=mlflow, processes=processes)
        if not processes.is_first:
            return
        folder, evaluations = publish_run(run, task, models)
        name = run.recipe.name
        typer.echo(f"{name}: {len(outcome.epochs)} epochs in {outcome.seconds:.0f} s, published {folder}")
        say_scores(name, evaluations)
        if mlflow is not None:
            scores = {precision: evaluation.score for precision, evaluation in evaluations.items()}
            log_scores(mlflow, scores, run_sha256=run.sha256)
        written = report_run(run, task, outcome, open_bundle(folder), evaluations)
        typer.echo(f"{name}: report {written}")


@contextmanager
def _told_when_stopped(where: Run | str) -> Iterator[None]:
    """Turn Ctrl-C into what it leaves behind: of a run, or in words."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError(where if isinstance(where, str) else what_is_kept(where)) from error


def _refuse_idle(context: typer.Context, *names: str) -> None:
    """Refuse options that --from-bundle would ignore, where the command line gives them; the environment may."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise ExportError(f"export --from-bundle reads no run and no data: {option} goes with RECIPE.toml alone")


def _say_published(recipe: Recipe, models: Path) -> None:
    folder = bundle_folder(recipe, models)
    typer.echo(f"{recipe.name}: {folder} was made from this recipe and these examples; nothing to do")
