"""What front and engine say to each other: plain values that cross a thread or a process.   No tensors, no text.

Times are `time.monotonic()` seconds, which on Linux all processes of a machine share.
"""

import struct
from collections.abc import Sequence

import msgspec

from service.engine.requests import Alternatives, DecodeOptions, Ending
from service.engine.steps import Step
from service.state.contents import CarriedRow


class Load(msgspec.Struct, frozen=True, tag=True):
    """Open the bundle at `path` under the number `model_id`, prove it, and answer Loaded or LoadFailed."""

    model_id: int
    path: str
    device: str


class Unload(msgspec.Struct, frozen=True, tag=True):
    """Forget a model, be it still being opened. Work that it has not done by then is answered by Failed."""

    model_id: int


class ClassifyWork(msgspec.Struct, frozen=True, tag=True):
    """Classify sequences, or every step of them, as the model does; each is a row. Answered by Classified or Failed.

    `states` has, for each row, the state that it begins with, as little-endian float32, or nothing to begin anew; it is
    empty where every row does. `keep_states` asks for those that the rows end with.
    `keep_logits` has the answer bring the logits too.
    """

    work_id: int
    model_id: int
    rows: Sequence[Sequence[Step]]
    arrival: float
    deadline: float
    states: list[bytes] = []
    keep_states: bool = False
    keep_logits: bool = False


class DecodeWork(msgspec.Struct, frozen=True, tag=True):
    """Decode prompts or sources, each a row; answered by Tokens (if it `streams`), then by Decoded or Failed.

    `forced` has, for each row, the tokens that it must begin with; it is empty where no row must. `carried` has, for
    each row, what it goes on from; it is empty where all begin. `allow_partial` answers with what there is when the
    deadline is near, and not with Failed.
    """

    work_id: int
    model_id: int
    rows: list[list[int]]
    arrival: float
    deadline: float
    options: DecodeOptions
    forced: list[list[int]] = []
    streams: bool = False
    allow_partial: bool = False
    carried: list[CarriedRow] = []


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Drop a work, wherever it is. Not answered."""

    work_id: int


class StopSample(msgspec.Struct, frozen=True, tag=True):
    """End one sample of a streaming work; what it has written so far is enough."""

    work_id: int
    sample: int


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Give a sign of life; answered by Pong."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End the engine."""


Work = ClassifyWork | DecodeWork
Command = Load | Unload | ClassifyWork | DecodeWork | Cancel | StopSample | Ping | Stop


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The model answers from now on.

    `batch_size`: how many sequences are enough for one run of it. `exact`: whether answers alone and in a crowd were
    the same.
    """

    model_id: int
    digest: str
    precision: str
    provider: str
    load_seconds: float
    numerics_class: str = ""
    batch_size: int = 1
    exact: bool = False


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """The bundle cannot serve; `message` says which rule it breaks."""

    model_id: int
    message: str


class Classified(msgspec.Struct, frozen=True, tag=True):
    """Probabilities of every row, [rows][steps][labels], in order. A classifier gives every row one step.

    `states` are those that the rows end with, where they were asked for.
    `logits` are as many; none unless the work keeps them.
    """

    work_id: int
    probabilities: list[list[list[float]]]
    queue_seconds: float
    compute_seconds: float
    states: list[bytes] = []
    logits: list[list[list[float]]] = []


class Tokens(msgspec.Struct, frozen=True, tag=True):
    """More tokens of one sample of a streaming work; `ending` is set with its last ones.

    `log_probabilities`, `alternatives` and `carried` are as in `service.engine.requests.News`.
    """

    work_id: int
    token_ids: list[int]
    queue_seconds: float
    sample: int = 0
    ending: Ending | None = None
    log_probabilities: list[float] = []
    alternatives: list[Alternatives] = []
    carried: CarriedRow | None = None


class DecodedHypothesis(msgspec.Struct, frozen=True):
    """A text that was decoded: `service.engine.requests.Hypothesis`, with attention as [tokens][source tokens]."""

    token_ids: list[int]
    ending: Ending
    log_probabilities: list[float] | None = None
    score: float | None = None
    attention: list[list[float]] | None = None
    aligned: list[int] | None = None


class Decoded(msgspec.Struct, frozen=True, tag=True):
    """Every row of a work has ended: the hypotheses of each, best first.

    `first_token_seconds` counts from arrival; None: no token was produced.
    """

    work_id: int
    rows: list[list[DecodedHypothesis]]
    queue_seconds: float
    compute_seconds: float
    first_token_seconds: float | None = None


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A work ended without an answer. `reason` is the reason of a ServiceError class."""

    work_id: int
    reason: str
    message: str


class Pong(msgspec.Struct, frozen=True, tag=True):
    """The engine turns."""


class Ran(msgspec.Struct, frozen=True, tag=True):
    """A graph ran once: what the metrics want to know of it."""

    model_id: int
    graph: str
    rows: int
    padding_ratio: float
    seconds: float


Event = Loaded | LoadFailed | Classified | Tokens | Decoded | Failed | Pong | Ran

COMMAND: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
EVENTS: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])
FRAME_HEADER = struct.Struct(">I")
"""Before each message on a byte stream: its length in bytes."""

_ENCODER = msgspec.msgpack.Encoder()


def frame(message: Command | list[Event]) -> bytes:
    """A message as it goes over a byte stream: length, then MessagePack."""
    body = _ENCODER.encode(message)
    return FRAME_HEADER.pack(len(body)) + body


class FrameBuffer:
    """Bytes as they come off a byte stream, cut into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def take(self, received: bytes | memoryview) -> list[bytearray]:
        """Add what was received; the messages that are whole now, without their headers."""
        self._bytes += received
        whole: list[bytearray] = []
        position = 0
        while len(self._bytes) - position >= FRAME_HEADER.size:
            (length,) = FRAME_HEADER.unpack_from(self._bytes, position)
            end = position + FRAME_HEADER.size + length
            if end > len(self._bytes):
                break
            whole.append(self._bytes[position + FRAME_HEADER.size : end])
            position = end
        del self._bytes[:position]
        return whole
