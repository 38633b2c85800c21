"""Labels of steps and texts: which there are, which are strange, and whether they mark spans.   Knows no model."""

from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

from service.bundle.manifest import bio_misfits, check_bio
from training.data.examples import UNLABELLED, LabelledSeries, LabelledText, Splits, TaggedTokens, labels_of
from training.errors import DataError

Labelled = TypeVar("Labelled", LabelledText, TaggedTokens, LabelledSeries)
Scheme = Literal["plain", "bio"]

_LABELS_SHOWN = 20


def known_labels(examples: Iterable[LabelledText | TaggedTokens | LabelledSeries]) -> tuple[str, ...]:
    """Every label that an example has, sorted."""
    return tuple(sorted({label for example in examples for label in labels_of(example)}))


def require_known_labels(splits: Splits[Labelled]) -> Splits[Labelled]:
    """Refuse a label that no training example has: a model cannot give it.

    Raises:
        DataError: the first one, by file and line.
    """
    known = set(known_labels(splits.training))
    for part, examples in (("validation", splits.validation), ("test", splits.test)):
        for number, example in enumerate(examples, start=1):
            steps = _steps_of(example)
            strange = [step for step, label in enumerate(steps) if label not in known and label != UNLABELLED]
            if strange:
                few = ", ".join(map(repr, sorted(known)[:_LABELS_SHOWN]))
                step = f" at step {strange[0] + 1}" if len(steps) > 1 else ""
                raise DataError(
                    f"{example.origin or f'{part} example {number}'}: expected a label that the training examples have "
                    f"({few}), found {steps[strange[0]]!r}{step} in the {part} part"
                )
    return splits


def scheme_of(examples: Sequence[LabelledText | TaggedTokens | LabelledSeries], wanted: Scheme | None) -> Scheme:
    """Return whether the labels of training examples mark spans: as `wanted`, or as they look.

    Raises:
        DataError: they look like spans, or are said to mark them, and do not; names the first place.
    """
    labels = known_labels(examples)
    looks_like_spans = any(label.startswith(("B-", "I-")) for label in labels) and "O" in labels
    if wanted == "plain" or not (wanted or looks_like_spans):
        return "plain"
    try:
        check_bio(labels)
    except ValueError as error:
        place = _first_place(examples, bio_misfits(labels)[:1])
        raise DataError(f'{place}{error}; `scheme = "plain"` in [labelling] takes each label for itself') from error
    return "bio"


def _first_place(examples: Sequence[LabelledText | TaggedTokens | LabelledSeries], labels: Sequence[str]) -> str:
    """Where one of these labels comes first, as the begin of a message; empty where nobody knows."""
    for example in examples:
        steps = _steps_of(example)
        found = [step for step, label in enumerate(steps) if label in labels]
        if found and example.origin:
            return f"{example.origin}: at step {found[0] + 1}, "
    return ""


def _steps_of(example: LabelledText | TaggedTokens | LabelledSeries) -> tuple[str, ...]:
    """The labels of all steps, those without one included."""
    return example.tags if isinstance(example, TaggedTokens) else labels_of(example)
