"""What a request waits on while an engine works for it: tokens as they come, and how it ended.   Knows no engine."""

import asyncio
import math
import time

from service.errors import (
    DeadlineExceededError,
    EngineLostError,
    InferenceFailedError,
    ModelNotReadyError,
    ServiceError,
)
from service.serving.engines.messages import Classified, Decoded, Event, Failed, Tokens

_ERROR_BY_REASON: dict[str, type[ServiceError]] = {
    error.reason: error for error in (DeadlineExceededError, EngineLostError, InferenceFailedError, ModelNotReadyError)
}


class Ticket:
    """One work of so many rows under way: tokens as they come, and how it ended.

    Waits last until `deadline` at most.
    """

    def __init__(self, work_id: int, deadline: float, row_count: int = 1) -> None:
        self.work_id = work_id
        self.row_count = row_count
        self._deadline = deadline
        self._tokens: list[Tokens] = []
        self._end: Classified | Decoded | ServiceError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._told = self._urgent = self._gathering = False
        self._given = -math.inf  # when news were given last

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._end is not None

    def tell(self, event: Event | ServiceError) -> None:
        """Take an event of this work."""
        self._told = True
        if isinstance(event, Tokens):
            self._tokens.append(event)
            self._urgent |= event.ending is not None
        elif isinstance(event, Failed):
            self._end = _ERROR_BY_REASON.get(event.reason, InferenceFailedError)(event.message)
        elif isinstance(event, Classified | Decoded | ServiceError):
            self._end = event
        self._urgent |= self._end is not None
        if self._urgent or not self._gathering:
            self._wake()

    async def news(self, gather_seconds: float = 0.0) -> tuple[list[Tokens], Classified | Decoded | None]:
        """Wait for something new: what was told of tokens since the last call, and the answer if it is complete.

        Args:
            gather_seconds: for so long after the last news, tokens wait for more. Never those that end a sample.

        Raises:
            DeadlineExceededError: nothing came before the deadline.
            ServiceError: the work failed.
        """
        gathered = self._given + gather_seconds
        if gathered > time.monotonic() and not self._urgent:
            self._gathering = True
            try:
                await self._wait(min(gathered, self._deadline))
            finally:
                self._gathering = False
        if not self._told:
            await self._wait(self._deadline)
        if not self._told:
            raise DeadlineExceededError("the deadline passed before the answer was complete")
        if isinstance(self._end, ServiceError):
            if not self._tokens:
                raise self._end
            tokens, self._tokens = self._tokens, []
            return tokens, None  # what was written before the failure is told before it; the next call raises
        self._told = self._urgent = False
        self._given = time.monotonic()
        tokens, self._tokens = self._tokens, []
        return tokens, self._end

    async def _wait(self, until: float) -> None:
        """Wait to be told something, or until then; a future and a timer, for asyncio's timeout costs several."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(until, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def answer(self) -> Classified | Decoded:
        """Wait for the complete answer; errors as in `news`."""
        while True:
            _, end = await self.news()
            if end is not None:
                return end
