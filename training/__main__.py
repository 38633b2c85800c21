"""The training command line: train, export, evaluate, report, gates, data.   A mistake is one line and exit code 2."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.bundle.manifest import Manifest
from service.bundle.store import open_bundle
from service.errors import ServiceError
from training.command_arguments import DataFolder, RecipeFile
from training.data.examples import AnySplits
from training.data.load import load_corpus, load_examples
from training.data_command import data_app
from training.distributed import Processes, joined_processes
from training.errors import ExportError, LostProcessError, RecipeError, StoppedError, TrainingError
from training.evaluate import Evaluations, evaluate_variants
from training.export.bundle import bundle_folder, is_published
from training.export.rebuild import parse_precisions, publish_rebuilt
from training.inspection import trace_gates
from training.loop import new_progress
from training.pipeline import (
    Run,
    evaluate_run,
    exported_bundle,
    open_run,
    publish_run,
    report_run,
    restore_run,
    train_run,
    what_is_kept,
)
from training.provenance import run_sha256
from training.reporting.heat_maps import draw_gates
from training.settings import Recipe, load_recipe
from training.tracking.mlflow import log_scores

USER_ERROR, INTERRUPTED = 2, 130
RECIPES = Path(__file__).parent / "recipes"

app = typer.Typer(
    help="Train recurrent sequence models and export them as bundles.", no_args_is_help=True, add_completion=False
)
app.add_typer(data_app, name="data")

RecipeFiles = Annotated[list[Path], typer.Argument(help="Recipe files (TOML).", metavar="RECIPE.toml")]
Runs = Annotated[Path, typer.Option(help="Folder of checkpoints.", metavar="DIR")]
Models = Annotated[Path, typer.Option(help="Model repository where bundles are published.", metavar="DIR")]
MaxEpochs = Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs, whatever the recipe says.")]
Mlflow = Annotated[
    str | None,
    typer.Option(
        envvar="SEQSERVE_MLFLOW", help="Also track the run in MLflow there; needs the package mlflow.", metavar="URI"
    ),
]

FromBundle = Annotated[
    Path | None, typer.Option(help="Folder of a bundle with weights: no recipe, no run, no data.", metavar="DIR")
]
Precisions = Annotated[
    str | None, typer.Option(help="With --from-bundle: fp32,int8,fp16 or fewer [default: its own].", metavar="LIST")
]
Version = Annotated[int | None, typer.Option(min=1, help="With --from-bundle: of the new bundle [default: its own].")]

_RUNS, _MODELS = Path(".build/runs"), Path(".build/models")


@app.command()
def train(
    recipes: RecipeFiles,
    runs: Runs = _RUNS,
    models: Models = _MODELS,
    max_epochs: MaxEpochs = None,
    data: DataFolder = None,
    mlflow: Mlflow = None,
) -> None:
    """Train, export, measure, publish and report. A recipe whose bundle is published already is skipped.

    Under torchrun, all processes train together.
    """
    with joined_processes(os.environ) as processes:
        for path in recipes:
            with _told_when_stopped("reading the data; nothing was trained yet, the same command begins anew"):
                run = _opened(path, max_epochs, runs=runs, data=data)
                published = is_published(run.recipe, models, run_sha256=run.sha256)
            if not published:
                _train(run, models, processes, mlflow)
            elif processes.is_first:
                _say_published(run.recipe, models)


@app.command()
def export(
    context: typer.Context,
    recipe: Annotated[Path | None, typer.Argument(help="Recipe file (TOML).", metavar="[RECIPE.toml]")] = None,
    from_bundle: FromBundle = None,
    precisions: Precisions = None,
    version: Version = None,
    *,
    runs: Runs = _RUNS,
    models: Models = _MODELS,
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
    run = _opened(recipe, max_epochs, runs=runs, data=data)
    if is_published(run.recipe, models, run_sha256=run.sha256):
        _say_published(run.recipe, models)
        return
    folder, evaluations = publish_run(run, *restore_run(run), models)
    typer.echo(f"{run.recipe.name}: published {folder}")
    _say_scores(run.recipe.name, evaluations)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of one bundle: REPOSITORY/NAME/VERSION.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe that names the corpus [default: the bundle's own].", metavar="RECIPE.toml"),
    ] = None,
    beam_size: Annotated[
        int | None, typer.Option(min=1, help="How wide a translator searches [default: as the recipe says].")
    ] = None,
    data: DataFolder = None,
) -> None:
    """Measure a bundle on its corpus's test examples, through the service's own engine."""
    opened = open_bundle(bundle)
    path = recipe or _own_recipe(opened.manifest)
    found = load_recipe(path)
    splits = load_examples(found.data, data_folder=data, files_folder=path.parent)
    _warn_of_other_origin(opened.manifest, path, splits, data)
    settings = found.evaluation
    if beam_size is not None:
        settings = settings.model_copy(update={"beam_size": beam_size})
    others = {name: load_corpus(name, data) for name in settings.corpora}
    evaluations = evaluate_variants(opened, splits, settings=settings, continuous=found.continuous, others=others)
    _say_scores(f"{opened.manifest.name}@{opened.manifest.version}", evaluations)


@app.command()
def report(
    recipe: RecipeFile,
    text: Annotated[
        str | None, typer.Option(help="What the model reads while its gates are drawn [default: a test example].")
    ] = None,
    runs: Runs = _RUNS,
    models: Models = _MODELS,
    max_epochs: MaxEpochs = None,
    data: DataFolder = None,
) -> None:
    """Write the report of a run again, as `train` does at its end; the best weights so far will do."""
    run = _opened(recipe, max_epochs, runs=runs, data=data)
    task, outcome = restore_run(run)
    bundle = exported_bundle(run, task, models)
    evaluations = evaluate_run(run, bundle)
    typer.echo(report_run(run, task, outcome, bundle, evaluations, text=text))


@app.command()
def gates(
    recipe: RecipeFile,
    text: Annotated[
        str, typer.Argument(help="What the model reads; of readings, rows as `temperature=9.5 wind=3; wind=4`.")
    ],
    output: Annotated[Path, typer.Option(help="The picture (PNG) to write.", metavar="FILE")],
    runs: Runs = _RUNS,
    max_epochs: MaxEpochs = None,
    data: DataFolder = None,
) -> None:
    """Draw the gates of a trained model's first layer over a text."""
    run = _opened(recipe, max_epochs, runs=runs, data=data)
    task, _ = restore_run(run)
    signals, tokens = trace_gates(task, text)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(draw_gates(signals, tokens))
    typer.echo(output)


def main() -> None:
    """Run the command line. Of processes that train together the first one speaks, or whoever is left."""
    is_first = os.environ.get("RANK", "0") == "0"
    try:
        app()
    except SystemExit as exit_:  # of Typer, which knows Ctrl-C as a number
        if exit_.code == INTERRUPTED and is_first:
            typer.echo("stopped", err=True)
        raise
    except StoppedError as error:
        if is_first:
            typer.echo(f"stopped: {error}", err=True)
        sys.exit(INTERRUPTED)
    except (TrainingError, ServiceError) as error:
        if is_first or isinstance(error, LostProcessError):
            typer.echo(f"error: {error}", err=True)
        sys.exit(USER_ERROR)
    except OSError as error:
        typer.echo(f"error: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(USER_ERROR)


def _train(run: Run, models: Path, processes: Processes, mlflow: str | None) -> None:
    """Train one recipe with all processes; publish it and report with the first."""
    with _told_when_stopped(run):
        with new_progress(Console(stderr=True, quiet=not processes.is_first)) as progress:
            task, outcome = train_run(run, progress, mlflow=mlflow, processes=processes)
        if not processes.is_first:
            return
        folder, evaluations = publish_run(run, task, outcome, models)
        name = run.recipe.name
        typer.echo(f"{name}: {len(outcome.epochs)} epochs in {outcome.seconds:.0f} s, published {folder}")
        _say_scores(name, evaluations)
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


def _opened(recipe: Path, max_epochs: int | None, *, runs: Path, data: Path | None) -> Run:
    found = load_recipe(recipe)
    return open_run(found, runs=runs, data_folder=data, files_folder=recipe.parent, max_epochs=max_epochs)


def _refuse_idle(context: typer.Context, *names: str) -> None:
    """Refuse options that --from-bundle would ignore, where the command line gives them; the environment may."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise ExportError(f"export --from-bundle reads no run and no data: {option} goes with RECIPE.toml alone")


def _own_recipe(manifest: Manifest) -> Path:
    """Find the recipe that a bundle names, among those that come with the project."""
    path = RECIPES / f"{manifest.producer.recipe}.toml"
    if not path.is_file():
        raise RecipeError(
            f"{manifest.name}@{manifest.version} is of recipe {manifest.producer.recipe!r}, not among those in "
            f"{RECIPES}: name its file by --recipe"
        )
    return path


def _warn_of_other_origin(manifest: Manifest, path: Path, splits: AnySplits, data: Path | None) -> None:
    """Say when a bundle is scored by another recipe or on other data than its own: on purpose it is no mistake."""
    recipe, own = load_recipe(path), manifest.producer.recipe_sha256
    try:
        chained = recipe.pretraining is not None
        sha256 = _opened(path, None, runs=_RUNS, data=data).sha256 if chained else run_sha256(recipe, splits)
    except TrainingError as error:  # the score needs none of what pretraining reads
        typer.echo(f"warning: {path}: cannot be compared with the bundle's recipe: {error}", err=True)
        return
    if sha256 != own:
        typer.echo(
            f"warning: {path}: recipe or data are not those the bundle was made from (SHA-256 {sha256[:8]}, the "
            f"bundle's {own[:8]}); a bundle made with --max-epochs has another recipe too",
            err=True,
        )


def _say_published(recipe: Recipe, models: Path) -> None:
    folder = bundle_folder(recipe, models)
    typer.echo(f"{recipe.name}: {folder} was made from this recipe and these examples; nothing to do")


def _say_scores(name: str, evaluations: Evaluations) -> None:
    for precision, evaluation in evaluations.items():
        typer.echo(f"{name}: {evaluation.score}" + (f" ({precision})" if len(evaluations) > 1 else ""))
    default = next(iter(evaluations.values()))
    for score in (*default.further, default.baseline, *default.other_baselines):
        typer.echo(f"{name}: {score}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: so torchrun and clusters stop a run
    main()
