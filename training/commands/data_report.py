"""Prints what an inspection of a recipe's data found, as tables for a terminal.   Counts nothing itself."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from training.data.examples import AnyExample, LabelledSeries, LabelledText, PlainText, TaggedTokens, TextPair
from training.data.inspection import Inspection
from training.data.statistics import PARTS, SERIES_NAME, Overlap, PartSummary, SideLengths
from training.preparation.provenance import data_sha256

_BIN_COUNT = 12
_BAR_WIDTH = 30
_LABELS_SHOWN = 30
_FILES_SHOWN = 3
_TEXT_SHOWN = 100


def print_inspection(inspection: Inspection, console: Console, *, example_count: int) -> None:
    """Print everything; `example_count` examples of each part."""
    recipe = inspection.recipe
    console.print(
        f"{recipe.name}: {recipe.task} on {recipe.data.origin}", style="bold", highlight=False, soft_wrap=True
    )
    console.print(_read_table(inspection))
    console.print(f"SHA-256 of the examples: {data_sha256(inspection.splits)}", highlight=False, soft_wrap=True)
    for part in PARTS:
        for example in getattr(inspection.splits, part)[:example_count]:
            console.print(f"{part}: {escape(describe(example))}", highlight=False, soft_wrap=True)
    for side in inspection.parts[0].lengths:
        console.print(_length_table(side, inspection.parts))
    if inspection.parts[0].labels:
        console.print(_label_table(inspection.parts))
    if inspection.vocabulary_sizes:
        console.print(_vocabulary_table(inspection))
    if inspection.features:
        console.print(_feature_table(inspection))
    _print_overlaps(inspection.overlaps, console)


def describe(example: AnyExample) -> str:
    """Say an example in one line, shortened, with where it was read."""
    match example:
        case LabelledText():
            content = f"{_short(example.text)} -> {example.label}"
        case PlainText():
            content = _short(example.text)
        case TextPair():
            content = f"{_short(example.source)} -> {_short(example.target)}"
        case TaggedTokens():
            content = _short(
                " ".join(f"{token}/{tag}" for token, tag in zip(example.tokens, example.tags, strict=True))
            )
        case LabelledSeries():
            first = f"{_short(repr(example.features[0]))} -> {example.labels[0]}"
            content = f"{example.name}: {len(example.labels):,} steps, the first {first}"
    return f"{content}  ({example.origin})" if example.origin is not None else content


def _read_table(inspection: Inspection) -> Table:
    table = Table("part", "examples", "too long", "files", title="what was read", title_justify="left")
    for summary in inspection.parts:
        files = Counter(example.origin.file for example in getattr(inspection.splits, summary.name) if example.origin)
        shown = [f"{escape(file)} ({count:,})" for file, count in files.most_common(_FILES_SHOWN)]
        more = [f"and {len(files) - _FILES_SHOWN:,} more"] if len(files) > _FILES_SHOWN else []
        too_long = ", ".join(
            f"{lengths.over_limit:,} {side} over {lengths.limit:,}" for side, lengths in summary.lengths.items()
        )
        if inspection.recipe.windows is not None:
            too_long = f"none: read in windows of {inspection.recipe.windows.token_count:,}"
        table.add_row(summary.name, f"{summary.example_count:,}", too_long, "\n".join(shown + more) or "generated")
    return table


def _length_table(side: str, parts: Sequence[PartSummary]) -> Table:
    """Histogram: equal bins up to the 99th percentile of training, and one for what is beyond."""
    by_part = {part.name: part.lengths[side] for part in parts if side in part.lengths}
    edges = _edges(by_part["training"])
    table = Table(
        "steps" if side == "steps" else "tokens", "", *by_part, title=f"length of {side}", title_justify="left"
    )
    counts = {name: np.histogram(lengths.token_counts, bins=edges)[0] for name, lengths in by_part.items()}
    tallest = max(1, int(counts["training"].max()))
    for index, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        bar = "\N{FULL BLOCK}" * round(_BAR_WIDTH * int(counts["training"][index]) / tallest)
        label = f"{low:,.0f} to {high - 1:,.0f}" if np.isfinite(high) else f"{low:,.0f} and more"
        table.add_row(label, bar, *(f"{int(of_part[index]):,}" for of_part in counts.values()))
    table.add_section()
    for name, measure in (("median", 50), ("99 %", 99), ("longest", 100)):
        values = (np.percentile(lengths.token_counts, measure) for lengths in by_part.values())
        table.add_row(name, "", *(f"{value:,.0f}" for value in values))
    return table


def _edges(lengths: SideLengths) -> np.ndarray:
    end = int(np.percentile(lengths.token_counts, 99)) + 1
    width = max(1, -(-end // (_BIN_COUNT - 1)))
    return np.array([*range(0, end + width, width), np.inf])


def _label_table(parts: Sequence[PartSummary]) -> Table:
    table = Table("label", *(part.name for part in parts), title="labels", title_justify="left")
    labels = sum((part.labels for part in parts), Counter[str]())
    for label, _ in labels.most_common(_LABELS_SHOWN):
        shares = (f"{part.labels[label]:,} ({part.labels[label] / max(1, part.labels.total()):.1%})" for part in parts)
        table.add_row(escape(label), *shares)
    if len(labels) > _LABELS_SHOWN:
        table.add_row(f"and {len(labels) - _LABELS_SHOWN:,} more")
    return table


def _vocabulary_table(inspection: Inspection) -> Table:
    parts = inspection.parts
    table = Table("side", "vocabulary", *(f"unknown in {part.name}" for part in parts), title="vocabulary")
    table.title_justify = "left"
    for side, size in inspection.vocabulary_sizes.items():
        rates = [part.unknown.get(side, (0, 0)) for part in parts]
        table.add_row(side, f"{size:,}", *(f"{unknown / max(1, total):.2%} of {total:,}" for unknown, total in rates))
    return table


def _feature_table(inspection: Inspection) -> Table:
    headings = ("feature", "unit", "smallest", "mean", "largest", "missing")
    table = Table(*headings, title="features of the training part", title_justify="left")
    for feature in inspection.features:
        numbers = (feature.smallest, feature.mean, feature.largest)
        shown = ("-" if number is None else f"{number:.4g}" for number in numbers)
        table.add_row(escape(feature.name), escape(feature.unit), *shown, f"{feature.missing_share:.1%}")
    return table


def _print_overlaps(overlaps: Sequence[Overlap], console: Console) -> None:
    """One row per thing that may be shared, one column per pair of parts; a leak is red and shown by an example."""
    pairs = dict.fromkeys((overlap.part, overlap.other) for overlap in overlaps)
    headings = ("twice in training" if part == other else f"{part} in {other}" for part, other in pairs)
    table = Table("shared", *headings, title="leaks and repetitions", title_justify="left")
    for shared in dict.fromkeys(overlap.shared for overlap in overlaps):
        found = {(overlap.part, overlap.other): overlap for overlap in overlaps if overlap.shared == shared}
        table.add_row(shared, *(_count(found[pair]) if pair in found else "" for pair in pairs))
    console.print(table)
    for overlap in overlaps:
        if overlap.first is not None and _is_leak(overlap):
            ours, theirs = (escape(describe(example)) for example in overlap.first)
            console.print(f"{overlap.shared}: {overlap.part} {ours}", highlight=False, soft_wrap=True)
            console.print(f"    is in {overlap.other}: {theirs}", highlight=False, soft_wrap=True)


def _is_leak(overlap: Overlap) -> bool:
    return overlap.count > 0 and overlap.part != overlap.other and overlap.shared != SERIES_NAME


def _count(overlap: Overlap) -> Text:
    return Text(f"{overlap.count:,}", style="red" if _is_leak(overlap) else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= _TEXT_SHOWN else text[: _TEXT_SHOWN - 3] + "...")
