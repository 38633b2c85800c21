"""From a recipe to a published bundle: load, train, export, measure, publish.   Joins steps that are elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from training.checkpoint import load_checkpoint
from training.data.examples import AnySplits
from training.data.load import load_examples
from training.evaluate import Evaluations, evaluate_variants
from training.export.bundle import draft_bundle
from training.export.card import write_card
from training.loop import BEST, LAST, TrainingOutcome, best_epoch, train
from training.prepare import AnyTask, prepare
from training.provenance import run_sha256
from training.settings import Recipe


@dataclass(frozen=True)
class Run:
    """A recipe with its examples and the folder of its checkpoints."""

    recipe: Recipe
    splits: AnySplits
    sha256: str
    folder: Path


def open_run(recipe: Recipe, *, runs: Path, data_folder: Path | None, files_folder: Path) -> Run:
    """Load the examples and name the folder after everything that decides the result.

    Args:
        recipe: what to train.
        runs: where the folder will be.
        data_folder: of the real corpora.
        files_folder: of the recipe, whose own files are named relative to it.

    Raises:
        DataError: the corpus or a file is missing or damaged.
    """
    splits = load_examples(recipe.data, data_folder=data_folder, files_folder=files_folder)
    sha256 = run_sha256(recipe, splits)
    return Run(recipe, splits, sha256, runs / f"{recipe.name}-{recipe.version}-{sha256[:8]}")


def train_run(run: Run, progress: Progress) -> tuple[AnyTask, TrainingOutcome]:
    """Train, or go on where the last checkpoint stands; the model holds the best weights.

    Raises:
        RecipeError, DataError, CheckpointError: see `prepare` and `train`.
    """
    task = prepare(run.recipe, run.splits)
    return task, train(task, run.folder, run_sha256=run.sha256, progress=progress)


def restore_run(run: Run) -> tuple[AnyTask, TrainingOutcome]:
    """Load the best weights that a run has so far.

    Raises:
        CheckpointError: it has none.
    """
    last = load_checkpoint(run.folder / LAST, run_sha256=run.sha256)
    best = load_checkpoint(run.folder / BEST, run_sha256=run.sha256)
    task = prepare(run.recipe, run.splits)
    task.model.load_state_dict(best.weights)
    task.model.eval()
    return task, TrainingOutcome(last.epochs, best_epoch(last.epochs, higher_is_better=task.higher_is_better))


def publish_run(run: Run, task: AnyTask, outcome: TrainingOutcome, models: Path) -> tuple[Path, Evaluations]:
    """Export, prove and measure a trained model, and publish it with its card.

    Raises:
        ExportError: the version is there already.
        BundleError: the graphs do not give what PyTorch gives.
    """
    draft = draft_bundle(task, run_sha256=run.sha256)
    evaluations = evaluate_variants(draft.opened(), run.splits, continuous=run.recipe.continuous)
    card = write_card(draft.manifest, run.recipe, run.splits, outcome.epochs, evaluations)
    return draft.publish(card, models), evaluations
