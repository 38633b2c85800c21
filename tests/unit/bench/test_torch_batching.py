"""Streams of a naive micro-batcher: each gets its own tokens as they are written, and a batch begins after another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import cast

from tests.bench.serving.contenders.pytorch.batching import StreamBatcher
from tests.bench.serving.peers.bare_models import BareGenerator


class Spelling:
    """Goes on with a prompt's own letters, of which there are as many tokens; notes what ran together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def new_text(self) -> Callable[[int], str]:
        return chr

    def steps(self, prompts: list[str]) -> Iterator[list[tuple[int, int]]]:
        self.batches.append(prompts)
        for time in range(max(map(len, prompts))):
            yield [(row, ord(prompt[time])) for row, prompt in enumerate(prompts) if time < len(prompt)]


@asynccontextmanager
async def running(model: Spelling, batch_size: int) -> AsyncIterator[StreamBatcher]:
    batcher = StreamBatcher(cast("BareGenerator", model), batch_size)
    task = asyncio.create_task(batcher.run())
    yield batcher
    task.cancel()


async def written(batcher: StreamBatcher, prompt: str) -> list[str]:
    return [piece async for piece in batcher.pieces(prompt)]


async def test_every_stream_gets_its_own_tokens_one_by_one() -> None:
    model = Spelling()
    async with running(model, 8) as batcher:
        found = await asyncio.gather(*(written(batcher, prompt) for prompt in ("abc", "de")))
    assert found == [["a", "b", "c"], ["d", "e"]]
    assert model.batches == [["abc", "de"]]


async def test_one_at_a_time_means_one_after_another() -> None:
    model = Spelling()
    async with running(model, 1) as batcher:
        assert await asyncio.gather(*(written(batcher, prompt) for prompt in ("abc", "de"))) == [
            list("abc"),
            list("de"),
        ]
    assert model.batches == [["abc"], ["de"]]
