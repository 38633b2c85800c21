"""What a server costs before anybody asks: from its start to ready, and resident memory.   Reported, not judged."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import psutil

from tests.bench.serving.contenders.servers import Server, seqserve_server
from tests.bench.serving.figures import with_spread
from tests.bench.serving.load.processes import family
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench
from tests.bench.serving.peers import triton
from tests.bench.serving.rounds import FAILURES, why_absent
from tests.bench.serving.tables import markdown

MEBIBYTE = 2**20


def startup(bench: Bench) -> str:
    """Cold start and memory, with the translation bundle alone and with every bundle."""
    job = bench.job("translation")
    title = f"`{job.reference}` in {job.precision}"
    repository = next(path for path in bench.models if any(path.glob("*/*/manifest.json")))
    count = sum(path.is_dir() for path in repository.iterdir())
    rows = [
        _row(bench, f"seqserve, {title}", lambda: seqserve_server(job.repository)),
        _row(bench, f"seqserve, {title}, 2 workers", lambda: seqserve_server(job.repository, "--workers", "2")),
        _row(bench, f"seqserve, all {count} bundles", lambda: seqserve_server(repository)),
        _row(
            bench,
            f"{triton.title()}, {title}, 2 instances",
            lambda: triton.triton_server(job, triton.SETTINGS[:1], bench.work),
        ),
    ]
    columns = ("server", "seconds from start to ready", "processes", "resident MiB", "of it not shared, MiB")
    return "\n\n".join(["## Start and memory", circumstances(f"{bench.rounds} starts each"), markdown(columns, rows)])


def _row(bench: Bench, title: str, opens: Callable[[], AbstractContextManager[Server]]) -> Sequence[str]:
    seconds, resident, unshared, processes = [], [], [], 0
    try:
        for _ in range(bench.rounds):
            begun = time.perf_counter()
            with opens() as server:
                seconds.append(time.perf_counter() - begun)
                found = family(server.pid)
                processes = len(found)
                resident.append(sum(one.memory_info().rss for one in found) / MEBIBYTE)
                unshared.append(sum(_unshared(one) for one in found) / MEBIBYTE)
    except FAILURES as error:
        if title.startswith("seqserve"):
            raise
        return [title, why_absent(error), "", "", ""]
    return [title, with_spread(seconds, 2), str(processes), with_spread(resident), with_spread(unshared)]


def _unshared(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss)
