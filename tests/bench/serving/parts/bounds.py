"""What the limit's loop does that knows no more texts than a service: those that are in flight, as they come."""

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, bare
from tests.bench.serving.parts.lineup import LIMIT, find_limit
from tests.bench.serving.rounds import take_turns
from tests.bench.serving.tables import table_of, tries_table

WINDOW, BATCHES = 32, (32, 16, 8)
"""Texts of two lists of 16, which are known together, and how many of them are read at once."""

NOTE = f"""The limit has all texts, sorts them by length, and reads as many at once as it likes. A service has those
that are in flight, in the order in which they come. Here the limit's loop is given no more: on each core {WINDOW}
texts at a time, as many as two lists of 16 hold, which it sorts by length and reads in one run or in several."""


def bounds(bench: Bench) -> str:
    """Each task's limit, beside its loop over what is in flight."""
    translation = bench.job("translation")
    jobs = {
        "Translation": translation,
        "Translation, sampled": translation.in_mode("sampled"),
        "Classification": bench.job("classification"),
    }
    sections = [section for title, job in jobs.items() for section in _bound(bench, title, job)]
    return "\n\n".join(["## What is in flight", circumstances(bench.effort), NOTE, *sections])


def _bound(bench: Bench, title: str, job: Job) -> list[str]:
    limit, tries = find_limit(bench, job)
    engine = tries.best().partition(",")[0]
    loops = [
        bare(bench, job, f"{engine}, {WINDOW} at a time, in runs of {size}", engine, size, window=WINDOW)
        for size in BATCHES
    ]
    table = table_of(take_turns([limit, *loops], bench.rounds), limit=LIMIT)
    return [f"### {title}: `{job.reference}`", table, tries_table("bare loop; the best is the limit", tries)]
