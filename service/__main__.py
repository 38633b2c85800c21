"""The service's command line: serve, check, health.   Turns an error into one line and an exit code."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from service.app import serve as serve_until_stopped
from service.bundle.store import open_bundle
from service.errors import ServiceError
from service.runtime.models import is_for, load_model
from service.serving.engines.exactness import prove_exact
from service.settings import parse_settings
from service.transport.standard.probe import probe_health

USER_ERROR = 2

app = typer.Typer(
    help="Serve bundles of recurrent sequence models over gRPC.", no_args_is_help=True, add_completion=False
)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context) -> None:
    """Serve a folder of bundles. `serve --help` lists the settings."""
    settings = parse_settings(context.args)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    logging.getLogger(__name__).info("settings %s", settings)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # texts come one by one: a hop to its threads only costs
    uvloop.run(serve_until_stopped(settings))  # a call takes several turns of the loop, and theirs cost less


@app.command()
def check(
    bundle: Annotated[Path, typer.Argument(help="Folder of one bundle: REPOSITORY/NAME/VERSION.")],
    device: Annotated[str, typer.Option(help="Where to run it: cpu or cuda.")] = "cpu",
) -> None:
    """Check a bundle as the server would: files, hashes, graphs, and every recorded run on this machine.

    Then ask each variant the same things alone and in changing company: on a CPU, not a bit of an answer may differ.
    """
    begun = time.monotonic()
    opened = open_bundle(bundle)
    for precision in opened.manifest.variants:
        if precision != opened.manifest.default_precision and not is_for(precision, device):
            typer.echo(f"{precision}: not proven on {device}, it is for cuda alone")
            continue
        model = load_model(opened, precision=precision, provider=device)
        typer.echo(f"{precision}: proven on {model.provider}; {prove_exact(model, where=f'{bundle}: {precision}')}")
    manifest = opened.manifest
    seconds = time.monotonic() - begun
    typer.echo(f"{manifest.name}@{manifest.version} ({manifest.spec.task}) is sound: {seconds:.2f} s")


@app.command()
def health(
    target: Annotated[str, typer.Option(envvar="SEQSERVE_TARGET", help="HOST:PORT of the server.")] = "127.0.0.1:50051",
    service: Annotated[str, typer.Option(help="Service name or model name; empty asks for the whole server.")] = "",
    timeout_seconds: Annotated[float, typer.Option(help="Longest wait, in seconds.")] = 2.0,
) -> None:
    """Ask a running server for its health. Exit code 0 if it says SERVING, else 1."""
    answer = probe_health(target, service, timeout_seconds)
    typer.echo(answer)
    raise typer.Exit(0 if answer == "SERVING" else 1)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except ServiceError as error:
        typer.echo(f"error: {error.message}", err=True)
        sys.exit(USER_ERROR)


if __name__ == "__main__":
    main()
