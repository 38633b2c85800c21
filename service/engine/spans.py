"""Labels of steps in the BIO scheme into spans of a type."""

from collections.abc import Sequence
from dataclasses import dataclass

OUTSIDE = "O"


@dataclass(frozen=True)
class Span:
    """Steps `first` to `last`, both included, that name one thing of a type."""

    type: str
    first: int
    last: int


def bio_spans(labels: Sequence[str]) -> list[Span]:
    """The spans that labels mark: O is outside, B-TYPE begins a span, I-TYPE goes on with it.

    An I-TYPE that follows no span of its type begins one, as conlleval reads it.

    Source: Ramshaw & Marcus 1995 (IOB); Tjong Kim Sang & De Meulder 2003, conlleval.
    """
    spans: list[Span] = []
    for index, label in enumerate(labels):
        if label == OUTSIDE:
            continue
        kind = label[2:]
        goes_on = label.startswith("I-") and spans and (spans[-1].type, spans[-1].last) == (kind, index - 1)
        if goes_on:
            spans[-1] = Span(kind, spans[-1].first, index)
        else:
            spans.append(Span(kind, index, index))
    return spans
