"""A fake serving layer behind a real server."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.transport.fake_front import FakeFront, Served, serving


@pytest.fixture
def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
async def served(front: FakeFront) -> AsyncIterator[Served]:
    async with serving(front) as served:
        yield served
