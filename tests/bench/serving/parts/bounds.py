"""What a service could have: the limit's loop over what is in flight, and calls whose answers are at hand."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import ready_server, seqserve_server
from tests.bench.serving.figures import values_of, with_spread
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Served, Shape, bare, loaded
from tests.bench.serving.parts.lineup import LIMIT, find_limit
from tests.bench.serving.rounds import Contender, Measured, take_turns
from tests.bench.serving.tables import markdown, table_of, tries_table

WINDOW, BATCHES = 32, (32, 16, 8, 4)
"""Texts of two lists of 16, which are known together, and how many of them are read at once."""

SHAPES = (Shape(32), Shape(2, 16), Shape(32, 16))
AT_ONCE, PACED, OURS = "answers at hand, at once", "answers at hand, at our pace", "seqserve, defaults"

NOTE = f"""The limit has all texts, sorts them by length, and reads as many at once as it likes. A service has those
that are in flight, in the order in which they come. Here the limit's loop is given no more: on each core {WINDOW}
texts at a time, as many as two lists of 16 hold, which it sorts by length and reads in one run or in several."""

CALLS_NOTE = """*Answers at hand* is a grpc.aio server that is sent the same texts by the same client and knows the
answers, which it gives at once, or after about as long as ours takes (a half to one and a half times our p50, at
random): what calls cost in Python's gRPC when answers cost nothing. In microseconds of the server's CPU for one text.
Together with the limit's loop over what is in flight, in its best runs, the second is about the least that a service in
Python costs: *can be had* is the limit over that sum, *is had* the limit over ours. The client's CPU for a text is that
of the generators that ask the second; *texts/s at most* are those of all cores at the least cost of both."""


def bounds(bench: Bench) -> str:
    """Each task's limit beside its loop over what is in flight, and what calls cost beside."""
    translation, classification = bench.job("translation"), bench.job("classification")
    jobs = {
        "Translation": translation,
        "Translation, sampled": translation.in_mode("sampled"),
        "Classification": classification,
    }
    found = {title: _bound(bench, title, job) for title, job in jobs.items()}
    sections = [section for _, _, lines in found.values() for section in lines]
    rows = [
        row
        for title, job in (("Translation", translation), ("Classification", classification))
        for row in _calls(bench, job, *found[title][:2])
    ]
    columns = ("model and load", "the limit", "its loop, in flight", AT_ONCE, PACED, OURS, "can be had", "is had",
               "client", "texts/s at most", "texts/s of ours")  # fmt: skip
    calls = ["## What calls cost", circumstances(bench.effort), CALLS_NOTE, markdown(columns, rows)]
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


def _calls(bench: Bench, job: Job, limit: Contender, loop: Contender) -> list[list[str]]:
    """A row for each load."""
    rows = []
    for shape in SHAPES:
        with ExitStack() as stack:
            ours = Served(OURS, stack.enter_context(seqserve_server(job.repository)), job.name)
            contender = loaded(bench, job, ours, shape)
            pace = take_turns([loaded(bench.briefly, job, ours, shape)], 1).median(OURS, "p50_ms") / 1000
            waits = {AT_ONCE: 0.0, PACED: pace}
            opened = {title: stack.enter_context(ready_server(job.items, waits[title])) for title in waits}
            ready = [loaded(bench, job, Served(title, server, job.name), shape) for title, server in opened.items()]
            own = [replace(one, exact=True, is_peer=False) for one in ready]  # whoever fails fails the part
            measured = take_turns([limit, loop, *own, contender], bench.rounds)
        rows.append([f"`{job.reference}`, {shape}", *figures(measured, loop.title, bench.cores)])
    return rows


def figures(measured: Measured, loop: str, cores: int) -> list[str]:
    """Costs of a text, what of the limit can be had and is, and the texts per second of that: medians with spread.

    Args:
        measured: of the limit, the loop, both servers with answers at hand, and ours.
        loop: its title.
        cores: that server and client share.
    """
    costs = {title: [1e6 / one.items_per_cpu_second for one in samples] for title, samples in measured.samples.items()}
    client = [1e6 * one.generator_cpu / one.items_per_second for one in measured.samples[PACED]]
    least = [sum(pair) for pair in zip(costs[loop], costs[PACED], strict=True)]
    most = [1e6 * cores / (server + asking) for server, asking in zip(least, client, strict=True)]
    ours = values_of(measured.samples[OURS], "items_per_second")
    return [
        *(with_spread(costs[title]) for title in (LIMIT, loop, AT_ONCE, PACED, OURS)),
        *(with_spread(_over(costs[LIMIT], whole), 2) for whole in (least, costs[OURS])),
        *(with_spread(values) for values in (client, most, ours)),
    ]


def _over(parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
    return [part / whole for part, whole in zip(parts, wholes, strict=True)]
