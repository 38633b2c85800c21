"""The card's section on data: which, how much of it, what the parts share, and what the model begins from."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from training.data.examples import AnySplits, LabelledSeries, PlainText, TaggedTokens, labels_of
from training.data.statistics import find_overlaps
from training.export.origins import origin_of
from training.export.sections.record import RunRecord, duration
from training.preparation.provenance import data_sha256
from training.settings.recipe import Recipe, Task

_BEGUN: Mapping[Task, str] = MappingProxyType(
    {"generation": "language model", "classification": "classifier", "labelling": "tagger", "translation": "translator"}
)
"""What another model can begin from, by its recipe's task."""
PARTS = "- Training / validation / test examples: "
"""How the line begins that counts them."""
_CORPUS = re.compile(r"\bCorpus `([^`]+)`: .*")
_SPLIT = re.compile(r"^- Split of `.*\n", re.MULTILINE)


def describe_data(record: RunRecord) -> str:
    """Return the section's text."""
    splits = record.splits
    lines = [
        f"- {_origin(record.recipe)}",
        *_describe_splits(record.corpora),
        describe_parts(splits),
        *_selected(record),
        *_labelled_steps(splits),
        f"- SHA-256 of all examples: `{data_sha256(splits)}`",
        *(
            f"- Begins from the {_BEGUN[one.task]} of recipe `{one.name}`{_version(one, record)}, "
            f"{duration(begun.epochs)}. {_origin(one)}"
            for one, begun in record.pretraining
        ),
    ]
    if record.recipe.data.shuffle_labels:
        lines.append("- **Labels were shuffled: this is a negative control and has learnt nothing true.**")
    return "\n".join(lines)


def describe_parts(splits: AnySplits) -> str:
    """Return the section's line on how many examples each part has, and how many of them were trained on."""
    return PARTS + "; ".join([_counts(splits), _repeated(splits), *_near_tunes(splits)])


def corpora_of(body: str) -> list[str | None]:
    """Return every corpus that the section's text names, its own first; None: a user's own files."""
    return [*_CORPUS.findall(body)] or [None]


def reword_data(body: str) -> str:
    """Say what is known of the corpora that the section's text names as this version of the project words it."""
    known = _SPLIT.sub("", _CORPUS.sub(lambda found: f"Corpus `{found[1]}`: {origin_of(found[1]).what}", body))
    first, *rest = known.split("\n")
    return "\n".join([first, *_describe_splits(corpora_of(body)), *rest])


def _describe_splits(corpora: Sequence[str | None]) -> list[str]:
    """A line per corpus on how it is split, where that is known; what an earlier line says already, no other does."""
    lines: list[str] = []
    for name in dict.fromkeys(corpora):
        split = origin_of(name).split
        if split and not any(split in line for line in lines):
            lines.append(f"- Split of `{name}`: {split}")
    return lines


def _version(begun: Recipe, record: RunRecord) -> str:
    """Which version a model begins from, where it is one of its own."""
    return f", version {begun.version}" if begun.name == record.recipe.name else ""


def _origin(recipe: Recipe) -> str:
    what = origin_of(recipe.data.corpus).what
    return what if recipe.data.corpus is None else f"Corpus `{recipe.data.corpus}`: {what}"


def _counts(splits: AnySplits) -> str:
    return " / ".join(f"{len(part):,}" for part in (splits.training, splits.validation, splits.test))


def _repeated(splits: AnySplits) -> str:
    trained = set(splits.training)
    count = sum(example in trained for example in (*splits.validation, *splits.test))
    if not count:
        return "no validation or test example stands in training, too"
    return f"{count:,} of the validation and test examples also stand in training"


def _near_tunes(splits: AnySplits) -> list[str]:
    """Of tunes, how many of the test have the notes of a trained one, in other bars, lengths or octaves."""
    if not isinstance(splits.training[0], PlainText):
        return []
    found = [
        f"{overlap.count:,} (the same {overlap.shared})"
        for overlap in find_overlaps(splits)
        if (overlap.part, overlap.other) == ("test", "training") and "notes of a tune" in overlap.shared
    ]
    return [f"near a training tune are, of the {len(splits.test):,} of test, {' and '.join(found)}"] if found else []


def _selected(record: RunRecord) -> list[str]:
    """What of the training examples was not learnt from."""
    data, count = record.recipe.data, len(record.splits.training)
    lines = []
    if data.max_examples is not None and data.max_examples < count:
        count = data.max_examples
        lines.append(f"- Of the training examples {count:,} were drawn (`max_examples`)")
    if record.left_out:
        limit = f"`max_token_count` {data.max_token_count}"
        if record.recipe.task == "translation":
            limit += f", `max_output_token_count` {data.max_output_token_count}"
        lines.append(
            f"- Of {count:,} training examples, {record.left_out:,} were left out as too long or empty ({limit})"
        )
    return lines


def _labelled_steps(splits: AnySplits) -> list[str]:
    """Where an example has many labels, how many there are."""
    if not isinstance(splits.training[0], LabelledSeries | TaggedTokens):
        return []
    parts = (splits.training, splits.validation, splits.test)
    counts = " / ".join(f"{sum(len(labels_of(example)) for example in part):,}" for part in parts)
    what = "steps" if isinstance(splits.training[0], LabelledSeries) else "words"
    return [f"- Labelled {what} of these: {counts}"]
