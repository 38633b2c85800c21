"""The generated samples, made once for all tests of this folder."""

import pytest

from training.data.examples import LabelledText, PlainText, Splits, TextPair
from training.data.samples import melodies, reviews, sentences


@pytest.fixture(scope="session")
def sentence_sample() -> Splits[TextPair]:
    return sentences.load()


@pytest.fixture(scope="session")
def review_sample() -> Splits[LabelledText]:
    return reviews.load()


@pytest.fixture(scope="session")
def melody_sample() -> Splits[PlainText]:
    return melodies.load()
