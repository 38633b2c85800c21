"""The verbs `compare` and `models`: measure architectures side by side, and write the page that shows all models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.bundle.store import OpenedBundle, open_bundle
from training.commands.arguments import DataFolder, Runs
from training.comparison.page import PublishedModel, write_page
from training.comparison.plan import load_comparison
from training.comparison.results import Measurement, TrainedModel, read_results, write_results
from training.comparison.runs import Places, missing_measurements
from training.comparison.tables import REPOSITORY, fill_pages
from training.run.loop import new_progress

_RESULTS, _OTHERS, _PAGE = Path("docs/comparisons.json"), Path("docs/other-models.json"), Path("docs/models.md")
_PUBLISHED, _README = Path(REPOSITORY), "README.md"

Results = Annotated[Path, typer.Option(help="What was measured so far.", metavar="FILE.json")]


def compare(
    comparisons: Annotated[list[Path], typer.Argument(help="Files of comparisons (TOML).", metavar="COMPARISON.toml")],
    results: Results = _RESULTS,
    *,
    runs: Runs,
    data: DataFolder = None,
) -> None:
    """Train the rows of comparisons and measure them. What was measured before is kept; a stopped run goes on."""
    measured = read_results(results, Measurement)
    for path in comparisons:
        comparison = load_comparison(path)
        places = Places(path.parent, data, runs)
        with new_progress(Console(stderr=True)) as progress:
            for one in missing_measurements(comparison, measured, places, progress):
                measured = [*(old for old in measured if not old.is_of_the_row(one)), one]
                write_results(results, measured)
                value = f"{one.measure} {one.value:.{one.decimals}f}"
                typer.echo(f"{one.comparison}: {one.row}, seed {one.seed}: {value}, {one.seconds:.0f} s")


def models(
    repositories: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of bundles: published ones first, then other seeds of them, and what is not published.",
            metavar="[DIR]...",
            show_default=str(_PUBLISHED),
        ),
    ] = None,
    results: Results = _RESULTS,
    kept: Annotated[
        Path, typer.Option("--others", help="What further folders held so far.", metavar="FILE.json")
    ] = _OTHERS,
    output: Annotated[Path, typer.Option(help="The page to write.", metavar="FILE.md")] = _PAGE,
) -> None:
    """Write the page of all models and comparisons, from the bundles' cards and what `compare` measured.

    What further folders hold is kept in a file (--others), and goes into the page when they are not named again. Where
    the first folder is bundles/, the tables in README.md and bundles/README.md are written, too.
    """
    published, *folders = repositories or [_PUBLISHED]
    found = [PublishedModel.of(bundle) for bundle in _bundles(published)]
    given = [PublishedModel.of(bundle).trained for folder in folders for bundle in _bundles(folder)]
    others = [*(old for old in read_results(kept, TrainedModel) if not any(map(old.is_of_the_run, given))), *given]
    others = [one for one in others if not any(one.is_of_the_run(model.trained) for model in found)]
    if given:
        write_results(kept, others)
    page = write_page([model.trained for model in found], others, read_results(results, Measurement))
    output.write_text(page)
    pages = fill_pages([Path(_README), published / _README], found) if published == _PUBLISHED else []
    for written in (output, *pages):
        typer.echo(written)


def _bundles(repository: Path) -> Iterator[OpenedBundle]:
    for manifest in sorted(repository.glob("*/*/manifest.json")):
        yield open_bundle(manifest.parent)
