"""From a recipe to a published bundle: load, train, export, measure, publish, report.   Joins what is elsewhere."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from rich.progress import Progress

from service.bundle.store import OpenedBundle, open_bundle
from training.data.examples import AnySplits, LabelledSeries
from training.data.load import load_corpus, load_examples
from training.errors import RecipeError
from training.evaluation.evaluate import Evaluations, evaluate_variants
from training.export.bundle import bundle_folder, draft_bundle, is_published
from training.export.card import write_card
from training.export.sections.record import RunRecord, left_out_count
from training.optimization.distributed import ALONE, Processes
from training.preparation.prepare import AnyTask, prepare
from training.preparation.pretraining import Pretrained
from training.preparation.pretraining_chain import pretraining_chain
from training.preparation.provenance import run_sha256
from training.reporting.findings import Findings
from training.reporting.report import write_report
from training.run.checkpoint import load_checkpoint
from training.run.loop import BEST, LAST, TrainingOutcome, best_validation, train
from training.run.observers import Observer
from training.settings.recipe import Recipe, load_recipe
from training.tracking.log_file import LogFile
from training.tracking.mlflow import open_mlflow_run
from training.tracking.tensorboard import open_event_files


@dataclass(frozen=True)
class Run:
    """A recipe with its examples and the folder of its checkpoints."""

    recipe: Recipe
    splits: AnySplits
    sha256: str
    folder: Path
    pretraining: "Run | None" = None
    """The run of the model whose weights this one begins from."""
    others: Mapping[str, AnySplits] = field(default_factory=dict)
    """Further corpora, by name, that the bundle is scored on."""

    @property
    def begins_from(self) -> "Iterator[Run]":
        """The runs before this one, the nearest first."""
        run = self.pretraining
        while run is not None:
            yield run
            run = run.pretraining


def load_run(recipe: Path, max_epochs: int | None, *, runs: Path, data: Path | None, seed: int | None = None) -> Run:
    """Read a recipe's file and open its run, with another seed if one is given; else as `load_recipe`, `open_run`."""
    found = load_recipe(recipe)
    if seed is not None:
        found = found.model_copy(update={"seed": seed})
    return open_run(found, runs=runs, data_folder=data, files_folder=recipe.parent, max_epochs=max_epochs)


def open_run(
    recipe: Recipe,
    *,
    runs: Path,
    data_folder: Path | None,
    files_folder: Path,
    max_epochs: int | None = None,
) -> Run:
    """Load the examples and name the folder after everything that decides the result.

    Args:
        recipe: what to train.
        runs: where the folder will be.
        data_folder: of the real corpora.
        files_folder: of the recipe, whose own files (and pretraining recipe) are named relative to it.
        max_epochs: train no longer than that, whatever the recipe, or the one it begins from, says.

    Raises:
        DataError: the corpus or a file is missing or damaged.
        RecipeError: the pretraining recipe is missing or wrong, is for another task, or goes in a circle; or there is
            one, and examples are readings.
    """
    run = None
    for one, folder in reversed([(recipe, files_folder), *pretraining_chain(recipe, files_folder)]):
        splits = load_examples(one.data, data_folder=data_folder, files_folder=folder)
        reads_text = not splits.training or not isinstance(splits.training[0], LabelledSeries)
        if recipe.pretraining is not None and not reads_text:
            raise RecipeError(f"recipe {one.name}: {one.data.origin} holds readings, which no pretraining is for")
        run = _run_of(_shortened(one, max_epochs), splits, runs, run)
    others = {name: load_corpus(name, data_folder) for name in recipe.evaluation.corpora}
    return replace(cast("Run", run), others=others)


def _run_of(recipe: Recipe, splits: AnySplits, runs: Path, pretraining: Run | None) -> Run:
    sha256 = run_sha256(recipe, splits, pretraining=None if pretraining is None else pretraining.sha256)
    return Run(recipe, splits, sha256, runs / f"{recipe.name}-{recipe.version}-{sha256[:8]}", pretraining)


def _shortened(recipe: Recipe, max_epochs: int | None) -> Recipe:
    if max_epochs is None or max_epochs >= recipe.training.epochs:
        return recipe
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": max_epochs})})


def train_run(
    run: Run, progress: Progress, *, mlflow: str | None = None, processes: Processes = ALONE
) -> tuple[AnyTask, TrainingOutcome]:
    """Train, or go on where the last checkpoint stands; the model holds the best weights.

    A model that it begins from is trained before it, in the same way.

    Args:
        run: what to train; `log.txt` and event files for TensorBoard go into its folder.
        progress: as `train`.
        mlflow: where the numbers go besides, if anywhere; see `open_mlflow_run`.
        processes: as `train`.

    Raises:
        RecipeError, DataError, CheckpointError, DivergedError, LostProcessError: see `prepare` and `train`.
        TrackingError: see `open_mlflow_run`.
    """
    pretrained = None
    if run.pretraining is not None:
        begun, _ = train_run(run.pretraining, progress, mlflow=mlflow, processes=processes)
        pretrained = Pretrained.of(begun)
    task = prepare(run.recipe, run.splits, pretrained)
    with ExitStack() as stack:
        observers: list[Observer] = []
        if processes.is_first:
            observers.append(LogFile(run.folder, run.recipe, metric=task.metric))
            observers.append(stack.enter_context(open_event_files(run.folder, metric=task.metric)))
        if processes.is_first and mlflow is not None:
            tracked = open_mlflow_run(mlflow, run.recipe, run_sha256=run.sha256, metric=task.metric)
            observers.append(stack.enter_context(tracked))
        outcome = train(
            task, run.folder, run_sha256=run.sha256, progress=progress, observers=observers, processes=processes
        )
    return task, outcome


def restore_run(run: Run) -> tuple[AnyTask, TrainingOutcome]:
    """Load the best weights that a run has so far.

    Raises:
        CheckpointError: it has none.
    """
    last = load_checkpoint(run.folder / LAST, run_sha256=run.sha256)
    best = load_checkpoint(run.folder / BEST, run_sha256=run.sha256)
    pretrained = None if run.pretraining is None else Pretrained.of(restore_run(run.pretraining)[0])
    task = prepare(run.recipe, run.splits, pretrained)
    task.model.load_state_dict(best.weights)
    task.model.eval()
    return task, TrainingOutcome(last.epochs, best_validation(last.validations, higher_is_better=task.higher_is_better))


def what_is_kept(run: Run) -> str:
    """Say what a run that is stopped now has on disk, and how it goes on, in one line."""
    path = run.folder / LAST
    if not path.exists():
        return f"{path.parent} holds no checkpoint yet; the same command begins anew"
    kept = load_checkpoint(path, run_sha256=run.sha256)
    epochs = f"{len(kept.epochs)} of {run.recipe.training.epochs} epochs"
    return f"{path} keeps {epochs} and {kept.step} updates; the same command goes on from there"


def publish_run(run: Run, task: AnyTask, models: Path) -> tuple[Path, Evaluations]:
    """Export, prove and measure a trained model, and publish it with its card, which tells what its checkpoint knows.

    Raises:
        CheckpointError: the run, or one that it begins from, has none.
        ExportError: the version is there already, or the graphs do not give what PyTorch gives.
        BundleError: the service refuses what was exported.
    """
    draft = draft_bundle(task, run_sha256=run.sha256)
    evaluations = evaluate_run(run, draft.opened())
    last, *before = (load_checkpoint(one.folder / LAST, run_sha256=one.sha256) for one in (run, *run.begins_from))
    begun = [(one.recipe, checkpoint) for one, checkpoint in zip(run.begins_from, before, strict=True)]
    record = RunRecord(run.recipe, run.splits, last, left_out_count(task, run.splits), begun)
    return draft.publish(write_card(draft, record, evaluations), models), evaluations


def evaluate_run(run: Run, bundle: OpenedBundle) -> Evaluations:
    """Score a run's bundle as its recipe says.   Errors as `evaluate_bundle`."""
    recipe = run.recipe
    return evaluate_variants(
        bundle, run.splits, settings=recipe.evaluation, continuous=recipe.continuous, others=run.others
    )


def exported_bundle(run: Run, task: AnyTask, models: Path) -> OpenedBundle:
    """Return the bundle that is published of this run, or what would be.

    Raises:
        ExportError: another bundle stands in its place.
    """
    if is_published(run.recipe, models, run_sha256=run.sha256):
        return open_bundle(bundle_folder(run.recipe, models))
    return draft_bundle(task, run_sha256=run.sha256).opened()


def report_run(
    run: Run,
    task: AnyTask,
    outcome: TrainingOutcome,
    bundle: OpenedBundle,
    evaluations: Evaluations,
    *,
    text: str | None = None,
) -> Path:
    """Write the report into the run's folder and return its path; `text` as `example` of `write_report`."""
    findings = Findings(task, run.splits, outcome, bundle, evaluations)
    return write_report(findings, run.folder, written=datetime.now(UTC), example=text)
