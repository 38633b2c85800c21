"""Starts load generators and bare loops together, and watches the CPU of the processes that do the work."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from tests.bench.serving.figures import Sample, percentile
from tests.bench.serving.load.spec import LoadSpec, Report

ROOT = Path(__file__).parents[4]
READY_SECONDS, END_SECONDS = 180.0, 120.0
"""How long a worker may take to get ready, and its report may be late."""


class Worker:
    """A process that says `ready`, begins at `go`, and reports."""

    def __init__(self, command: Sequence[str], spec: str) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self._write(f"{spec}\n")

    def wait_until_ready(self) -> None:
        """Wait for its `ready`.   Raises RuntimeError with its log if it ends instead, or takes too long."""
        too_long = threading.Timer(READY_SECONDS, self._process.kill)
        too_long.start()
        line = self._process.stdout.readline() if self._process.stdout else ""
        too_long.cancel()
        if line != "ready\n":
            raise RuntimeError(self._log() or f"not ready in {READY_SECONDS:g} s")

    def go(self) -> None:
        """Let it begin."""
        self._write("go\n")

    def report(self) -> Report:
        """Wait for its report.   Raises RuntimeError with its log if it ends without."""
        output, log = self._process.communicate(timeout=END_SECONDS)
        if self._process.returncode:
            raise RuntimeError(log[-4000:])
        return Report.from_json(output)

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _write(self, text: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _log(self) -> str:
        _, log = self._process.communicate(timeout=END_SECONDS)
        return log[-4000:]


def family(pid: int) -> list[psutil.Process]:
    """A process and its children, and theirs."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU-seconds that processes and their children have used so far."""
    total = 0.0
    for pid in pids:
        for one in family(pid):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(pids: Sequence[int]) -> float:
    """Resident memory of processes and their children; what they share is counted for each."""
    return float(sum(one.memory_info().rss for pid in pids for one in family(pid)))


def drive(spec: LoadSpec, server_pid: int, *, generators: int = 2, python: Path | None = None) -> Sample:
    """Put a load on a server, from processes of their own.

    Args:
        spec: the whole load; calls and connections are shared out among the generators.
        server_pid: whose CPU is counted, children included.
        generators: processes, no more than calls in flight.
        python: of the environment that has the client; None: the project's.
    """
    workers = [new_generator(share, python) for share in shares(spec, generators)]
    return measure(workers, spec.warm_seconds, spec.seconds, working=[server_pid])


def new_generator(spec: LoadSpec, python: Path | None = None) -> Worker:
    """Start a load generator."""
    return Worker([str(python or sys.executable), "-m", "tests.bench.serving.load.generate"], spec.to_json())


def shares(spec: LoadSpec, generators: int) -> list[LoadSpec]:
    """What each of the generators does of a load; no more generators than calls in flight."""
    count = min(generators, spec.calls_in_flight)
    return [_share(spec, number, count) for number in range(count)]


def _share(spec: LoadSpec, number: int, count: int) -> LoadSpec:
    calls = spec.calls_in_flight // count + (number < spec.calls_in_flight % count)
    connections = -(-spec.connections // count)  # however few calls there are: each goes over the next one
    first = number * len(spec.items) // count
    return replace(spec, calls_in_flight=calls, connections=connections, first_item=first)


def measure(workers: Sequence[Worker], warm_seconds: float, seconds: float, *, working: Sequence[int] = ()) -> Sample:
    """Let workers begin together, and sum their reports up; arguments as `observe` takes them."""
    reports, usage = observe(workers, warm_seconds, seconds, working=working)
    total = Report()
    for report in reports:
        total.add(report)
    return sample_of(total, seconds, usage)


@dataclass(frozen=True)
class Usage:
    """What the processes that do the work used: CPU-seconds while it counted, and resident bytes at the end."""

    cpu_seconds: float
    resident_bytes: float


def observe(
    workers: Sequence[Worker], warm_seconds: float, seconds: float, *, working: Sequence[int] = ()
) -> tuple[list[Report], Usage]:
    """Let workers begin together.

    Args:
        workers: generators, or bare loops.
        warm_seconds: that they let pass before they count.
        seconds: that they count.
        working: the processes that do the work; none: the workers themselves.

    Returns:
        The workers' reports, and what the processes that do the work used.
    """
    pids = working or [worker.pid for worker in workers]
    try:
        for worker in workers:
            worker.wait_until_ready()
        for worker in workers:
            worker.go()
        time.sleep(warm_seconds)
        before = cpu_seconds(pids)
        time.sleep(seconds)
        usage = Usage(cpu_seconds(pids) - before, resident_bytes(pids))
        return [worker.report() for worker in workers], usage
    finally:
        for worker in workers:
            worker.stop()


def sample_of(report: Report, seconds: float, usage: Usage) -> Sample:
    """Turn counts into rates."""
    return Sample(
        items_per_second=report.items / seconds,
        tokens_per_second=report.tokens / seconds,
        p50_ms=percentile(report.latencies_ms, 0.5),
        p99_ms=percentile(report.latencies_ms, 0.99),
        server_cpu=usage.cpu_seconds / seconds,
        generator_cpu=report.cpu_seconds / seconds,
        agreement=1 - report.different / report.items if report.items else math.nan,
        first_p50_ms=percentile(report.firsts_ms, 0.5),
        gap_p99_ms=percentile(report.gaps_ms, 0.99),
        tokens_per_message=report.tokens / report.messages if report.messages else math.nan,
        server_bytes=usage.resident_bytes,
    )
