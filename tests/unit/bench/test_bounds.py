"""What a service could have: what the limit's loop is given in place of all texts, and what calls cost beside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from seqserve.v1 import inference_service_pb2 as messages
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.ready_server import ReadyServicer
from tests.bench.serving.contenders.servers import Server
from tests.bench.serving.figures import Sample
from tests.bench.serving.load.spec import Item
from tests.bench.serving.parts import bounds
from tests.bench.serving.parts.bench import Bench, Served, Shape
from tests.bench.serving.parts.lineup import LIMIT
from tests.bench.serving.rounds import Contender, Measured, Tries


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of the servers with answers at hand that were opened; ours takes 8 ms, and nothing is measured."""
    waits: list[float] = []

    @contextmanager
    def ready_server(_: Sequence[Item], seconds: float) -> Iterator[Server]:
        waits.append(seconds)
        yield Server("none", 0)

    @contextmanager
    def seqserve_server(_: Path) -> Iterator[Server]:
        yield Server("none", 0)

    @contextmanager
    def triton_tuned(*_: object, **__: object) -> Iterator[list[Contender]]:
        yield [Contender("Triton (tuned)", lambda: Sample(150, 150, p50_ms=4.0, server_cpu=1.0))]

    def loaded(_: Bench, __: Job, served: Served, ___: Shape) -> Contender:
        return Contender(served.title, lambda: Sample(100, 100, p50_ms=8.0, server_cpu=1.0, generator_cpu=0.5))

    monkeypatch.setattr(bounds, "ready_server", ready_server)
    monkeypatch.setattr(bounds, "seqserve_server", seqserve_server)
    monkeypatch.setattr(bounds, "loaded", loaded)
    monkeypatch.setattr(bounds, "triton_tuned", triton_tuned)
    monkeypatch.setattr(bounds, "mixed_items", lambda job: job.items)
    return waits


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int | None]]:
    """The bare loops that were asked for: engine, batch size and window."""
    asked: list[tuple[str, int, int | None]] = []

    def bare(_: Bench, job: Job, title: str, engine: str, size: int, *, window: int | None = None) -> Contender:
        asked.append((engine, size, window))
        return Contender(title, lambda: Sample(200 + size, 1, server_cpu=1.0))

    best = Measured(
        {"engine, batches of 64, 1 threads": [Sample(9, 9)], "onnx, batches of 32, 1 threads": [Sample(1, 1)]}
    )
    limit = Contender(LIMIT, lambda: Sample(400, 1, server_cpu=1.0)), Tries(best, "items_per_second")
    monkeypatch.setattr(bounds, "bare", bare)
    monkeypatch.setattr(bounds, "find_limit", lambda *_: limit)
    return asked


@pytest.mark.usefixtures("opened")
def test_the_limit_s_own_loop_is_given_what_two_lists_hold(loops: list[tuple[str, int, int | None]]) -> None:
    found = bounds.bounds(_FakeBench([], None, Path(), rounds=1))
    assert loops == 4 * [("engine", size, 32) for size in (32, 16, 8, 4)]
    assert found.count("| engine, 32 at a time, in runs of 8 |") == 4


@pytest.mark.usefixtures("loops")
def test_answers_at_hand_come_at_once_and_after_as_long_as_ours_take(opened: list[float]) -> None:
    found = bounds.bounds(_FakeBench([], None, Path(), rounds=1))
    assert opened == 8 * [0.0, 0.008]
    lines = [line.split(" | ") for line in found.splitlines() if line.startswith("| `tiny@1`, ")]
    assert [line[0] for line in lines] == [
        "| `tiny@1`, 32 calls in flight, one text each",
        "| `tiny@1`, 2 calls in flight, 16 texts each",
        "| `tiny@1`, 32 calls in flight, 16 texts each",
        "| `tiny@1`, sources of 6 to 60 tokens, 32 calls in flight, one text each",
        "| `tiny@1`, 32 calls in flight, one text each",
        "| `tiny@1`, 2 calls in flight, 16 texts each",
        "| `tiny@1`, 32 calls in flight, 16 texts each",
        "| `tiny@1`, one call in flight, one text each",
    ]
    # of the loops, runs of 32 are the best here: 232 texts per CPU-second
    figures = ["2,500", "4,310", "10,000", "10,000", "10,000", "0.17", "0.25", "5,000", "104", "100"]
    assert lines[0][1:] == [*figures, "150", "8.00", "8.00", "4.00 |"]
    assert lines[1][1:] == [*figures, "", "8.00", "8.00", " |"]


def test_what_can_be_had_is_the_limit_over_loop_and_calls_and_cores_over_these_and_the_client() -> None:
    rates = {LIMIT: (100, 200), "loop": (50, 100), bounds.AT_ONCE: (100, 100), bounds.PACED: (50, 100),
             bounds.OURS: (20, 40)}  # fmt: skip
    samples = {
        title: [Sample(rate, 1, server_cpu=1.0, generator_cpu=1.0) for rate in both] for title, both in rates.items()
    }
    can, had, client, most, ours, triton, *_ = bounds.figures(Measured(samples), "loop", cores=2)[5:]
    assert can == "0.25 (0.25 to 0.25)"
    assert had == "0.20 (0.20 to 0.20)"
    assert client == "15,000 (10,000 to 20,000)"
    assert most == "50 (33 to 67)"
    assert ours == "30 (20 to 40)"
    assert triton == ""


async def test_a_server_with_answers_at_hand_gives_each_text_its_own() -> None:
    servicer = ReadyServicer([Item("a", "uno", 1), Item("b", "due", 2)], seconds=0.0)
    translated = await servicer.TranslateText(messages.TranslateTextRequest(texts=["b", "a"]), None)
    classified = await servicer.ClassifyText(messages.ClassifyTextRequest(texts=["b", "a"]), None)
    assert [(one.text, one.token_count) for one in translated.translations] == [("due", 2), ("uno", 1)]
    assert [one.labels[0].label for one in classified.classifications] == ["due", "uno"]


class _FakeBench(Bench):
    """Jobs without models."""

    def job(self, task: object) -> "_FakeJob":
        return _FakeJob("translation", "tiny", Path("models/tiny/1"), "int8", [], "none")


class _FakeJob(Job):
    reference = "tiny@1"

    def in_mode(self, mode: str) -> "_FakeJob":
        return self
