"""Streams that go on after their server was lost: nothing is missing, nothing comes twice, or there is an error."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from seqserve import AsyncClient, Client, FinishReason, GeneratedChunk, InternalError, UnavailableError

if TYPE_CHECKING:
    from tests.unit.seqserve.fake_server import FakeServer

Read = Callable[..., Awaitable[list[GeneratedChunk]]]
TOKENS: dict[str, Any] = {"include_state_token": True, "state_token_interval": 4, "include_token_scores": True}
WHOLE = " ".join(map(str, range(20)))  # the last blank is held back


@pytest.fixture(params=["Client", "AsyncClient"])
def read(request: pytest.FixtureRequest, sync_client: Client, async_client: AsyncClient) -> Read:
    """All chunks of a generation that brings a state token every 4 tokens, by either client."""

    async def by_async(**options: Any) -> list[GeneratedChunk]:
        return [chunk async for chunk in async_client.generate("fake", "lost", **(TOKENS | options))]

    async def by_sync(**options: Any) -> list[GeneratedChunk]:
        return await asyncio.to_thread(lambda: list(sync_client.generate("fake", "lost", **(TOKENS | options))))

    return by_async if request.param == "AsyncClient" else by_sync


@pytest.mark.parametrize(
    "lost_after",
    [
        pytest.param([5], id="a token after a state"),
        pytest.param([4], id="at a state"),
        pytest.param([7], id="shortly before the next state"),
        pytest.param([7, 1], id="twice, the second time before anything new"),
        pytest.param([6, 3, 2], id="three times"),
        pytest.param([19], id="before the last message"),
    ],
)
async def test_a_lost_server_is_not_seen_in_the_text(lost_after: list[int], read: Read, server: "FakeServer") -> None:
    server.lost_after = list(lost_after)
    chunks = await read()
    assert "".join(chunk.text for chunk in chunks) == WHOLE
    assert sum(chunk.token_count for chunk in chunks) == 20
    assert [score.token for chunk in chunks for score in chunk.token_scores] == [str(word) for word in range(20)]
    for before, after in pairwise(chunks):
        assert after.first_token_index == before.first_token_index + before.token_count
    assert [chunk.model_version is None for chunk in chunks] == [False] + [True] * (len(chunks) - 1)
    assert [chunk.seed for chunk in chunks] == [77] + [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason is FinishReason.LENGTH
    assert len(server.received) == 1 + len(lost_after)


async def test_a_state_token_that_is_given_out_stands_after_all_that_was_given_out(
    read: Read, server: "FakeServer"
) -> None:
    server.lost_after = [7]
    ends = [
        (chunk.first_token_index + chunk.token_count, int(chunk.state_token))
        for chunk in await read()
        if chunk.state_token
    ]
    assert ends == [(place, place) for place in (4, 8, 12, 16, 20)]


async def test_the_rest_is_asked_of_the_same_version_from_the_last_token(read: Read, server: "FakeServer") -> None:
    server.lost_after = [10]
    await read(temperature=0.5, echo=True, allow_partial=True, seed=3)
    request = server.received[1].request
    assert (request.model, request.state_token, request.prompt) == ("fake@3", b"8", "")
    assert {field.name for field, _ in request.ListFields()} == {
        "model", "state_token", "include_token_scores", "include_state_token", "state_token_interval", "allow_partial",
    }  # fmt: skip


async def test_a_text_that_goes_on_otherwise_is_an_error(read: Read, server: "FakeServer") -> None:
    server.lost_after, server.otherwise = [7], "?"
    with pytest.raises(InternalError, match="goes on otherwise"):
        await read()


@pytest.mark.parametrize(
    ("options", "lost_after"),
    [
        pytest.param({"include_state_token": False, "state_token_interval": None}, [7, 12], id="no tokens"),
        pytest.param({"include_state_token": False, "state_token_interval": None}, [7, 3], id="lost earlier again"),
        pytest.param({}, [3, 6], id="none yet"),
    ],
)
async def test_without_a_token_the_text_is_begun_anew_by_its_seed(
    options: dict[str, Any], lost_after: list[int], read: Read, server: "FakeServer"
) -> None:
    server.lost_after = list(lost_after)
    chunks = await read(**options)
    assert "".join(chunk.text for chunk in chunks).rstrip() == WHOLE
    assert [score.token for chunk in chunks for score in chunk.token_scores] == [str(word) for word in range(20)]
    request = server.received[1].request
    assert (request.model, request.seed, request.prompt, request.state_token) == ("fake@3", 77, "lost", b"")


async def test_a_text_that_was_not_sampled_is_begun_anew_without_a_seed(read: Read, server: "FakeServer") -> None:
    server.lost_after = [3]
    await read(temperature=0)
    request = server.received[1].request
    assert (request.model, request.temperature, request.HasField("seed")) == ("fake@3", 0, False)


async def test_several_samples_are_not_begun_anew(async_client: AsyncClient, server: "FakeServer") -> None:
    server.lost_after = [3]
    with pytest.raises(UnavailableError, match="lost"):
        await async_client.generate_texts("fake", "lost", sample_count=2)
    assert len(server.received) == 1


async def test_a_server_that_stays_lost_is_an_error(read: Read, server: "FakeServer") -> None:
    server.lost_after = [5, *[0] * 9]
    with pytest.raises(UnavailableError, match="lost"):
        await read()
    assert len(server.received) == 1 + 4, "four attempts, which are gRPC's"


async def test_a_text_that_ends_every_server_at_one_place_is_an_error(read: Read, server: "FakeServer") -> None:
    server.lost_after = [7, *[1] * 9]
    with pytest.raises(UnavailableError, match="lost"):
        await read()
    assert len(server.received) == 4


async def test_a_whole_text_outlives_its_server_too(async_client: AsyncClient, server: "FakeServer") -> None:
    server.lost_after = [9]
    text = await async_client.generate_text("fake", "lost", include_state_token=True, state_token_interval=4)
    assert (text.text, text.token_count, text.state_token) == (WHOLE, 20, b"20")
