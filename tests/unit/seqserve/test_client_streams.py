"""Generation streams: chunks as they come, and a server that is told when nobody listens any more."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import grpc
import pytest

from seqserve import AsyncClient, Client, FinishReason, GeneratedChunk, InternalError, NotFoundError

if TYPE_CHECKING:
    from tests.unit.seqserve.fake_server import FakeServer

SERVER_NOTICES_WITHIN_SECONDS = 5


async def server_noticed(server: "FakeServer") -> None:
    await asyncio.wait_for(server.endless_stream_left.wait(), SERVER_NOTICES_WITHIN_SECONDS)


def check_chunks(chunks: list[GeneratedChunk]) -> None:
    assert [chunk.text for chunk in chunks] == ["one ", "two ", ""]
    assert [chunk.first_token_index for chunk in chunks] == [0, 1, 2]
    assert [str(chunk.model_version) for chunk in chunks] == ["fake@3", "None", "None"]
    assert [chunk.seed for chunk in chunks] == [77, None, None]
    assert [chunk.finish_reason for chunk in chunks] == [None, None, FinishReason.STOP]
    assert [chunk.timings is None for chunk in chunks] == [True, True, False]


async def test_chunks_come_in_order(sync_client: Client) -> None:
    check_chunks(await asyncio.to_thread(lambda: list(sync_client.generate("fake", "one two"))))


async def test_chunks_come_in_order_in_asyncio(async_client: AsyncClient) -> None:
    check_chunks([chunk async for chunk in async_client.generate("fake", "one two")])


async def test_a_for_loop_left_early_cancels(sync_client: Client, server: "FakeServer") -> None:
    def read_one() -> None:
        for chunk in sync_client.generate("fake", "endless"):
            assert chunk.text == "la "
            break

    await asyncio.to_thread(read_one)
    await server_noticed(server)


async def test_a_for_loop_left_early_cancels_in_asyncio(async_client: AsyncClient, server: "FakeServer") -> None:
    async for chunk in async_client.generate("fake", "endless"):
        assert chunk.text == "la "
        break
    await server_noticed(server)


async def test_a_with_block_left_early_cancels_and_ends_the_stream(sync_client: Client, server: "FakeServer") -> None:
    def read_two() -> list[GeneratedChunk]:
        with sync_client.generate("fake", "endless") as stream:
            assert len(list(islice(stream, 2))) == 2
        return list(stream)

    assert await asyncio.to_thread(read_two) == []
    await server_noticed(server)


async def test_a_with_block_left_early_cancels_and_ends_the_stream_in_asyncio(
    async_client: AsyncClient, server: "FakeServer"
) -> None:
    async with async_client.generate("fake", "endless") as stream:
        await anext(stream)
    assert [chunk async for chunk in stream] == []
    await server_noticed(server)


async def test_a_stream_closed_by_another_thread_ends(sync_client: Client, server: "FakeServer") -> None:
    stream = await asyncio.to_thread(sync_client.generate, "fake", "endless")
    reader = asyncio.create_task(asyncio.to_thread(lambda: list(stream)))
    await asyncio.sleep(0.1)
    stream.close()
    assert len(await reader) > 0
    await server_noticed(server)


async def test_a_stream_closed_by_another_task_ends(async_client: AsyncClient, server: "FakeServer") -> None:
    async def read() -> list[GeneratedChunk]:
        return [chunk async for chunk in stream]

    stream = async_client.generate("fake", "endless")
    reader = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await stream.close()
    assert len(await reader) > 0
    await server_noticed(server)


async def test_a_stream_closed_while_it_waits_for_its_turn_ends(
    sync_client: Client, server: "FakeServer", refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_seconds=2)
    stream = await asyncio.to_thread(sync_client.generate, "fake", "endless")
    reader = asyncio.create_task(asyncio.to_thread(lambda: list(stream)))
    await asyncio.sleep(0.2)
    stream.close()
    assert await asyncio.wait_for(reader, 1) == []
    assert len(server.received) == 1


async def test_a_cancelled_task_cancels_its_stream(async_client: AsyncClient, server: "FakeServer") -> None:
    async def read() -> None:
        async for _ in async_client.generate("fake", "endless"):
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await server_noticed(server)


async def test_a_failure_in_mid_stream_is_raised_after_what_came_before(sync_client: Client) -> None:
    def read() -> None:
        stream = sync_client.generate("fake", "broken")
        assert next(stream).text == "broken "
        with pytest.raises(InternalError, match="no more"):
            next(stream)

    await asyncio.to_thread(read)


async def test_a_failure_in_mid_stream_is_raised_after_what_came_before_in_asyncio(async_client: AsyncClient) -> None:
    stream = async_client.generate("fake", "broken")
    assert (await anext(stream)).text == "broken "
    with pytest.raises(InternalError, match="no more"):
        await anext(stream)


async def test_a_refused_generation_is_an_error_with_its_reason(
    async_client: AsyncClient, sync_client: Client, refuse: Callable[..., None]
) -> None:
    refuse(grpc.StatusCode.NOT_FOUND, "no model x", reason="MODEL_NOT_FOUND")
    with pytest.raises(NotFoundError, match="MODEL_NOT_FOUND: no model x"):
        await async_client.generate_text("x")
    refuse(grpc.StatusCode.NOT_FOUND, "no model x", reason="MODEL_NOT_FOUND")
    with pytest.raises(NotFoundError, match="MODEL_NOT_FOUND: no model x"):
        await asyncio.to_thread(sync_client.generate_text, "x")
