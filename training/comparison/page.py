"""The page that shows every published model and every comparison: `docs/models.md`.   Measures nothing.

What is said of a model is read from its card, so the page cannot say anything else than what was measured.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.bundle.manifest import Manifest
from service.bundle.store import CARD_NAME, OpenedBundle
from training.comparison.results import Measurement, TrainedModel
from training.errors import DataError
from training.evaluation.spread import spread

_HEAD = """# Models

Written by `python -m training models`, from the cards of bundles and from what `python -m training compare` measured.
"""
_PUBLISHED = (
    "Scores are of test examples, met by the default variant through the service's own engine; the card of each\n"
    "bundle tells how they were measured, and on which machine training was timed. Under seeds, mean and standard\n"
    "deviation of the first score, where there are several.\n"
)
_METHODS = (
    "The cards of these are no part of the project. What they say of how scores were measured, of when and on what\n"
    "each run was trained, and of its command, is kept beside the scores; of earlier runs it is not recorded.\n"
)
_UNKNOWN = "not recorded"
_SCORE = re.compile(
    r"^\| (?P<name>[^|]+) \| (?P<variant>\w+) \| (?P<value>-?[\d.]+) \| (?P<method>.*) \|$", re.MULTILINE
)
_BEGINS = re.compile(r"^- Begins from the [a-z ]+ of recipe `([^`]+)`", re.MULTILINE)
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
            begins_from=tuple(_BEGINS.findall(card)),
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
    parts = [
        _HEAD,
        *([_models_table("Published models", rows)] if rows else []),
        *([_models_table("Trained, not published", unpublished), _methods_table(unpublished)] if unpublished else []),
        *_comparisons(measurements),
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


def _methods_table(rows: Sequence[Sequence[TrainedModel]]) -> str:
    """A row per run: none of these has a card in the project."""
    lines = [
        _METHODS,
        "| model | seed | measured how | trained on | command |",
        "|---|---|---|---|---|",
        *(_method_row(one) for seeds in rows for one in sorted(seeds, key=lambda one: one.seed)),
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
        ", after ".join([_duration(first.seconds), *(_begun(name, first) for name in first.begins_from)]),
    ]
    return f"| {' | '.join(cells)} |"


def _begun(name: str, model: TrainedModel) -> str:
    return "an earlier version" if name == model.name else f"`{name}`"


def _comparisons(measurements: Iterable[Measurement]) -> Iterator[str]:
    by_comparison: dict[str, dict[str, list[Measurement]]] = {}
    for one in measurements:
        by_comparison.setdefault(one.comparison, {}).setdefault(one.row, []).append(one)
    if by_comparison:
        yield (
            "## Comparisons\n\nOne factor at a time around the first row, each trained on a fixed subset with as\n"
            "many seeds as stand beside it, as `training/comparisons` says, and measured on validation examples. All\n"
            "figures are mean and standard deviation. All rows of a table have as many epochs; what learns slower may\n"
            "not be done. Served per second are texts, or tokens where a model writes, by the service's own engine in\n"
            "float32. What else a machine was doing shows in times and speeds, and in nothing else: do not tell apart\n"
            "what differs by less than the deviations.\n"
        )
    for title, rows in by_comparison.items():
        yield "\n".join(_comparison_table(title, rows))


def _comparison_table(title: str, rows: Mapping[str, Sequence[Measurement]]) -> Iterator[str]:
    first = next(iter(rows.values()))[0]
    yield f"### {title}\n"
    yield f"| | {first.measure} | seeds | parameters | training, s | served per second |"
    yield "|---|---|---|---|---|---|"
    for name, of_row in rows.items():
        cells = [
            name,
            spread([one.value for one in of_row], first.decimals),
            str(len(of_row)),
            f"{of_row[0].parameter_count:,}",
            spread([one.seconds for one in of_row], 0),
            spread([one.speed for one in of_row], 0),
        ]
        yield f"| {' | '.join(cells)} |"
    yield f"\nOn {'; '.join(sorted({one.machine for of_row in rows.values() for one in of_row}))}.\n"


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"
