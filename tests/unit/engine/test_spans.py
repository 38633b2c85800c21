"""Labels of the BIO scheme become spans, as conlleval reads them."""

import pytest

from service.engine.spans import Span, bio_spans


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("O O", [], id="outside"),
        pytest.param("B-PER I-PER O B-LOC", [Span("PER", 0, 1), Span("LOC", 3, 3)], id="two spans"),
        pytest.param("B-PER B-PER", [Span("PER", 0, 0), Span("PER", 1, 1)], id="neighbours of one type"),
        pytest.param("O I-PER I-PER", [Span("PER", 1, 2)], id="inside without a beginning"),
        pytest.param("B-PER I-LOC I-LOC", [Span("PER", 0, 0), Span("LOC", 1, 2)], id="inside of another type"),
        pytest.param("B-PER O I-PER", [Span("PER", 0, 0), Span("PER", 2, 2)], id="a gap ends a span"),
        pytest.param("B-a-b I-a-b", [Span("a-b", 0, 1)], id="a type with a hyphen"),
    ],
)
def test_spans_are_what_the_labels_mark(labels: str, spans: list[Span]) -> None:
    assert bio_spans(labels.split()) == spans
