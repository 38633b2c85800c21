"""What a service could have: the limit's loop over what is in flight, and calls whose answers are at hand."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.mixed import mixed_items
from tests.bench.serving.contenders.servers import ready_server, seqserve_server
from tests.bench.serving.figures import values_of, with_spread
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Served, Shape, bare, loaded
from tests.bench.serving.parts.lineup import LIMIT, TRITON, Lineup, find_limit, triton_tuned
from tests.bench.serving.rounds import Contender, Measured, take_turns
from tests.bench.serving.tables import markdown, table_of, tries_table

WINDOW, BATCHES = 32, (32, 16, 8, 4)
"""Texts of two lists of 16, which are known together, and how many of them are read at once."""

MOST_ROUNDS = 3
"""For the many that are compared."""

SINGLE = Shape(32)
SHAPES = (SINGLE, Shape(2, 16), Shape(32, 16))
AT_ONCE, PACED, OURS = "answers at hand, at once", "answers at hand, at our pace", "seqserve, defaults"
MIXED = "Translation, sources of 6 to 60 tokens"
LOADS: Mapping[str, Sequence[Shape]] = {
    "Translation": SHAPES,
    MIXED: (SINGLE,),
    "Classification": (*SHAPES, Shape(1)),
}
"""How the calls come whose answers are at hand, for each job."""

NOTE = f"""The limit has all texts, sorts them by length, and reads as many at once as it likes. A service has those
that are in flight, in the order in which they come. Here the limit's loop is given no more: on each core {WINDOW}
texts at a time, as many as two lists of 16 hold, which it sorts by length and reads in one run or in several."""

CALLS_NOTE = """*Answers at hand* is a grpc.aio server that is sent the same texts by the same client and knows the
answers, which it gives at once, or after about as long as ours takes (a half to one and a half times our p50, at
random): what calls cost in Python's gRPC when answers cost nothing. In microseconds of the server's CPU for one text.
Together with the limit's loop over what is in flight, in its best runs, the second is about the least that a service in
Python costs: *can be had* is the limit over that sum, *is had* the limit over ours. The client's CPU for a text is that
of the generators that ask the second; *at most* are the texts of all cores at the least cost of both. Triton stands
beside single texts, in its best setting under the same load."""

COLUMNS = (
    "model and load",
    "the limit",
    "its loop, in flight",
    AT_ONCE,
    PACED,
    OURS,
    "can be had",
    "is had",
    "client",
    "texts/s at most",
    "texts/s of ours",
    "texts/s of Triton",
    "p50 ms, answers at hand, at once",
    "p50 ms of ours",
    "p50 ms of Triton",
)


def bounds(bench: Bench) -> str:
    """Each task's limit beside its loop over what is in flight, and what calls cost beside."""
    bench = replace(bench, rounds=min(bench.rounds, MOST_ROUNDS))
    translation = bench.job("translation")
    jobs = {
        "Translation": translation,
        "Translation, sampled": translation.in_mode("sampled"),
        MIXED: replace(translation, items=mixed_items(translation)),
        "Classification": bench.job("classification"),
    }
    found = {title: _bound(bench, title, job) for title, job in jobs.items()}
    sections = [section for _, _, lines in found.values() for section in lines]
    rows = [_calls(bench, title, jobs[title], shape, *found[title][:2]) for title in LOADS for shape in LOADS[title]]
    calls = ["## What calls cost", circumstances(bench.effort), CALLS_NOTE, markdown(COLUMNS, rows)]
    return "\n\n".join(["## What is in flight", circumstances(bench.effort), NOTE, *sections, *calls])


def _bound(bench: Bench, title: str, job: Job) -> tuple[Contender, Contender, list[str]]:
    """The limit, the best loop over what is in flight, and the section about them."""
    limit, tries = find_limit(bench, job)
    engine = tries.best().partition(",")[0]
    loops = [
        bare(bench, job, f"{engine}, {WINDOW} at a time, in runs of {size}", engine, size, window=WINDOW)
        for size in BATCHES
    ]
    measured = take_turns([limit, *loops], bench.rounds)
    best = max(loops, key=lambda loop: measured.median(loop.title, "items_per_cpu_second"))
    tried = tries_table("bare loop; the best is the limit", tries)
    return limit, best, [f"### {title}: `{job.reference}`", table_of(measured, limit=LIMIT), tried]


def _calls(bench: Bench, title: str, job: Job, shape: Shape, limit: Contender, loop: Contender) -> list[str]:
    """The row of one load."""
    with ExitStack() as stack:
        served = Served(OURS, stack.enter_context(seqserve_server(job.repository)), job.name)
        pace = take_turns([loaded(bench.briefly, job, served, shape)], 1).median(OURS, "p50_ms") / 1000
        waits = {AT_ONCE: 0.0, PACED: pace}
        opened = {wait: stack.enter_context(ready_server(job.items, waits[wait])) for wait in waits}
        ready = [loaded(bench, job, Served(wait, server, job.name), shape) for wait, server in opened.items()]
        own = [replace(one, exact=True, is_peer=False) for one in ready]  # whoever fails fails the part
        peers = []
        if shape.list_size == 1:
            tuned = triton_tuned(bench, job, shape, Lineup(), by="items_per_second", items=job.items)
            peers = stack.enter_context(tuned)
        measured = take_turns([limit, loop, *own, loaded(bench, job, served, shape), *peers], bench.rounds)
    about = title.partition(", ")[2]
    return [
        ", ".join(filter(None, (f"`{job.reference}`", about, str(shape)))),
        *figures(measured, loop.title, bench.cores),
    ]


def figures(measured: Measured, loop: str, cores: int) -> list[str]:
    """Costs of a text, what of the limit can be had and is, and texts per second and latencies: medians with spread.

    Args:
        measured: of the limit, the loop, both servers with answers at hand, ours, and Triton, which may lack.
        loop: its title.
        cores: that server and client share.
    """
    samples = measured.samples
    triton = next((samples[title] for title in samples if title.startswith(TRITON)), [])
    costs = {title: [1e6 / one.items_per_cpu_second for one in found] for title, found in samples.items()}
    client = [1e6 * one.generator_cpu / one.items_per_second for one in samples[PACED]]
    least = [sum(pair) for pair in zip(costs[loop], costs[PACED], strict=True)]
    most = [1e6 * cores / (server + asking) for server, asking in zip(least, client, strict=True)]
    rates = (values_of(found, "items_per_second") for found in (samples[OURS], triton))
    waits = (values_of(found, "p50_ms") for found in (samples[AT_ONCE], samples[OURS], triton))
    return [
        *(with_spread(costs[title]) for title in (LIMIT, loop, AT_ONCE, PACED, OURS)),
        *(with_spread(_over(costs[LIMIT], whole), 2) for whole in (least, costs[OURS])),
        *(with_spread(values) for values in (client, most, *rates)),
        *(with_spread(values, 2) for values in waits),
    ]


def _over(parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
    return [part / whole for part, whole in zip(parts, wholes, strict=True)]
