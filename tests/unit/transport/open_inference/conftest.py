"""A serving layer with a model of every kind, and a server whose clients may control it."""

from collections.abc import AsyncIterator

import pytest

from service.serving.api import FeatureInfo, ModelInfo
from tests.unit.transport.fake_front import FakeFront, Served, serving
from tests.unit.transport.open_inference.asking import LABELS, Control


@pytest.fixture
def front() -> FakeFront:
    return FakeFront(
        models=[
            ModelInfo("failed", 1, "failed", failure="why"),
            ModelInfo("generator", 1, "active", task="generation", max_token_count=5, max_output_token_count=9),
            ModelInfo("loading", 1, "loading"),
            ModelInfo(
                "tagger", 1, "active", task="labelling", labels=LABELS, features=(FeatureInfo("wind", "", None),)
            ),
            ModelInfo("tiny", 2, "active", task="classification", labels=LABELS, digest="ab", precision="int8"),
            ModelInfo("tiny", 3, "active", task="classification", labels=LABELS, digest="cd", precision="fp32"),
            ModelInfo("translator", 1, "active", task="translation", source_language="en"),
        ]
    )


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
async def controlled(front: FakeFront, control: Control) -> AsyncIterator[Served]:
    async with serving(front, control=control) as served:
        yield served
