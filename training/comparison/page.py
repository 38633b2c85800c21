"""The page that shows every published model and every comparison: `docs/models.md`.   Measures nothing.

What is said of a model is read from its card, so the page cannot say anything else than what was measured.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.bundle.manifest import Manifest
from service.bundle.store import CARD_NAME, OpenedBundle
from training.comparison.results import Begun, Measurement, TrainedModel
from training.comparison.side_by_side import describe_comparisons
from training.errors import DataError
from training.evaluation.spread import spread

_HEAD = """# Models

Written by `python -m training models`, from the cards of bundles and from what `python -m training compare` measured.
"""
_PUBLISHED = (
    "Scores are of test examples, met by the default variant through the service's own engine; the card of each\n"
    "bundle tells how they were measured, and on which machine training was timed. Under seeds, mean and standard\n"
    "deviation of the first score, where there are several. Training was timed, here and below, on machines that\n"
    "may have had other jobs to do, beside which the same run can take several times as long; that shows in times,\n"
    "and in nothing else. Where a model begins from another, the time of that one stands beside its own.\n"
)
_METHODS = (
    "## Runs whose cards are no part of the project\n\n"
    "Further seeds of the published models, and all runs of the others. What their cards say of how scores were\n"
    "measured, of when and on what each run was trained, and of its command, is kept beside the scores; of earlier\n"
    "runs it is not recorded.\n"
)
_UNKNOWN = "not recorded"
_SCORE = re.compile(
    r"^\| (?P<name>[^|]+) \| (?P<variant>\w+) \| (?P<value>-?[\d.]+) \| (?P<method>.*) \|$", re.MULTILINE
)
_BEGINS = re.compile(
    r"^- Begins from the [a-z ]+ of recipe `(?P<name>[^`]+)`(?:, version (?P<version>\d+))?, \d+ epochs in "
    r"(?P<seconds>\d+) s",
    re.MULTILINE,
)
_CORPUS = re.compile(r"^- (?:Corpus `[^`]+`: )?(.+)$", re.MULTILINE)
_LICENCE = re.compile(r"^- `([^`]+)`: licence: (.+?)\. Credit: (.+)\.$", re.MULTILINE)
_SECONDS = re.compile(r"^- \d+ epochs in (\d+) s", re.MULTILINE)
_TRAINED = re.compile(r"^- Trained on (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"^- Command `(.+)`$", re.MULTILINE)


@dataclass(frozen=True)
class PublishedModel:
    """What the page shows of a bundle.

    Attributes:
        manifest: its own.
        trained: what was measured.
        learnt_from: what its own corpus is.
        licences: of every corpus that has gone into it: name, licence, whom to credit.
    """

    manifest: Manifest
    trained: TrainedModel
    learnt_from: str = ""
    licences: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of(cls, bundle: OpenedBundle) -> "PublishedModel":
        """Read a bundle's card.

        Raises:
            DataError: it has no scores, or does not say how long training took.
        """
        card, manifest = bundle.files[CARD_NAME].decode(), bundle.manifest
        own, others = _scores_of(card, manifest.default_precision)
        seconds, trained_on, command = (pattern.search(card) for pattern in (_SECONDS, _TRAINED, _COMMAND))
        if not own or not others or seconds is None:
            raise DataError(f"{bundle.path}: expected a card with scores and the time of training")
        data = _CORPUS.search(card.partition("## Data\n")[2])
        trained = TrainedModel(
            name=manifest.name,
            version=manifest.version,
            seed=manifest.producer.seed,
            recipe_sha256=manifest.producer.recipe_sha256,
            score=own[0][:2],
            baselines=others,
            further=tuple(score[:2] for score in own[1:]),
            parameter_count=manifest.architecture.parameter_count,
            size_bytes=sum(entry.size_bytes for entry in manifest.files.values()),
            seconds=int(seconds[1]),
            begins_from=tuple(map(_begun, _BEGINS.finditer(card))),
            methods=tuple((name, method) for name, _, method in own),
            trained=trained_on[1] if trained_on else "",
            command=command[1] if command else "",
        )
        return cls(
            manifest,
            trained,
            learnt_from=data[1] if data else "",
            licences=tuple((name, licence, credit) for name, licence, credit in _LICENCE.findall(card)),
        )


def _scores_of(card: str, precision: str) -> tuple[list[tuple[str, str, str]], tuple[tuple[str, str], ...]]:
    """Read name, value and method of a variant's scores; and what else reached how much by the first measure."""
    rows = list(_SCORE.finditer(card))
    own = [(row["name"], row["value"], row["method"]) for row in rows if row["variant"] == precision]
    measure = f"{own[0][0]} of " if own else ""
    others = (row for row in rows if row["variant"] == "none" and row["name"].startswith(measure))
    return own, tuple((row["name"].removeprefix(measure), row["value"]) for row in others)


def _begun(found: re.Match[str]) -> Begun:
    version = found["version"]
    return Begun(name=found["name"], version=int(version) if version else None, seconds=int(found["seconds"]))


def write_page(
    published: Sequence[TrainedModel], others: Sequence[TrainedModel], measurements: Sequence[Measurement]
) -> str:
    """Return the page.

    Args:
        published: a row each.
        others: more seeds of those, and models that are not published.
        measurements: of comparisons.
    """
    by_model: dict[tuple[str, int], list[TrainedModel]] = {(one.name, one.version): [one] for one in published}
    for one in others:
        by_model.setdefault((one.name, one.version), []).append(one)
    rows = list(by_model.values())[: len(published)]
    unpublished = list(by_model.values())[len(published) :]
    without_card = [one for seeds in (*(seeds[1:] for seeds in rows), *unpublished) for one in _by_seed(seeds)]
    parts = [
        _HEAD,
        *([_models_table("Published models", rows)] if rows else []),
        *([_models_table("Trained, not published", unpublished)] if unpublished else []),
        *([_methods_table(without_card)] if without_card else []),
        *describe_comparisons(measurements),
    ]
    return "\n".join(parts)


def _models_table(title: str, rows: Sequence[Sequence[TrainedModel]]) -> str:
    lines = [
        f"## {title}\n",
        *([_PUBLISHED] if title == "Published models" else []),
        "| model | score | without a network | seeds | parameters | size, MB | trained in |",
        "|---|---|---|---|---|---|---|",
        *(_model_row(seeds) for seeds in rows),
    ]
    return "\n".join([*lines, ""])


def _by_seed(runs: Iterable[TrainedModel]) -> list[TrainedModel]:
    return sorted(runs, key=lambda one: one.seed)


def _methods_table(runs: Sequence[TrainedModel]) -> str:
    """A row per run."""
    lines = [
        _METHODS,
        "| model | seed | measured how | trained on | command |",
        "|---|---|---|---|---|",
        *map(_method_row, runs),
    ]
    return "\n".join([*lines, ""])


def _method_row(model: TrainedModel) -> str:
    cells = [
        f"`{model.name}` {model.version}",
        str(model.seed),
        "; ".join(f"{name}: {method}" for name, method in model.methods) or _UNKNOWN,
        model.trained or _UNKNOWN,
        f"`{model.command}`" if model.command else _UNKNOWN,
    ]
    return f"| {' | '.join(cells)} |"


def _model_row(seeds: Sequence[TrainedModel]) -> str:
    first = seeds[0]
    values = [float(one.score[1]) for one in seeds]
    decimals = len(first.score[1].partition(".")[2])
    cells = [
        f"`{first.name}` {first.version}",
        "; ".join(f"{name} {value}" for name, value in (first.score, *first.further)),
        "; ".join(f"{name} {value}" for name, value in first.baselines),
        spread(values, decimals) + f" ({len(values)})" if len(values) > 1 else "1",
        f"{first.parameter_count:,}",
        f"{first.size_bytes / 1e6:.1f}",
        ", and ".join([_duration(first.seconds), *(_time_of(begun, first) for begun in first.begins_from)]),
    ]
    return f"| {' | '.join(cells)} |"


def _time_of(begun: Begun, model: TrainedModel) -> str:
    """Say how long it took to train what a model begins from."""
    what = f"version {begun.version}" if begun.name == model.name else f"`{begun.name}`"
    return f"{_duration(begun.seconds)} for {what}"


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"
