"""A worker's end: tells the supervisor how it does and what it measures, and hears when to end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Self

from prometheus_client import CollectorRegistry

from service.workers.messages import ORDER, Collect, Drain, Family, News, Page, Sample, Status, framed, read_frame

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
"""How often a worker gives a sign of life."""


class SupervisorLink:
    """The socket to the supervisor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, number: int) -> Self:
        """Take the socket that was inherited under this descriptor number."""
        return cls(*await asyncio.open_connection(sock=socket.socket(fileno=number)))

    def tell(self, news: News) -> None:
        """Send news; nothing happens if the supervisor is gone."""
        if not self._writer.is_closing():
            self._writer.write(framed(news))

    async def beat(self, status: Callable[[], Status], changed: Callable[[], Awaitable[None]]) -> None:
        """Tell the status at every change, and again and again meanwhile, until cancelled."""
        while True:
            self.tell(status())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await changed()

    async def follow_orders(self, registry: CollectorRegistry, stop: asyncio.Event) -> None:
        """Answer the supervisor until it is gone. `stop` is set then, and when it says to drain."""
        try:
            while True:
                order = ORDER.decode(await read_frame(self._reader))
                if isinstance(order, Drain):
                    stop.set()
                elif isinstance(order, Collect):
                    self.tell(Page(order.number, families_of(registry)))
        except EOFError:
            logger.warning("supervisor_gone")
            stop.set()

    async def close(self) -> None:
        """Send what has been told, and close."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def families_of(registry: CollectorRegistry) -> list[Family]:
    """Everything that a registry holds, as plain values."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [Sample(sample.name, dict(sample.labels), float(sample.value)) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]
