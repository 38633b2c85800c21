"""What a service could have: the limit's loop over what is in flight, and calls whose answers are at hand."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.mixed import mixed_items
from tests.bench.serving.contenders.servers import bare_front, ready_server, seqserve_server
from tests.bench.serving.figures import Sample, values_of, with_spread
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Served, Shape, bare, loaded
from tests.bench.serving.parts.lineup import (
    LIMIT,
    ONE_ENGINE,
    OUR_SETTINGS,
    TRITON,
    Lineup,
    find_limit,
    triton_tuned,
)
from tests.bench.serving.rounds import Contender, Measured, take_turns
from tests.bench.serving.tables import markdown, table_of, tries_table

WINDOW, BATCHES = 32, (32, 16, 8, 4)
"""Texts of two lists of 16, which are known together, and how many of them are read at once."""

MOST_ROUNDS = 3
"""For the many that are compared."""

SINGLE = Shape(32)
LISTS = Shape(2, 16)
SHAPES = (SINGLE, LISTS, Shape(32, 16))
AT_ONCE, PACED, OURS = "answers at hand, at once", "answers at hand, at our pace", "seqserve, defaults"
BARE_FRONT = "our engine behind a bare front"
SAMPLED, MIXED = "Translation, sampled", "Translation, sources of 6 to 60 tokens"
LOADS: Mapping[str, Sequence[Shape]] = {
    "Translation": SHAPES,
    SAMPLED: (LISTS,),
    MIXED: (SINGLE,),
    "Classification": (*SHAPES, Shape(1)),
}
"""How the calls come whose answers are at hand, for each job."""

NOTE = f"""The limit has all texts, sorts them by length, and reads as many at once as it likes. A service has those
that are in flight, in the order in which they come. Here the limit's loop is given no more: on each core {WINDOW}
texts at a time, as many as two lists of 16 hold, which it sorts by length and reads in one run or in several."""

CALLS_NOTE = """*Answers at hand* is a grpc.aio server that is sent the same texts by the same client and knows the
answers: what calls cost in Python's gRPC when answers cost nothing. It gives them *at once*, and is then as busy as the
client makes it, which is when a call costs least; or *at our pace*, after half to one and a half times our p50, at
random, and then costs what waking for single calls costs.

*Our engine behind a bare front* is what a front could be at the least: a grpc.aio server that splits texts into
tokens, sends them to one engine process of ours, and writes what comes back, without checks, limits, deadlines,
metrics, versions and errors. It writes greedy translations, and so is not there for samples.

The first table has microseconds of CPU of the server's processes for one text. *Can be had* is the limit over the sum
of two: its loop over what is in flight (the best of the runs above; of one call, one text at a time; of 32 lists, as
many as there are texts, the limit itself), and calls whose answers are at hand, at once or at our pace. *Is had* is the
limit over ours, and over the bare front's, with one engine, which like the loop has all that is in flight for itself.
The second table has what can be had by the clock: all cores over the loop, the calls at once and the client's share in
these; ours are with defaults there. Triton stands beside single texts, in its best setting under the same load."""

COST_COLUMNS = (
    "model and load",
    "the limit",
    "its loop, in flight",
    AT_ONCE,
    PACED,
    BARE_FRONT,
    ONE_ENGINE,
    "can be had, at once",
    "can be had, at our pace",
    "is had, behind a bare front",
    "is had",
)
CLOCK_COLUMNS = (
    "model and load",
    "texts/s that can be had",
    "of these calls, client's microseconds",
    "texts/s, answers at hand, at our pace",
    "texts/s of our engine behind a bare front",
    "texts/s of ours",
    "texts/s of Triton",
    "p50 ms, answers at hand, at once",
    "p50 ms behind a bare front",
    "p50 ms of ours",
    "p50 ms of Triton",
)


@dataclass(frozen=True)
class _Bound:
    """A job's limit, and the best of its loops over `WINDOW` texts in flight.

    Attributes:
        job: the texts.
        limit: over all texts.
        engine: of the bare loops.
        loop: over those in flight.
        section: of the page.
    """

    job: Job
    limit: Contender
    engine: str
    loop: Contender
    section: str

    def loop_of(self, bench: Bench, shape: Shape) -> Contender:
        """The loop that knows what is in flight under a load; the limit where that is all texts."""
        in_flight = shape.calls * shape.list_size
        if in_flight == 1:
            return bare(bench, self.job, f"{self.engine}, one at a time", self.engine, 1, window=1)
        return self.limit if in_flight >= len(self.job.items) else self.loop


@dataclass
class _Tables:
    """Rows of both tables, and Triton's settings that were tried."""

    costs: list[list[str]] = field(default_factory=list)
    clock: list[list[str]] = field(default_factory=list)
    lineup: Lineup = field(default_factory=Lineup)

    def sections(self) -> list[str]:
        """For the page."""
        return [markdown(COST_COLUMNS, self.costs), markdown(CLOCK_COLUMNS, self.clock), self.lineup.tried()]


def bounds(bench: Bench) -> str:
    """Each task's limit beside its loop over what is in flight, and what calls cost beside."""
    bench = replace(bench, rounds=min(bench.rounds, MOST_ROUNDS))
    translation = bench.job("translation")
    jobs = {
        "Translation": translation,
        SAMPLED: translation.in_mode("sampled"),
        MIXED: replace(translation, items=mixed_items(translation)),
        "Classification": bench.job("classification"),
    }
    found = {title: _bound(bench, title, job) for title, job in jobs.items()}
    tables = _Tables()
    for title, shapes in LOADS.items():
        for shape in shapes:
            _add_calls(bench, title, found[title], shape, tables)
    head = ["## What is in flight", circumstances(bench.effort), NOTE, *(bound.section for bound in found.values())]
    calls = ["## What calls cost", circumstances(bench.effort), CALLS_NOTE, *tables.sections()]
    return "\n\n".join([*head, *calls])


def _bound(bench: Bench, title: str, job: Job) -> _Bound:
    limit, tries = find_limit(bench, job)
    engine = tries.best().partition(",")[0]
    loops = [
        bare(bench, job, f"{engine}, {WINDOW} at a time, in runs of {size}", engine, size, window=WINDOW)
        for size in BATCHES
    ]
    measured = take_turns([limit, *loops], bench.rounds)
    best = max(loops, key=lambda loop: measured.median(loop.title, "items_per_cpu_second"))
    tried = tries_table("bare loop; the best is the limit", tries)
    section = "\n\n".join([f"### {title}: `{job.reference}`", table_of(measured, limit=LIMIT), tried])
    return _Bound(job, limit, engine, best, section)


def _add_calls(bench: Bench, title: str, bound: _Bound, shape: Shape, tables: _Tables) -> None:
    """Measure everybody under one load, side by side."""
    job, loop = bound.job, bound.loop_of(bench, shape)
    load = ", ".join(filter(None, (title.partition(", ")[2], str(shape))))
    with ExitStack() as stack:
        served, lone = (
            Served(title, stack.enter_context(seqserve_server(job.repository, *OUR_SETTINGS[title])), job.name)
            for title in (OURS, ONE_ENGINE)
        )
        pace = take_turns([loaded(bench.briefly, job, served, shape)], 1).median(OURS, "p50_ms") / 1000
        ready = [
            Served(name, stack.enter_context(ready_server(job.items, seconds)), job.name)
            for name, seconds in ((AT_ONCE, 0.0), (PACED, pace))
        ]
        own = [replace(loaded(bench, job, one, shape), exact=True, is_peer=False) for one in ready]  # no failing peers
        peers = []
        if shape.list_size == 1:
            about, by = f"`{job.reference}`, {load}", "items_per_second"
            tuned = triton_tuned(bench, job, shape, tables.lineup, by=by, items=job.items, about=about)
            peers = stack.enter_context(tuned)
        bares = {bound.limit.title: bound.limit, loop.title: loop}
        ours = [served, lone]
        if job.mode == "greedy":
            ours.append(Served(BARE_FRONT, stack.enter_context(bare_front(job.folder)), job.name))
        loads = [loaded(bench, job, one, shape) for one in ours]
        measured = take_turns([*bares.values(), *own, *loads, *peers], bench.rounds)
    first = f"`{job.reference}`, {load}"
    tables.costs.append([first, *cost_cells(measured, loop.title)])
    tables.clock.append([first, *clock_cells(measured, loop.title, bench.cores if shape.calls > 1 else None)])


def cost_cells(measured: Measured, loop: str) -> list[str]:
    """What a text costs, and what of the limit can be had and is: medians with spread, as `COST_COLUMNS`.

    Args:
        measured: of the limit, the loop, both servers with answers at hand, our engine behind a bare front, where that
            was measured, and ours with one engine.
        loop: its title.
    """
    costs = {title: _microseconds(samples) for title, samples in measured.samples.items()}
    bare = costs.get(BARE_FRONT, [])
    wholes = (_sums(costs[loop], costs[AT_ONCE]), _sums(costs[loop], costs[PACED]), bare, costs[ONE_ENGINE])
    return [
        *(with_spread(costs.get(title, [])) for title in (LIMIT, loop, AT_ONCE, PACED, BARE_FRONT, ONE_ENGINE)),
        *(with_spread(_over(costs[LIMIT][: len(whole)], whole), 2) for whole in wholes),
    ]


def clock_cells(measured: Measured, loop: str, cores: int | None) -> list[str]:
    """Texts per second that can be had and are, and latencies: medians with spread, as `CLOCK_COLUMNS`.

    Args:
        measured: of the loop, both servers with answers at hand, ours with defaults, and of our engine behind a bare
            front and Triton, where these were measured.
        loop: its title.
        cores: that server and client share; None where the load is too low to fill them.
    """
    samples, absent = measured.samples, next(iter(measured.absent.values()), "")
    triton = next((samples[title] for title in samples if title.startswith(TRITON)), [])
    asking = [1e6 * one.generator_cpu / one.items_per_second for one in samples[AT_ONCE]]
    needed = _sums(_sums(_microseconds(samples[loop]), _microseconds(samples[AT_ONCE])), asking)
    had = [math.nan if cores is None else 1e6 * cores / microseconds for microseconds in needed]
    bare = samples.get(BARE_FRONT, [])
    served = (bare, samples[OURS], triton)
    rates = [with_spread(values_of(found, "items_per_second")) for found in (samples[PACED], *served)]
    latencies = [with_spread(values_of(found, "p50_ms"), 2) for found in (samples[AT_ONCE], *served)]
    return [with_spread(had), with_spread(asking), *rates[:-1], rates[-1] or absent, *latencies]


def _microseconds(samples: Sequence[Sample]) -> list[float]:
    """Of the server's CPU for a text, in each round."""
    return [1e6 / value for value in values_of(samples, "items_per_cpu_second")]


def _sums(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [value + other for value, other in zip(values, others, strict=True)]


def _over(parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
    return [part / whole for part, whole in zip(parts, wholes, strict=True)]
