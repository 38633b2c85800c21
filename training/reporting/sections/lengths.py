"""How long the examples are, part by part."""

from collections.abc import Mapping
from typing import cast

import numpy as np

from service.bundle.manifest import Labelling, Translation, WordInput
from service.text.tokenizer import Tokenizer
from training.data.examples import PlainText, Splits
from training.data.lengths import lengths_of
from training.data.load import select_examples
from training.data.statistics import PARTS
from training.demonstrate import tokenizer_of
from training.reporting.charts import IntArray, draw_lengths
from training.reporting.document import Block, Picture, Section, Table
from training.reporting.findings import Findings


def lengths_section(findings: Findings) -> Section:
    """A histogram and a table for each side of the examples."""
    counts, limits = _measure(findings)
    blocks: list[Block] = []
    for side, by_part in counts.items():
        unit = f"{findings.step_name}s"
        counted = "the special ones included" if unit == "tokens" else "as they were read"
        caption = (
            f"How many {unit} an example has ({side}), {counted}: the share of each part that has so many. The parts "
            "should look alike; a part of longer examples is a harder one. What is beyond the limit was left out or "
            "cut, as the recipe says."
        )
        picture = draw_lengths(by_part, limit=limits[side], unit=unit)
        blocks += [Picture(f"length: {side}", caption, picture), _table(side, by_part, limits[side])]
    return Section("Lengths", blocks)


def _measure(findings: Findings) -> tuple[dict[str, dict[str, IntArray]], dict[str, int]]:
    """Measure every example: by side and part, [examples]; and the limit by side."""
    recipe = findings.recipe
    of_one_kind = cast("Splits[PlainText]", findings.splits)  # of any kind, but of one
    selected = select_examples(of_one_kind, recipe.data, seed=recipe.seed)
    encode = {side: tokenizer.encode for side, tokenizer in _tokenizers(findings).items()}
    found: dict[str, dict[str, list[int]]] = {}
    limits: dict[str, int] = {}
    for part in PARTS:
        for example in getattr(selected, part):
            for length in lengths_of(example, encode, recipe.data):
                found.setdefault(length.side, {}).setdefault(part, []).append(length.token_count)
                limits[length.side] = length.limit
    counts = {side: {part: np.array(of_part) for part, of_part in by_part.items()} for side, by_part in found.items()}
    return counts, limits


def _tokenizers(findings: Findings) -> Mapping[str, Tokenizer]:
    """By side of the examples; readings have none."""
    bundle = findings.bundle
    match bundle.manifest.spec:
        case Translation() as spec:
            return {"source": tokenizer_of(bundle, spec.source), "target": tokenizer_of(bundle, spec.target)}
        case Labelling(input=WordInput() as words):
            return {"words": tokenizer_of(bundle, words.text)}
        case Labelling():
            return {}
        case spec:
            return {"text": tokenizer_of(bundle, spec.text)}


def _table(side: str, by_part: Mapping[str, IntArray], limit: int) -> Table:
    rows = [
        (
            part,
            f"{len(counts):,}",
            *(f"{np.percentile(counts, share):,.0f}" for share in (0, 50, 99, 100)),
            f"{int((counts > limit).sum()):,}",
        )
        for part, counts in by_part.items()
    ]
    headings = ("part", "examples", "shortest", "median", "99 %", "longest", f"over {limit:,}")
    return Table(f"length: {side}", headings, rows)
