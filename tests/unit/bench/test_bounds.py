"""What the limit's loop is given in place of all texts: those in flight."""

from pathlib import Path

import pytest

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.figures import Sample
from tests.bench.serving.parts import bounds
from tests.bench.serving.parts.bench import Bench
from tests.bench.serving.parts.lineup import LIMIT
from tests.bench.serving.rounds import Contender, Measured, Tries


def test_the_limit_s_own_loop_is_given_what_two_lists_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int | None]] = []

    def bare(_: Bench, job: Job, title: str, engine: str, size: int, *, window: int | None = None) -> Contender:
        asked.append((engine, size, window))
        return Contender(title, lambda: Sample(1, 1))

    best = Measured(
        {"engine, batches of 64, 1 threads": [Sample(9, 9)], "onnx, batches of 32, 1 threads": [Sample(1, 1)]}
    )
    limit = Contender(LIMIT, lambda: Sample(1, 1)), Tries(best, "items_per_second")
    monkeypatch.setattr(bounds, "bare", bare)
    monkeypatch.setattr(bounds, "find_limit", lambda *_: limit)
    found = bounds.bounds(_FakeBench([], None, Path(), rounds=1))
    assert asked == 3 * [("engine", 32, 32), ("engine", 16, 32), ("engine", 8, 32)]
    assert found.count("| engine, 32 at a time, in runs of 8 |") == 3


class _FakeBench(Bench):
    """Jobs without models."""

    def job(self, task: object) -> "_FakeJob":
        return _FakeJob("translation", "tiny", Path(), "int8", [], "none")


class _FakeJob(Job):
    reference = "tiny@1"

    def in_mode(self, mode: str) -> "_FakeJob":
        return self
