"""What a supervisor and a worker say to each other, over one inherited socket."""

import asyncio

import msgspec

from service.serving.engines.messages import FRAME_HEADER


class Status(msgspec.Struct, frozen=True, tag=True):
    """How a worker does; also its sign of life.

    Args:
        listening: it has looked at the repository, and takes connections.
        ready: requests may come.
    """

    listening: bool
    ready: bool


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A worker cannot start with these settings as things are; it ends."""

    message: str


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of a metrics page."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """One metric with its samples; `kind` as in the exposition format."""

    name: str
    documentation: str
    kind: str
    samples: list[Sample]


class Page(msgspec.Struct, frozen=True, tag=True):
    """Everything that a worker measures, in answer to the Collect of this number."""

    number: int
    families: list[Family]


class Collect(msgspec.Struct, frozen=True, tag=True):
    """Tell what you measure."""

    number: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Finish what is in flight, and end."""


News = Status | Refused | Page
Order = Collect | Drain

NEWS: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(News)
ORDER: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)

_ENCODER = msgspec.msgpack.Encoder()


def framed(message: News | Order) -> bytes:
    """A message as it goes over the socket: length, then MessagePack."""
    body = _ENCODER.encode(message)
    return FRAME_HEADER.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next message, to be decoded.

    Raises:
        EOFError: the other side is gone.
    """
    try:
        (length,) = FRAME_HEADER.unpack(await reader.readexactly(FRAME_HEADER.size))
        return await reader.readexactly(length)
    except ConnectionError as error:
        raise EOFError from error
