"""What a card tells of a run, put together.   Plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.data.examples import AnySplits
from training.preparation.prepare import AnyTask
from training.run.checkpoint import Checkpoint, Epoch
from training.settings.recipe import Recipe
from training.tasks.base import Text
from training.tasks.classification import ClassificationTask
from training.tasks.generation import TextsTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask


@dataclass(frozen=True)
class RunRecord:
    """A run at its end.

    Attributes:
        recipe: it was trained by.
        splits: the recipe's examples, whole.
        checkpoint: its last one.
        left_out: training examples that were not learnt from, because of their length.
        pretraining: recipe and last checkpoint of the runs that it begins from, the nearest first.
    """

    recipe: Recipe
    splits: AnySplits
    checkpoint: Checkpoint
    left_out: int = 0
    pretraining: Sequence[tuple[Recipe, Checkpoint]] = ()

    @property
    def corpora(self) -> list[str | None]:
        """Every corpus that has gone into it, its own first; None: a user's own files."""
        return [one.data.corpus for one in (self.recipe, *(begun for begun, _ in self.pretraining))]


def left_out_count(task: AnyTask, splits: AnySplits) -> int:
    """Count the training examples that a task does not learn from: too long, empty, or without any label.

    What is read in windows leaves nothing out.
    """
    match task:
        case ClassificationTask() | TextsTask():
            kept = len(task.sequences)
        case LabellingTask() if isinstance(task.reads, Text):
            kept = len(task.sequences)
        case TranslationTask():
            kept = len(task.sources)
        case _:
            return 0
    count = len(splits.training)
    return min(count, task.recipe.data.max_examples or count) - kept


def duration(epochs: Sequence[Epoch]) -> str:
    """Say how long a training took."""
    return f"{len(epochs)} epochs in {sum(epoch.seconds for epoch in epochs):.0f} s"
