"""Measures the engine layouts side by side under a saturated front, and writes docs/engine-layouts.md.

Every layout is a real server process with the trained translation model; the load comes from processes of its own that
send one sentence per call and check every answer. Layouts take turns, round by round, so that a machine whose speed
drifts treats all alike; the table gives medians, and ratios to the first row of the same round.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.progress import track

from demo.server import ServerProcess, start_server
from seqserve import AsyncClient
from tests.trained import ROOT, trained_models

MODEL = "sample-en-it"
LAYOUTS = {
    "engine process": ("--engine-count", "1"),
    "engine thread": ("--engine-layout", "thread"),
    "inline": ("--engine-layout", "inline"),
}
CONCURRENCIES = (1, 8, 64)
ROUNDS = 5
SECONDS = 3.0
CONNECTIONS = 8
SENTENCES = (
    "The black dog jumped over the cat",
    "The old woman looked for the white house",
    "A small girl ate the red apple",
    "The cats slept under the big table",
    "The man saw a horse near the river",
)
OUTPUT = ROOT / "docs" / "engine-layouts.md"


@dataclass(frozen=True)
class Sample:
    """One round of one layout at one concurrency."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def generate_load(target: str, concurrency: int) -> Sample:
    """Keep `concurrency` calls in flight for a while; every answer must equal the first one to its sentence."""
    latencies: list[float] = []
    clients = [AsyncClient(target) for _ in range(min(concurrency, CONNECTIONS))]
    expected = {s: (await clients[0].translate(MODEL, s)).translations[0].text for s in SENTENCES}
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        turn = number
        while (begun := time.perf_counter()) < end:
            sentence = SENTENCES[turn % len(SENTENCES)]
            result = await clients[number % len(clients)].translate(MODEL, sentence)
            if result.translations[0].text != expected[sentence]:
                raise SystemExit(f"{sentence!r} was answered differently under load")
            latencies.append(time.perf_counter() - begun)
            turn += 1

    await asyncio.gather(*(caller(number) for number in range(concurrency)))
    for client in clients:
        await client.close()
    cuts = statistics.quantiles(latencies, n=100)
    return Sample(len(latencies) / SECONDS, cuts[49] * 1000, cuts[98] * 1000)


def load_from_another_process(target: str, concurrency: int) -> Sample:
    """Run `generate_load` in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.layouts", target, str(concurrency)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Sample(**json.loads(output.stdout))


def measure() -> dict[tuple[str, int], list[Sample]]:
    """Let the layouts take turns."""
    servers: dict[str, ServerProcess] = {}
    samples: dict[tuple[str, int], list[Sample]] = {}
    try:
        for layout, flags in LAYOUTS.items():
            servers[layout] = start_server(trained_models(), *flags)
        turns = [(c, layout) for c in CONCURRENCIES for _ in range(ROUNDS) for layout in LAYOUTS]
        for concurrency, layout in track(turns, description="measuring"):
            sample = load_from_another_process(servers[layout].target, concurrency)
            samples.setdefault((layout, concurrency), []).append(sample)
    finally:
        for server in servers.values():
            server.stop()
    return samples


def table(samples: dict[tuple[str, int], list[Sample]]) -> str:
    """The measurements as a Markdown table."""
    lines = [
        "| in flight | layout | sentences/s, median (min to max) | ratio to one engine process | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for concurrency in CONCURRENCIES:
        first = samples[next(iter(LAYOUTS)), concurrency]
        for layout in LAYOUTS:
            found = samples[layout, concurrency]
            rates = [sample.per_second for sample in found]
            ratio = statistics.median(a.per_second / b.per_second for a, b in zip(found, first, strict=True))
            p50 = statistics.median(sample.p50_ms for sample in found)
            p99 = statistics.median(sample.p99_ms for sample in found)
            spread = f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            lines.append(f"| {concurrency} | {layout} | {spread} | {ratio:.2f} | {p50:.1f} | {p99:.1f} |")
    return "\n".join(lines)


def machine() -> str:
    """What it was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "grpcio", "numpy"))
    return f"{os.cpu_count()} cores ({model}), CPython {platform.python_version()}, {packages}"


def main() -> None:
    """Measure, and replace the measured part of the page."""
    if len(sys.argv) == 3:
        sys.stdout.write(json.dumps(asyncio.run(generate_load(sys.argv[1], int(sys.argv[2]))).__dict__))
        return
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    found = table(measure())
    head, _, rest = OUTPUT.read_text().partition(begin)
    measured = f"{begin}\n{datetime.now(UTC):%Y-%m-%d}, {machine()}.\n\n{found}\n{end}"
    OUTPUT.write_text(head + measured + rest.partition(end)[2])
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main()
