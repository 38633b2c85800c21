"""A translator: examples beside their references, where it looked, and how it fares with long sources."""

from collections.abc import Sequence

from training.evaluation.demonstrate import translate_attentively
from training.reporting.charts import draw_length_bleu
from training.reporting.document import Block, Picture, Section, Table, Text
from training.reporting.findings import Findings
from training.reporting.heat_maps import draw_attention
from training.reporting.measures import bleu_by_length
from training.scoring.answers import TranslationAnswers

_EXAMPLES_SHOWN = 12
_MATRICES_DRAWN = 4
_TOKENS_DRAWN = 30
"""Longer sources make matrices too wide to read."""


def translation_sections(findings: Findings, answers: TranslationAnswers) -> list[Section]:
    """Examples, attention and BLEU by length."""
    return [_examples(answers), _attention(findings, answers), _lengths(answers)]


def _examples(answers: TranslationAnswers) -> Section:
    rows = [
        (answers.groups[index].source, answers.hypotheses[index], "\n".join(answers.groups[index].references))
        for index in _evenly(range(len(answers.groups)), _EXAMPLES_SHOWN)
    ]
    caption = (
        "Taken evenly from the whole test split, good and bad. Where a source has several references, any is right."
    )
    return Section("Examples", [Table("translations", ("source", "translation", "references"), rows, caption)])


def _attention(findings: Findings, answers: TranslationAnswers) -> Section:
    short = [index for index, count in enumerate(answers.source_token_counts) if count <= _TOKENS_DRAWN]
    sources = [answers.groups[index].source for index in _evenly(short, _MATRICES_DRAWN)]
    caption = (
        "Each row is a token that was written, each column one that was read; the darker a field, the more of what "
        "stood there went into the choice, and each row sums to 1. A diagonal: word follows word. Crossing marks: the "
        "languages order words differently. A column that is dark throughout, often the end of the sentence: the "
        "model had nowhere better to look."
    )
    found = translate_attentively(findings.bundle, sources) if sources else []
    blocks: list[Block] = [
        Picture(
            f"{one.source} \N{RIGHTWARDS ARROW} {one.translation}",
            "" if place else caption,
            draw_attention(one.weights, one.source_tokens, one.target_tokens),
        )
        for place, one in enumerate(found)
    ]
    nothing = Text("This model has no attention, or no test source is short enough to draw.")
    return Section("Attention", blocks or [nothing])


def _lengths(answers: TranslationAnswers) -> Section:
    scores = bleu_by_length(answers)
    caption = (
        "Corpus BLEU of the test sources, in ranges of length that hold about as many each. Without attention it "
        "falls with the length, as one state has to hold the whole source."
    )
    rows = [(one.lengths, f"{one.bleu:.2f}", f"{one.source_count:,}") for one in scores]
    table = Table("BLEU by source length", ("source length (tokens)", "BLEU", "sources"), rows)
    return Section("BLEU by length", [Picture("BLEU by source length", caption, draw_length_bleu(scores)), table])


def _evenly(indices: Sequence[int], count: int) -> list[int]:
    """Return about `count` of the indices, taken evenly over all of them."""
    return list(indices[:: max(1, len(indices) // count)])[:count]
