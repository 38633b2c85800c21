"""What a load generator is told and what it reports: plain values that cross to its process as a line of JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Protocol = Literal["seqserve", "open_inference"]
Task = Literal["classification", "translation", "generation"]


@dataclass(frozen=True)
class Item:
    """A text to send, the answer that the bundle's graphs give to it alone, and the tokens that answer has."""

    text: str
    expected: str
    token_count: int


@dataclass(frozen=True)
class LoadSpec:
    """One load.

    Attributes:
        protocol: the server's.
        target: `host:port`.
        model: as the server calls it.
        task: decides the method; a generation is streamed.
        items: sent in turn, again and again.
        calls_in_flight: kept up all the time.
        list_size: texts per call.
        connections: that the calls take in turn.
        warm_seconds: of load before anything counts.
        seconds: of load that counts.
        first_item: where this generator begins among the items.
        delay_seconds: to wait with the first call.
        options: of each call, as the client names them.
    """

    protocol: Protocol
    target: str
    model: str
    task: Task
    items: list[Item]
    calls_in_flight: int = 32
    list_size: int = 1
    connections: int = 4
    warm_seconds: float = 0.5
    seconds: float = 3.0
    first_item: int = 0
    delay_seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(line)
        return cls(**{**values, "items": [Item(**item) for item in values["items"]]})


@dataclass
class Report:
    """What one process saw while it counted.

    Attributes:
        items: texts answered.
        tokens: of their answers; of a stream, each as it came.
        messages: of streams, those that brought tokens.
        different: answers that were not the expected ones.
        latencies_ms: of each call.
        firsts_ms: of a stream, from the call to the first text.
        gaps_ms: of a stream, between a token and the next; none between those of one message.
        cpu_seconds: that the process used.
    """

    items: int = 0
    tokens: int = 0
    messages: int = 0
    different: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    firsts_ms: list[float] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(line))

    def add(self, other: Self) -> None:
        """Count another process' report in."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
