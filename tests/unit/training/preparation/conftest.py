"""Texts to learn a language model from."""

from collections.abc import Mapping

import pytest

from training.data.examples import AnySplits, LabelledText, PlainText, Splits

Tiny = Mapping[str, AnySplits]


@pytest.fixture
def texts(tiny_splits: Tiny) -> Splits[PlainText]:
    """The tiny reviews without their labels."""
    reviews = tiny_splits["classification"]
    parts = [
        tuple(PlainText(one.text) for one in part if isinstance(one, LabelledText))
        for part in (reviews.training, reviews.validation, reviews.test)
    ]
    return Splits(*parts)
