"""The card's sections on what a bundle reaches and where it fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.evaluation.evaluate import Evaluations
from training.evaluation.spread import spread
from training.export.origins import origin_of
from training.export.sections.training import is_own
from training.scoring.answers import LabelAnswers
from training.scoring.confusion import confuse
from training.scoring.scores import Evaluation, Score, quoted, quoted_briefly
from training.settings.recipe import Recipe

_CONFUSION_LABELS = 20
"""Most labels of a confusion matrix that still fits a page."""
_UNREPEATED = "One run, seed {seed}"
_UNASKED = "; whether others are on record, and how far they spread, is in the project's docs/models.md"
_ALONE = "; no other seed of it is on record"


@dataclass(frozen=True)
class OtherRun:
    """What the same recipe reached with another seed on the same data.

    Attributes:
        seed: its own.
        scores: of its default variant, as its card shows them, by their names.
    """

    seed: int
    scores: Mapping[str, str]


def describe_scores(recipe: Recipe, evaluations: Evaluations, other_runs: Sequence[OtherRun] | None = None) -> str:
    """Return the section on scores: those of every variant, the default first, and what they are compared with.

    Args:
        recipe: of the bundle, with its own seed.
        evaluations: of its variants, the default first.
        other_runs: every one that is on record; None: nobody has looked.
    """
    default = next(iter(evaluations.values()))
    parts = [
        _table(evaluations),
        "On the test examples, measured on this bundle through the service's own engine, as "
        "`python -m training evaluate BUNDLE` does again.",
        f"Asked so: {', '.join(default.asked)}." if default.asked else "",
        _describe_runs(recipe, default, other_runs),
        describe_confusion(default),
        describe_reported(recipe),
    ]
    return "\n\n".join(filter(None, parts))


def _describe_runs(recipe: Recipe, own: Evaluation, others: Sequence[OtherRun] | None) -> str:
    """Say how far the scores of the default variant spread over seeds, as far as that is known."""
    if not others:
        unknown = _UNASKED if is_own(recipe) else ""
        return f"{_UNREPEATED.format(seed=recipe.seed)}{unknown if others is None else _ALONE}."
    seeds = sorted([recipe.seed, *(run.seed for run in others)])
    known = [score for score in (own.score, *own.further) if all(score.name in run.scores for run in others)]
    values = {
        score: [float(shown) for shown in (score.shown, *(run.scores[score.name] for run in others))] for score in known
    }
    spreads = [f"{score.name} {spread(of_all, score.decimals)}" for score, of_all in values.items()]
    return (
        f"Run {len(seeds)} times, with seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}; this is seed "
        f"{recipe.seed}. Mean and standard deviation of the default variants over these runs: {', '.join(spreads)}."
    )


def describe_reported(recipe: Recipe) -> str:
    """Return what others say they reach, where the recipe tells it."""
    lines = "".join(f"\n- {line}" for line in recipe.evaluation.reported)
    return f"Reported by others, as they have it and not checked here:\n{lines}" if lines else ""


def describe_confusion(evaluation: Evaluation) -> str:
    """Return which labels a classifier of a few gave in place of which; of other models nothing."""
    answers = evaluation.answers
    if not isinstance(answers, LabelAnswers) or answers.unit != "text":
        return ""
    confusion = confuse(answers)
    if len(confusion.labels) > _CONFUSION_LABELS:
        return ""
    names = [_cell(label) for label in confusion.labels]
    lines = [
        f"| right, by row; given, by column | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {name} | {' | '.join(map(str, counts))} |"
            for name, counts in zip(names, confusion.counts.tolist(), strict=True)
        ),
    ]
    return "\n".join(["Which label the test examples were given in place of which:\n", *lines])


def describe_failures(recipe: Recipe, evaluation: Evaluation) -> str:
    """Return a few test examples that went wrong; of a corpus that may not be passed on, a few words of each."""
    if not evaluation.failures:
        return "None was singled out."
    quote = quoted if origin_of(recipe.data.corpus).may_be_passed_on else quoted_briefly
    lines = [f"- {failure.told(quote)}" for failure in evaluation.failures]
    return "\n".join(["Some of the test examples that it did badly on:\n", *lines])


def _table(evaluations: Evaluations) -> str:
    rows = ["| measure | variant | value | how |", "|---|---|---|---|"]
    for precision, evaluation in evaluations.items():
        rows += [_row(score, precision) for score in (evaluation.score, *evaluation.further)]
    default = next(iter(evaluations.values()))
    return "\n".join([*rows, *(_row(score, "none") for score in (default.baseline, *default.other_baselines))])


def _row(score: Score, variant: str) -> str:
    return f"| {score.name} | {variant} | {score.shown} | {_cell(score.method)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")  # sacrebleu's signature has bars; so have tables
