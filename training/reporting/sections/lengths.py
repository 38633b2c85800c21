"""How long the examples are, part by part."""

from collections.abc import Mapping
from functools import partial
from typing import cast

import numpy as np

from service.bundle.manifest import Labelling, Translation, WordInput
from service.text.tokenizer import Tokenizer
from training.data.encoding.lengths import lengths_of
from training.data.encoding.tokenization import encode_long
from training.data.examples import PlainText, Splits
from training.data.load import select_examples
from training.data.statistics import PARTS
from training.evaluation.demonstrate import tokenizer_of
from training.reporting.charts import IntArray, draw_lengths
from training.reporting.document import Block, Picture, Section, Table
from training.reporting.findings import Findings


def lengths_section(findings: Findings) -> Section:
    """A histogram and a table for each side of the examples."""
    counts, limits = _measure(findings)
    blocks: list[Block] = []
    for side, by_part in counts.items():
        unit = f"{findings.step_name}s"
        limit = None if findings.recipe.windows else limits[side]
        picture = draw_lengths(by_part, limit=limit, unit=unit)
        blocks += [Picture(f"length: {side}", _caption(side, unit, limit), picture), _table(side, by_part, limit)]
    return Section("Lengths", blocks)


def _caption(side: str, unit: str, limit: int | None) -> str:
    counted = "the special ones included" if unit == "tokens" else "as they were read"
    beyond = (
        "The recipe reads texts in windows, so that none is too long."
        if limit is None
        else "What is beyond the limit was left out or cut, as the recipe says."
    )
    return (
        f"How many {unit} an example has ({side}), {counted}: the share of each part that has so many. The parts "
        f"should look alike; a part of longer examples is a harder one. {beyond}"
    )


def _measure(findings: Findings) -> tuple[dict[str, dict[str, IntArray]], dict[str, int]]:
    """Measure every example: by side and part, [examples]; and the limit by side."""
    recipe = findings.recipe
    of_one_kind = cast("Splits[PlainText]", findings.splits)  # of any kind, but of one
    selected = select_examples(of_one_kind, recipe.data, seed=recipe.seed)
    encode = {side: partial(encode_long, tokenizer) for side, tokenizer in _tokenizers(findings).items()}
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


def _table(side: str, by_part: Mapping[str, IntArray], limit: int | None) -> Table:
    rows = [
        (
            part,
            f"{len(counts):,}",
            *(f"{np.percentile(counts, share):,.0f}" for share in (0, 50, 99, 100)),
            *(() if limit is None else (f"{int((counts > limit).sum()):,}",)),
        )
        for part, counts in by_part.items()
    ]
    over = () if limit is None else (f"over {limit:,}",)
    headings = ("part", "examples", "shortest", "median", "99 %", "longest", *over)
    return Table(f"length: {side}", headings, rows)
