"""Who is measured under a load: everybody, or those whom a target names."""

from pathlib import Path

import pytest

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server
from tests.bench.serving.figures import Sample
from tests.bench.serving.parts.bench import Bench, Served, Shape, absent
from tests.bench.serving.parts.lineup import LIMIT, Lineup
from tests.bench.serving.rounds import Contender

BENCH, JOB = Bench([], None, Path()), Job("translation", "tiny", Path(), "int8", [], "none")
SHAPE = Shape(2, 16)


def served(title: str) -> Served:
    return Served(title, Server("nowhere:0", 0), "tiny")


@pytest.fixture
def lineup() -> Lineup:
    bares = [Contender(title, lambda: Sample(1, 0)) for title in (LIMIT, "PyTorch, bare loop")]
    ours = [served("seqserve, defaults"), served("seqserve, inline")]
    missing = [absent("MLServer", RuntimeError("not installed"))]
    return Lineup(bares, ours, [served("PyTorch, one at a time"), served("Triton, tuned")], missing)


def test_everybody_is_measured(lineup: Lineup) -> None:
    assert [one.title for one in lineup.contenders(BENCH, JOB, SHAPE)] == [
        LIMIT,
        "PyTorch, bare loop",
        "seqserve, defaults",
        "seqserve, inline",
        "PyTorch, one at a time",
        "Triton, tuned",
        "MLServer",
    ]


def test_few_are_those_whom_a_target_names(lineup: Lineup) -> None:
    assert [one.title for one in lineup.few(BENCH, JOB, SHAPE)] == [
        LIMIT,
        "seqserve, defaults",
        "seqserve, inline",
        "Triton, tuned",
    ]


def test_a_triton_that_does_not_run_stays_among_the_few(lineup: Lineup) -> None:
    lineup.missing.append(absent("Triton, x", RuntimeError("no binary")))
    assert [one.title for one in lineup.few(BENCH, JOB, SHAPE)][-1] == "Triton, x"
