"""The verbs together, as one command.   Loading it loads PyTorch."""

import typer

from training.commands.compare import compare, models
from training.commands.data import data_app
from training.commands.evaluate import evaluate
from training.commands.report import gates, report
from training.commands.train import export, train
from training.commands.tunes import tunes

app = typer.Typer(
    help="Train recurrent sequence models and export them as bundles.", no_args_is_help=True, add_completion=False
)
app.add_typer(data_app, name="data")
for verb in (train, export, evaluate, report, gates, tunes, compare, models):
    app.command()(verb)
