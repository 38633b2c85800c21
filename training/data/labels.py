"""Labels of steps and texts: which there are, which are strange, and whether they mark spans.   Knows no model."""

from collections.abc import Iterable
from typing import Literal, TypeVar

from service.bundle.manifest import check_bio
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


def scheme_of(labels: tuple[str, ...], wanted: Scheme | None) -> Scheme:
    """Return whether labels mark spans: as `wanted`, or as they look.

    Raises:
        DataError: they look like spans, or are said to mark them, and do not.
    """
    looks_like_spans = any(label.startswith(("B-", "I-")) for label in labels) and "O" in labels
    if wanted == "plain" or not (wanted or looks_like_spans):
        return "plain"
    try:
        check_bio(labels)
    except ValueError as error:
        raise DataError(f'{error}; `scheme = "plain"` in [labelling] takes each label for itself') from error
    return "bio"


def _steps_of(example: LabelledText | TaggedTokens | LabelledSeries) -> tuple[str, ...]:
    """The labels of all steps, those without one included."""
    return example.tags if isinstance(example, TaggedTokens) else labels_of(example)
