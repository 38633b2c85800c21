"""An empty call, from h2load: what a server costs per call before there is anything to do.   Reported, not judged."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.bench.serving.contenders.servers import Server, free_port, is_listening, running, seqserve_server
from tests.bench.serving.figures import Sample, median, values_of, with_spread
from tests.bench.serving.load.processes import cpu_seconds
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench
from tests.bench.serving.peers import triton
from tests.bench.serving.rounds import FAILURES, Contender, Measured, take_turns, why_absent
from tests.bench.serving.tables import markdown, number

CONNECTIONS, CALLS_PER_CONNECTION = 8, 4
METHOD = "inference.GRPCInferenceService/ServerLive"
FRAME = bytes(5)
"""An empty message, as gRPC frames it: not compressed, no bytes."""


def floor(bench: Bench) -> str:
    """The server's own `ServerLive` beside Triton's, and beside a server that does nothing else."""
    h2load = shutil.which("h2load")
    if h2load is None:
        return "## An empty call\n\nNot measured: `h2load` is not installed (Debian: nghttp2-client)."
    job = bench.job("classification")
    openers: Mapping[str, Callable[[], AbstractContextManager[Server]]] = {
        "grpc.aio, and nothing else": _empty_server,
        "seqserve": lambda: seqserve_server(job.repository),
        "seqserve, 2 workers": lambda: seqserve_server(job.repository, "--workers", "2"),
        triton.title(): lambda: triton.triton_server(job, triton.SETTINGS[:1], bench.work),
    }
    frame = bench.work / "empty.grpc"
    frame.parent.mkdir(parents=True, exist_ok=True)
    frame.write_bytes(FRAME)
    with ExitStack() as stack:
        contenders, absent = [], {}
        for title, opens in openers.items():
            try:
                server = stack.enter_context(opens())
            except FAILURES as error:
                if not title.startswith("Triton"):
                    raise
                absent[title] = why_absent(error)
                continue
            contenders.append(_contender(title, server, [h2load, f"--data={frame}"], bench.seconds))
        measured = take_turns(contenders, bench.rounds)
    measured.absent.update(absent)
    load = f"`h2load`, {CONNECTIONS} connections with {CALLS_PER_CONNECTION} calls in flight each, `{METHOD}`"
    return "\n\n".join(["## An empty call", circumstances(bench.effort, load), _table(measured)])


def _contender(title: str, server: Server, command: list[str], seconds: float) -> Contender:
    return Contender(title, lambda: _measure(server, command, seconds), is_peer=title.startswith("Triton"))


def _measure(server: Server, command: list[str], seconds: float) -> Sample:
    """Put h2load on a server.   Raises RuntimeError where not every call was answered."""
    options = [f"--duration={round(1000 * seconds)}ms", f"--clients={CONNECTIONS}", "--threads=1"]
    options += [f"--max-concurrent-streams={CALLS_PER_CONNECTION}"]
    options += ["--header=content-type: application/grpc", "--header=te: trailers"]
    command = [*command, *options, f"http://{server.target}/{METHOD}"]
    before = cpu_seconds([server.pid])
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    used = cpu_seconds([server.pid]) - before
    return sample_of(output, seconds, used)


def sample_of(output: str, seconds: float, cpu: float) -> Sample:
    """Read h2load's report.

    Args:
        output: what it printed.
        seconds: that it ran.
        cpu: CPU-seconds that the server used meanwhile.

    Raises:
        RuntimeError: a call failed, or the report is none.
    """
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    if counts is None or any(map(int, counts.groups()[1:])) or not int(counts[1]):
        raise RuntimeError(counts[0] if counts else f"no report: {output[-300:]}")
    rate = int(counts[1]) / seconds
    return Sample(rate, 0.0, server_cpu=cpu / seconds)


def _table(measured: Measured) -> str:
    columns = ("server", "calls/s, median (lowest to highest)", "microseconds of the server's CPU per call")
    rows = [
        [
            title,
            with_spread(values_of(samples, "items_per_second")),
            number(1e6 / median(values_of(samples, "items_per_cpu_second"))),
        ]
        for title, samples in measured.samples.items()
    ]
    return markdown(columns, [*rows, *([title, reason, ""] for title, reason in measured.absent.items())])


@contextmanager
def _empty_server() -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.serving.contenders.empty_server", str(port)]
    with running(command, lambda: is_listening(port)) as process:
        yield Server(f"127.0.0.1:{port}", process.pid)
