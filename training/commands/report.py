"""The verbs `report` and `gates`: look at a run that was trained before.   Train nothing."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.arguments import MODELS, DataFolder, MaxEpochs, Models, RecipeFile, Runs
from training.evaluation.gates import trace_gates
from training.pipeline import evaluate_run, exported_bundle, load_run, report_run, restore_run
from training.reporting.heat_maps import draw_gates
from training.reporting.report import write_whole

_STEPS_DRAWN = 60
"""What fits a picture; a layer adds to its height."""


def report(
    recipe: RecipeFile,
    text: Annotated[
        str | None,
        typer.Option(help="What the model reads while its gates are drawn.", show_default="a test example"),
    ] = None,
    *,
    runs: Runs,
    models: Models = MODELS,
    max_epochs: MaxEpochs = None,
    data: DataFolder = None,
) -> None:
    """Write the report of a run again, as `train` does at its end; the best weights so far will do."""
    run = load_run(recipe, max_epochs, runs=runs, data=data)
    task, outcome = restore_run(run)
    bundle = exported_bundle(run, task, models)
    typer.echo(report_run(run, task, outcome, bundle, evaluate_run(run, bundle), text=text))


def gates(
    recipe: RecipeFile,
    text: Annotated[
        str, typer.Argument(help="What the model reads; of readings, rows as `temperature=9.5 wind=3; wind=4`.")
    ],
    output: Annotated[Path, typer.Option(help="The picture (PNG) to write.", metavar="FILE")],
    runs: Runs,
    max_epochs: MaxEpochs = None,
    data: DataFolder = None,
) -> None:
    """Draw the gates of a trained model over a text, layer by layer; of a translator also over what it writes.

    Of a longer text, the first 60 tokens are read.
    """
    run = load_run(recipe, max_epochs, runs=runs, data=data)
    task, _ = restore_run(run)
    layers = trace_gates(task, text, limit=_STEPS_DRAWN)
    typer.echo(write_whole(output, draw_gates(layers)))
