"""Results as the `seqserve` command prints them: JSON for programs, text and a table for people.   Prints nothing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from seqserve.results import Classification, LabelledSequence, Model, Translation

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class OutputFormat(StrEnum):
    """What `--output` takes."""

    TEXT = "text"
    JSON = "json"


def as_json(value: "DataclassInstance | Mapping[str, object]", **more: object) -> str:
    """One line of JSON: `more`, then the fields of `value`; an enum is its value."""
    fields = value if isinstance(value, Mapping) else asdict(value)
    return json.dumps({**more, **fields}, ensure_ascii=False, default=_enum_value)


def classification_lines(text: str, classification: Classification) -> str:
    """The text, and below it a line per label."""
    width = max((len(score.label) for score in classification.labels), default=0)
    labels = [f"  {score.label:<{width}} {score.probability:>7.1%}" for score in classification.labels]
    return "\n".join([text, *labels])


def labelled_lines(sequence: LabelledSequence, names: Sequence[str] | None = None) -> str:
    """A line per step, its labels behind its word (or its name of `names`); then a line per span; then a blank one."""
    names = [step.word for step in sequence.steps] if names is None else names
    width = max(map(len, names), default=0)
    steps = [
        "  ".join([f"{name:<{width}}", *(f"{score.label} {score.probability:.1%}" for score in step.labels)])
        for name, step in zip(names, sequence.steps, strict=True)
    ]
    spans = [
        f"  {span.label}: {' '.join(names[span.first_step_index : span.last_step_index + 1])} ({span.score:.1%})"
        for span in sequence.spans
    ]
    return "\n".join([*steps, *spans, ""])


def translation_lines(translation: Translation, *, scored: bool) -> str:
    """The translation; where `scored`, a line for it and for each alternative: score, tabulator, text."""
    if not scored:
        return translation.text
    found = (translation, *translation.alternatives)
    return "\n".join(f"{'' if one.score is None else f'{one.score:.4f}'}\t{one.text}" for one in found)


def models_table(models: Iterable[Model]) -> Table:
    """A row per version: what it is, what it does, or why it could not be loaded."""
    table = Table("model", "state", "task", "precision", "provider", "about", box=None, pad_edge=False)
    for model in models:
        cells = (
            f"{model.name}@{model.version}",
            model.state.value,
            model.task.value,
            model.precision,
            model.provider,
            model.failure or _about(model),
        )
        table.add_row(*map(Text, cells))  # Text, for a server's words are not markup
    return table


def _about(model: Model) -> str:
    if model.labels:
        return ", ".join(model.labels)
    if model.target_language:
        return f"{model.source_language} to {model.target_language}"
    return ""


def _enum_value(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{value!r} has no place in JSON")
