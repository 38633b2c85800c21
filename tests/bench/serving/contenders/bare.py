"""A bare loop: the whole job, text in and text out, in batches as large as one likes, and no service.

A process of its own: reads a BareSpec, says `ready`, begins at `go`, and writes a Report, as load generators do.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, Self

from tests.bench.serving.contenders.drawing import drawn
from tests.bench.serving.contenders.engine_model import TOP_K, TOP_P, EngineModel
from tests.bench.serving.figures import Sample
from tests.bench.serving.load.processes import Worker, measure
from tests.bench.serving.load.spec import Item, Report
from tests.bench.serving.peers.bare_models import Answer, Choose, greedy, load, onnx_run


class Answering(Protocol):
    """A model that takes a batch of texts."""

    def answers(self, texts: list[str]) -> list[Answer]:
        """The answers, in the order of the texts."""
        ...


@dataclass(frozen=True)
class BareSpec:
    """One bare loop.

    Attributes:
        folder: the bundle.
        engine: `onnx` is the limit; `engine` is our own step loop without a service; the others are torch's.
        mode: how tokens are chosen: `greedy`, `sampled` (temperature 1, seed 1), `top_k` (40 of them), `top_p` (0.9 of
            the mass) or `beam` (4 wide).
        items: in turn, again and again.
        batch_size: texts that run together.
        threads: of each graph, or of torch.
        warm_seconds: before anything counts.
        seconds: that count.
        first_item: where this process begins.
        token_count: most tokens to write; None: as many as the model may.
        window: texts that are known at a time, in the order of the items; of these, batches are of similar length.
            None: all of them.
    """

    folder: str
    items: list[Item]
    engine: str = "onnx"
    mode: str = "greedy"
    batch_size: int = 32
    threads: int = 1
    warm_seconds: float = 0.5
    seconds: float = 3.0
    first_item: int = 0
    token_count: int | None = None
    window: int | None = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(line)
        return cls(**{**values, "items": [Item(**item) for item in values["items"]]})


def run_bare(spec: BareSpec, processes: int) -> Sample:
    """Run so many bare loops side by side, each over all items from a place of its own on."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.serving.contenders.bare"]
    firsts = [number * len(spec.items) // processes for number in range(processes)]
    specs = [BareSpec(**{**vars(spec), "first_item": first}) for first in firsts]
    workers = [Worker(command, one.to_json()) for one in specs]
    return measure(workers, spec.warm_seconds, spec.seconds)


def batches(spec: BareSpec) -> Iterator[list[Item]]:
    """The batches of a loop, without end."""
    window = spec.window or len(spec.items)
    cut = []
    for known in _runs(spec.items, window):
        cut += _runs(sorted(known, key=lambda item: len(item.text)), spec.batch_size)
    turn = spec.first_item * len(cut) // len(spec.items)
    while True:
        yield cut[turn % len(cut)]
        turn += 1


def _runs(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def run(spec: BareSpec, model: Answering, report: Report) -> None:
    """Answer batches for a while."""
    begin = time.perf_counter() + spec.warm_seconds
    end = begin + spec.seconds
    for batch in batches(spec):
        answers = model.answers([item.text for item in batch])
        now = time.perf_counter()
        if now >= end:
            return
        if now >= begin:
            report.items += len(batch)
            report.tokens += sum(count for _, count in answers)
            report.different += sum(item.expected != text for item, (text, _) in zip(batch, answers, strict=True))


def new_model(spec: BareSpec) -> Answering:
    """The model that a spec asks for."""
    folder = Path(spec.folder)
    if spec.engine == "engine":
        return EngineModel(folder, spec.mode, spec.batch_size, spec.token_count)
    if spec.engine != "onnx":
        from tests.bench.serving.contenders.pytorch.models import (
            torch_model,
        )  # slow to import, and the limit needs none

        return torch_model(folder, spec.engine, spec.threads, spec.token_count)
    return load(folder, onnx_run(folder, spec.threads), spec.token_count, choosing(spec.mode))


def choosing(mode: str) -> Choose:
    """How a mode picks tokens."""
    if mode == "greedy":
        return greedy
    return drawn(top_k=TOP_K if mode == "top_k" else 0, top_p=TOP_P if mode == "top_p" else 1.0)


def main() -> None:
    """Spec in, report out."""
    spec = BareSpec.from_json(sys.stdin.readline())
    model = new_model(spec)
    for batch, _ in zip(batches(spec), range(3), strict=False):
        model.answers([item.text for item in batch])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    report = Report()
    run(spec, model, report)
    sys.stdout.write(report.to_json() + "\n")


if __name__ == "__main__":
    main()
