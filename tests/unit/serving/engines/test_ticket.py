"""What waits for an engine's answer: woken at once by what matters, later by tokens that may share a message."""

import asyncio
import time

import pytest

from service.engine.requests import Ending
from service.errors import DeadlineExceededError, EngineLostError
from service.serving.engines.messages import Decoded, Failed, Tokens
from service.serving.engines.ticket import Ticket

LONG = 60.0
SHORT = 0.05


def ticket_with_news(seconds: float = LONG) -> Ticket:
    ticket = Ticket(1, time.monotonic() + seconds)
    ticket.tell(tokens(7))
    return ticket


def tokens(token_id: int, ending: Ending | None = None) -> Tokens:
    return Tokens(1, [token_id], 0.0, ending=ending)


def ids(told: list[Tokens]) -> list[int]:
    return [token_id for one in told for token_id in one.token_ids]


async def test_first_tokens_wait_for_nothing() -> None:
    told, end = await asyncio.wait_for(ticket_with_news().news(LONG), 5)
    assert (ids(told), end) == ([7], None)


async def test_tokens_wait_for_more_after_the_last_news_until_the_time_is_up() -> None:
    ticket = ticket_with_news()
    await ticket.news(SHORT)
    given = time.monotonic()
    waiting = asyncio.create_task(ticket.news(SHORT))
    for token_id in (8, 9):
        await asyncio.sleep(0)
        ticket.tell(tokens(token_id))
    told, _ = await asyncio.wait_for(waiting, 5)
    assert ids(told) == [8, 9]
    assert time.monotonic() - given > SHORT / 2


async def test_without_such_a_time_tokens_are_news_at_once() -> None:
    ticket = ticket_with_news()
    await ticket.news()
    ticket.tell(tokens(8))
    told, _ = await asyncio.wait_for(ticket.news(), 5)
    assert ids(told) == [8]


async def test_tokens_after_a_silence_as_long_wait_for_nothing() -> None:
    ticket = ticket_with_news()
    await ticket.news(SHORT)
    await asyncio.sleep(1.5 * SHORT)
    waiting = asyncio.create_task(ticket.news(SHORT))
    await asyncio.sleep(0)
    ticket.tell(tokens(8))
    begun = time.monotonic()
    told, _ = await waiting
    assert ids(told) == [8]
    assert time.monotonic() - begun < SHORT


@pytest.mark.parametrize("before", [True, False], ids=["told before it is waited for", "told while it is"])
async def test_tokens_that_end_a_sample_wait_for_nothing(before: bool) -> None:
    ticket = ticket_with_news()
    await ticket.news(LONG)
    if before:
        ticket.tell(tokens(8, Ending.LENGTH))
    waiting = asyncio.create_task(ticket.news(LONG))
    await asyncio.sleep(0)
    if not before:
        ticket.tell(tokens(8, Ending.LENGTH))
    told, _ = await asyncio.wait_for(waiting, 5)
    assert ids(told) == [8]


async def test_an_answer_waits_for_nothing_and_brings_the_tokens_before_it() -> None:
    ticket = ticket_with_news()
    await ticket.news(LONG)
    waiting = asyncio.create_task(ticket.news(LONG))
    await asyncio.sleep(0)
    ticket.tell(tokens(8))
    answer = Decoded(1, [], 0.0, 0.0)
    ticket.tell(answer)
    assert await asyncio.wait_for(waiting, 5) == ([tokens(8)], answer)


async def test_a_failure_waits_for_nothing() -> None:
    ticket = ticket_with_news()
    await ticket.news(LONG)
    waiting = asyncio.create_task(ticket.news(LONG))
    await asyncio.sleep(0)
    ticket.tell(Failed(1, EngineLostError.reason, "killed"))
    with pytest.raises(EngineLostError, match="killed"):
        await asyncio.wait_for(waiting, 5)


async def test_the_deadline_ends_a_wait_for_more_tokens_and_then_the_work() -> None:
    ticket = ticket_with_news(SHORT)
    await ticket.news(LONG)
    ticket.tell(tokens(8))
    told, _ = await asyncio.wait_for(ticket.news(LONG), 5)
    assert ids(told) == [8]
    with pytest.raises(DeadlineExceededError):
        await asyncio.wait_for(ticket.news(LONG), 5)


async def test_a_wait_that_is_cancelled_loses_no_tokens() -> None:
    ticket = Ticket(1, time.monotonic() + LONG)
    waiting = asyncio.create_task(ticket.news())
    await asyncio.sleep(0)
    ticket.tell(tokens(7))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    told, _ = await asyncio.wait_for(ticket.news(), 5)
    assert ids(told) == [7]


async def test_tokens_that_wait_for_more_are_told_before_a_failure() -> None:
    ticket = ticket_with_news()
    await ticket.news(LONG)
    ticket.tell(tokens(8))
    ticket.tell(Failed(1, EngineLostError.reason, "killed"))
    told, end = await asyncio.wait_for(ticket.news(LONG), 5)
    assert (ids(told), end) == ([8], None)
    with pytest.raises(EngineLostError, match="killed"):
        await asyncio.wait_for(ticket.news(LONG), 5)


async def test_after_a_cancelled_wait_for_more_a_token_is_news_at_once() -> None:
    ticket = ticket_with_news()
    await ticket.news(LONG)
    waiting = asyncio.create_task(ticket.news(LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.create_task(ticket.news())
    await asyncio.sleep(0)
    ticket.tell(tokens(9))
    told, _ = await asyncio.wait_for(waiting, 5)
    assert ids(told) == [9]
