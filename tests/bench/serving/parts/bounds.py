"""What a loop without a service does that knows no more than a service: the texts that are in flight, as they come."""

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, bare
from tests.bench.serving.parts.lineup import LIMIT, find_limit
from tests.bench.serving.rounds import take_turns
from tests.bench.serving.tables import table_of, tries_table

IN_FLIGHT = (32, 16)
"""Texts of two lists of 16, read at once on one core, or a list on each of two."""

NOTE = """The limit has all texts, sorts them by length, and reads as many at once as it likes. A service has those that
are in flight, in the order in which they come. Here the limit's loop is given no more: two lists of 16 at once, or one
by one. What it has of the limit is the most that any service of such lists could, whose calls, queues and words cost
nothing."""


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
    loops = [bare(bench, job, f"{size} as they come", "onnx", size, by_length=False) for size in IN_FLIGHT]
    table = table_of(take_turns([limit, *loops], bench.rounds), limit=LIMIT)
    return [f"### {title}: `{job.reference}`", table, tries_table("bare loop", tries)]
