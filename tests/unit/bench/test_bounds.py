"""What a service could have: what the limit's loop is given in place of all texts, and what calls cost beside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from seqserve.v1 import inference_service_pb2 as messages
from tests.bench.serving.contenders import ready_server
from tests.bench.serving.contenders.bare_front import BareServicer
from tests.bench.serving.contenders.engine_model import answers_alone
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server
from tests.bench.serving.figures import Sample
from tests.bench.serving.load.spec import Item
from tests.bench.serving.parts import bounds
from tests.bench.serving.parts.bench import Bench, Served, Shape
from tests.bench.serving.parts.lineup import LIMIT, ONE_ENGINE, Lineup
from tests.bench.serving.rounds import Contender, Measured, Tries
from tests.bundles import publish_tiny

TEXTS = [Item(str(number), "", 1) for number in range(512)]
SERVERS = {
    "ours": Sample(100, 100, p50_ms=8.0, server_cpu=2.0, generator_cpu=0.5),
    "ours, --engine-count 1": Sample(50, 50, p50_ms=16.0, server_cpu=0.5, generator_cpu=0.5),
    "bare": Sample(120, 120, p50_ms=7.0, server_cpu=0.6, generator_cpu=0.5),
    "at hand after 0": Sample(1000, 100, p50_ms=2.0, server_cpu=0.5, generator_cpu=0.25),
    "at hand after 0.008": Sample(90, 100, p50_ms=9.0, server_cpu=0.09, generator_cpu=0.1),
}
"""What a load finds of each server, by its target."""


class FakeBench(Bench):
    """Jobs without models."""

    def job(self, task: object) -> "FakeJob":
        return FakeJob("translation", f"{task}", Path(f"models/{task}/1"), "int8", TEXTS, "none")


class FakeJob(Job):
    def in_mode(self, mode: str) -> "FakeJob":
        return replace(self, mode=mode)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int | None]]:
    """The bare loops that are asked for: engine, batch size and window. Runs of 32 are the best."""
    asked: list[tuple[str, int, int | None]] = []

    def bare(_: Bench, job: Job, title: str, engine: str, size: int, *, window: int | None = None) -> Contender:
        asked.append((engine, size, window))
        return Contender(title, lambda: Sample(1000 - size, 1, server_cpu=10.0 / size))

    best = Measured(
        {"engine, batches of 64, 1 threads": [Sample(9, 9)], "onnx, batches of 32, 1 threads": [Sample(1, 1)]}
    )
    limit = Contender(LIMIT, lambda: Sample(4000, 1, server_cpu=1.0)), Tries(best, "items_per_second")
    monkeypatch.setattr(bounds, "bare", bare)
    monkeypatch.setattr(bounds, "find_limit", lambda *_: limit)
    return asked


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, loops: list[tuple[str, int, int | None]]) -> list[str]:
    """The lines of the page, when nothing is measured."""

    @contextmanager
    def answering(items: Sequence[Item], seconds: float) -> Iterator[Server]:
        assert items == TEXTS
        yield Server(f"at hand after {seconds:g}", 0)

    @contextmanager
    def bare_front(folder: Path) -> Iterator[Server]:
        assert folder.name == "1"
        yield Server("bare", 0)

    @contextmanager
    def seqserve_server(_: Path, *flags: str) -> Iterator[Server]:
        yield Server(f"ours, {' '.join(flags)}" if flags else "ours", 0)

    @contextmanager
    def triton_tuned(
        _: Bench, __: Job, shape: Shape, lineup: Lineup, *, by: str, items: list[Item], about: str
    ) -> Iterator[list[Contender]]:
        assert (by, items, shape.list_size) == ("items_per_second", TEXTS, 1)
        lineup.tries[f"Triton, {about}"] = Tries(Measured({"a setting": [Sample(150, 150, p50_ms=4.0)]}))
        yield [Contender("Triton (tuned)", lambda: Sample(150, 150, p50_ms=4.0, server_cpu=1.0))]

    def loaded(_: Bench, __: Job, served: Served, ___: Shape) -> Contender:
        return Contender(served.title, lambda: SERVERS[served.server.target])

    monkeypatch.setattr(bounds, "ready_server", answering)
    monkeypatch.setattr(bounds, "seqserve_server", seqserve_server)
    monkeypatch.setattr(bounds, "bare_front", bare_front)
    monkeypatch.setattr(bounds, "loaded", loaded)
    monkeypatch.setattr(bounds, "triton_tuned", triton_tuned)
    monkeypatch.setattr(bounds, "mixed_items", lambda job: job.items)
    found = bounds.bounds(FakeBench([], None, Path(), rounds=1)).splitlines()
    assert loops
    return found


def test_the_limit_s_own_loop_is_given_what_two_lists_hold(
    page: list[str], loops: list[tuple[str, int, int | None]]
) -> None:
    assert loops == [*4 * [("engine", size, 32) for size in (32, 16, 8, 4)], ("engine", 1, 1)]
    assert sum(line.startswith("| engine, 32 at a time, in runs of 8 |") for line in page) == 4


def test_every_load_has_its_costs_and_what_of_the_limit_can_be_had(page: list[str]) -> None:
    costs = table(page, "the limit")
    assert list(costs) == [
        "`translation@1`, 32 calls in flight, one text each",
        "`translation@1`, 2 calls in flight, 16 texts each",
        "`translation@1`, 32 calls in flight, 16 texts each",
        "`translation@1`, sampled, 2 calls in flight, 16 texts each",
        "`translation@1`, sources of 6 to 60 tokens, 32 calls in flight, one text each",
        "`classification@1`, 32 calls in flight, one text each",
        "`classification@1`, 2 calls in flight, 16 texts each",
        "`classification@1`, 32 calls in flight, 16 texts each",
        "`classification@1`, one call in flight, one text each",
    ]
    # limit 250, loop 323, calls 500 or 1,000, one engine behind a bare front 5,000, behind ours 10,000
    usual = ["250", "323", "500", "1,000", "5,000", "10,000", "0.30", "0.19", "0.05", "0.03"]
    assert costs["`translation@1`, 32 calls in flight, one text each"] == usual
    assert costs["`classification@1`, 2 calls in flight, 16 texts each"] == usual
    # all texts are in flight
    whole = ["250", "250", "500", "1,000", "5,000", "10,000", "0.33", "0.20", "0.05", "0.03"]
    assert costs["`translation@1`, 32 calls in flight, 16 texts each"] == whole
    # one is
    alone = ["250", "10,010", "500", "1,000", "5,000", "10,000", "0.02", "0.02", "0.05", "0.03"]
    assert costs["`classification@1`, one call in flight, one text each"] == alone
    # a bare front does not sample
    sampled = ["250", "323", "500", "1,000", "", "10,000", "0.30", "0.19", "", "0.03"]
    assert costs["`translation@1`, sampled, 2 calls in flight, 16 texts each"] == sampled


def test_the_clock_has_all_cores_for_loop_calls_and_client_and_triton_beside_single_texts(page: list[str]) -> None:
    clock = table(page, "texts/s that can be had")
    # 2 cores over 323 + 500 + 250 microseconds
    single = ["1,864", "250", "90", "120", "100", "150", "2.00", "7.00", "8.00", "4.00"]
    assert clock["`translation@1`, sources of 6 to 60 tokens, 32 calls in flight, one text each"] == single
    lists = ["1,864", "250", "90", "120", "100", "", "2.00", "7.00", "8.00", ""]
    assert clock["`translation@1`, 2 calls in flight, 16 texts each"] == lists
    alone = ["", "250", "90", "120", "100", "150", "2.00", "7.00", "8.00", "4.00"]
    assert clock["`classification@1`, one call in flight, one text each"] == alone
    assert sum(line.startswith("| Triton, `") for line in page) == 4  # its settings


def test_of_a_peer_that_does_not_run_the_reason_stands_there() -> None:
    samples = {title: [SERVERS["ours"]] for title in (LIMIT, "loop", bounds.AT_ONCE, bounds.PACED, bounds.OURS)}
    cells = bounds.clock_cells(Measured(samples, {"Triton": "no such wheel"}), "loop", cores=2)
    assert cells[5] == "no such wheel"
    assert cells[-1] == ""


def test_shares_are_of_each_round() -> None:
    rates = {LIMIT: (100, 200), "loop": (50, 100), bounds.AT_ONCE: (100, 100), bounds.PACED: (50, 100),
             bounds.BARE_FRONT: (40, 80), ONE_ENGINE: (20, 40)}  # fmt: skip
    samples = {title: [Sample(rate, 1, server_cpu=1.0) for rate in both] for title, both in rates.items()}
    *_, paced, bare, had = bounds.cost_cells(Measured(samples), "loop")
    assert paced == "0.25 (0.25 to 0.25)"
    assert bare == "0.40 (0.40 to 0.40)"
    assert had == "0.20 (0.20 to 0.20)"


async def test_a_server_with_answers_at_hand_gives_each_text_its_own() -> None:
    servicer = ready_server.ReadyServicer([Item("a", "uno", 1), Item("b", "due", 2)], seconds=0.0)
    translated = await servicer.TranslateText(messages.TranslateTextRequest(texts=["b", "a"], model="m"), None)
    classified = await servicer.ClassifyText(messages.ClassifyTextRequest(texts=["b", "a"], model="m"), None)
    assert [(one.text, one.token_count) for one in translated.translations] == [("due", 2), ("uno", 1)]
    assert [one.labels[0].label for one in classified.classifications] == ["due", "uno"]
    assert {translated.model_version.name, classified.model_version.name} == {"m"}


async def test_answers_at_hand_come_after_half_to_one_and_a_half_times_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    servicer = ready_server.ReadyServicer([Item("a", "uno", 1)], seconds=0.02)
    for _ in range(200):
        await servicer.ClassifyText(messages.ClassifyTextRequest(texts=["a"]), None)
    assert 0.01 <= min(waits) < 0.012
    assert 0.028 < max(waits) <= 0.03


async def test_a_bare_front_gives_what_our_engine_gives(tmp_path: Path) -> None:
    texts = ["the dog sees the cat", "a cat", "the old man", "x"]
    for task in ("translation", "classification"):
        servicer = BareServicer(publish_tiny(tmp_path, task))
        await servicer.start()
        try:
            if task == "translation":
                found = await servicer.TranslateText(messages.TranslateTextRequest(texts=texts, model="m"), None)
                alone = answers_alone(tmp_path / "tiny-translation" / "1", texts, "greedy")
                assert [(one.text, one.token_count) for one in found.translations] == [tuple(one) for one in alone]
            else:
                found = await servicer.ClassifyText(messages.ClassifyTextRequest(texts=texts, model="m"), None)
                for one in found.classifications:
                    shares = [label.probability for label in one.labels]
                    assert shares == sorted(shares, reverse=True)
                    assert sum(shares) == pytest.approx(1.0)
                assert len({one.labels[0].probability for one in found.classifications}) == len(texts)
        finally:
            await servicer.close()


def table(page: list[str], column: str) -> dict[str, list[str]]:
    """The cells of the table that has this second column, by the first."""
    begin = next(place for place, line in enumerate(page) if line.startswith(f"| model and load | {column} |"))
    rows = [line.removeprefix("| ").removesuffix(" |") for line in page[begin + 2 : page.index("", begin)]]
    return {cells[0]: cells[1:] for cells in (row.split(" | ") for row in rows)}
