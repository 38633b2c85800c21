"""The training command line and its verbs.   A mistake is one line and exit code 2."""

import os
import signal
import sys

import typer

from service.errors import ServiceError
from training.commands.compare import compare, models
from training.commands.data import data_app
from training.commands.evaluate import evaluate
from training.commands.report import gates, report
from training.commands.train import export, train
from training.commands.tunes import tunes
from training.errors import LostProcessError, StoppedError, TrainingError

USER_ERROR, INTERRUPTED = 2, 130

app = typer.Typer(
    help="Train recurrent sequence models and export them as bundles.", no_args_is_help=True, add_completion=False
)
app.add_typer(data_app, name="data")
for verb in (train, export, evaluate, report, gates, tunes, compare, models):
    app.command()(verb)


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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: so torchrun and clusters stop a run
    main()
