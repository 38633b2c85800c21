"""Trains the rows of a comparison and measures them, one by one; what was measured before is left as it is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rich.progress import Progress

from training.comparison.plan import Comparison
from training.comparison.results import Measurement
from training.data.examples import AnySplits, Splits
from training.evaluation.evaluate import evaluate_bundle
from training.evaluation.speed import measure_speed
from training.export.bundle import draft_bundle
from training.pipeline import Run, open_run, train_run
from training.run.checkpoint import load_checkpoint
from training.run.loop import LAST
from training.run.machine import describe_machine


@dataclass(frozen=True)
class Places:
    """Where recipes' files, data and runs are."""

    files: Path
    data: Path | None
    runs: Path


def missing_measurements(
    comparison: Comparison, known: list[Measurement], places: Places, progress: Progress
) -> Iterator[Measurement]:
    """Measure what is not known, seed by seed and row by row, so that a table is whole early and then gets surer.

    Args:
        comparison: what to compare.
        known: what was measured before, of any comparison.
        places: where things are.
        progress: as `training.run.loop.train`.

    Raises:
        RecipeError, DataError, CheckpointError, DivergedError: as `open_run` and `train_run`.
    """
    done = {one.run_sha256 for one in known}
    recipes = comparison.recipes()
    for seed in comparison.seeds:
        for row, recipe in recipes.items():
            seeded = recipe.model_copy(update={"seed": seed})
            run = open_run(seeded, runs=places.runs, data_folder=places.data, files_folder=places.files)
            if run.sha256 not in done:
                yield _measured(comparison, row, run, progress)


def _measured(comparison: Comparison, row: str, run: Run, progress: Progress) -> Measurement:
    """Train and measure on validation examples: test examples are for models that are published."""
    task, outcome = train_run(run, progress)
    begun = load_checkpoint(run.folder / LAST, run_sha256=run.sha256).beginning
    bundle = draft_bundle(task, run_sha256=run.sha256).opened()
    validation = cast("AnySplits", replace(cast("Splits[Any]", run.splits), test=run.splits.validation))
    recipe = run.recipe
    score = evaluate_bundle(bundle, validation, settings=recipe.evaluation, continuous=recipe.continuous).score
    return Measurement(
        comparison=comparison.title,
        row=row,
        seed=recipe.seed,
        run_sha256=run.sha256,
        measure=score.name,
        value=score.value,
        decimals=score.decimals,
        parameter_count=bundle.manifest.architecture.parameter_count,
        seconds=outcome.seconds,
        speed=measure_speed(bundle, validation),
        machine=describe_machine(recipe.training),
        begun_time=begun.time if begun else "",
        commit=begun.commit if begun else "",
    )
