"""A run as a card is told of it, for models that no run has trained."""

from training.data.examples import AnySplits
from training.export.sections.record import RunRecord
from training.run.checkpoint import Checkpoint, Epoch
from training.settings.recipe import Recipe


def run_record(recipe: Recipe, splits: AnySplits, *, seconds: float = 1.0) -> RunRecord:
    """One epoch that took so long, of a run whose checkpoint knows nothing else."""
    return RunRecord(recipe, splits, Checkpoint("a" * 64, (Epoch(1, 2.0, 50.0, seconds),), {}))
