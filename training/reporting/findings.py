"""All that a report is made from."""

from dataclasses import dataclass

from service.bundle.store import OpenedBundle
from training.data.examples import AnySplits, LabelledSeries
from training.evaluation.evaluate import Evaluations
from training.preparation.prepare import AnyTask
from training.run.loop import TrainingOutcome
from training.scoring.scores import Evaluation
from training.settings.recipe import Recipe


@dataclass(frozen=True)
class Findings:
    """A trained task, the bundle that was made of it, and what that reached.

    Attributes:
        task: holds the best weights.
        splits: whole, as they were read.
        outcome: of the training.
        bundle: exported.
        evaluations: of every variant of the bundle, the default first.
    """

    task: AnyTask
    splits: AnySplits
    outcome: TrainingOutcome
    bundle: OpenedBundle
    evaluations: Evaluations

    @property
    def recipe(self) -> Recipe:
        """What was trained."""
        return self.task.recipe

    @property
    def step_name(self) -> str:
        """What an example is a sequence of."""
        return "step" if isinstance(self.splits.test[0], LabelledSeries) else "token"

    @property
    def evaluation(self) -> Evaluation:
        """Of the default variant."""
        return next(iter(self.evaluations.values()))

    @property
    def best_epoch(self) -> float:
        """Passes over the training examples before the weights that were kept; 2.5 is within the third."""
        updates_per_epoch = -(-self.task.batch_count() // self.recipe.training.accumulate)
        return self.outcome.best.step / updates_per_epoch
