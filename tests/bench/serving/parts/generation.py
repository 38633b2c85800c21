"""Streamed generation: many streams, the first token of one alone, and streams that join running ones."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from tests.bench.serving.comparing import OURS, ratio
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server, seqserve_server
from tests.bench.serving.figures import percentile, with_spread
from tests.bench.serving.load.processes import new_generator, observe
from tests.bench.serving.load.spec import LoadSpec
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Shape, loaded
from tests.bench.serving.parts.lineup import LIMIT, find_limit, line_up
from tests.bench.serving.peers.bare_models import manifest_of, onnx_run
from tests.bench.serving.rounds import Measured, take_turns
from tests.bench.serving.tables import markdown, streams_table
from tests.bench.serving.targets import Target, target_table

STREAMS, ALONE = Shape(32), Shape(1)
SAMPLED = {"temperature": 1.0, "seed": 1}
RUNNING, JOINING = 16, 64
STEP_RUNS = 300


def generation(bench: Bench) -> str:
    """Streams beside the limit and Triton's, and what joining costs."""
    job = bench.job("generation")
    with line_up(bench, job, STREAMS) as lineup:
        many = take_turns(lineup.contenders(bench, job, STREAMS), bench.rounds)
        alone = take_turns(lineup.served(bench, job, ALONE), bench.rounds)
        limit, lineup.tries["bare loop, sampled"] = find_limit(bench, job, "sampled")
        ours = [loaded(bench, job, one, STREAMS, options=job.options | SAMPLED, compared=False) for one in lineup.ours]
        drawn = take_turns([limit, *ours], bench.rounds)
        tried = lineup.tried()
    joins = [_join(bench, job) for _ in range(bench.rounds)]
    about = (
        f"model `{job.reference}` in {job.precision}, prompts of `{job.corpus}`, greedy unless it says otherwise, "
        f"at most {job.token_count} tokens, {job.tokens_per_item:.1f} in the mean"
    )
    sections = [
        "## Streamed generation",
        circumstances(bench.effort, about),
        f"### {STREAMS.calls} streams\n\n{streams_table(many, limit=LIMIT)}",
        f"### {STREAMS.calls} streams, sampled\n\n{streams_table(drawn, limit=LIMIT, compared=False)}",
        f"### One stream\n\n{streams_table(alone, limit=None)}",
        f"### {JOINING} streams join {RUNNING} that run\n\n{joins_table(joins)}",
        f"### Targets\n\n{target_table(_targets(many, alone, joins))}",
        f"### Settings that were tried, {STREAMS.calls} streams\n\n{tried}",
    ]
    return "\n\n".join(sections)


def _targets(many: Measured, alone: Measured, joins: list["Join"]) -> list[Target]:
    first = [
        sample.first_p50_ms
        for title, found in alone.samples.items()
        if title == f"{OURS}, defaults"
        for sample in found
    ]
    return [
        Target(f"{STREAMS.calls} streams: tokens/s, of Triton's", ratio(many, ("Triton",), "tokens_per_second"), 3.0),
        Target("first token of one stream, p50 in ms", first, 5.0, at_least=False),
        Target(
            "p99 between tokens after the join, of what the bare step's grows by",
            [one.excess for one in joins],
            1.2,
            at_least=False,
        ),
    ]


@dataclass(frozen=True)
class Join:
    """p99 in ms between the tokens of running streams and of the bare step, before and after others join."""

    before: float
    after: float
    step_before: float
    step_after: float

    @property
    def excess(self) -> float:
        """How much more the streams' grew than the step's; 1 is as much."""
        return (self.after / self.before) / (self.step_after / self.step_before)


def _join(bench: Bench, job: Job) -> Join:
    with _roomy_server(job) as server:
        before = _gap_p99(bench, job, server, joining=0)
        after = _gap_p99(bench, job, server, joining=JOINING)
    return Join(before, after, step_p99(job, RUNNING), step_p99(job, RUNNING + JOINING))


@contextmanager
def _roomy_server(job: Job) -> Iterator[Server]:
    slots = str(RUNNING + JOINING)
    with seqserve_server(job.repository, "--decode-slots", slots, "--queue-capacity", "1024") as server:
        yield server


def _gap_p99(bench: Bench, job: Job, server: Server, *, joining: int) -> float:
    """p99 between tokens of the running streams, while others join in the middle of the time that counts."""
    running = LoadSpec(
        server.protocol, server.target, job.name, job.task, job.items, RUNNING,
        seconds=bench.seconds, options=job.options,
    )  # fmt: skip
    workers = [new_generator(running)]
    if joining:
        delay = running.warm_seconds + bench.seconds / 3
        late = replace(running, calls_in_flight=joining, warm_seconds=0.0, seconds=bench.seconds * 2 / 3)
        workers.append(new_generator(replace(late, delay_seconds=delay)))
    reports, _ = observe(workers, running.warm_seconds, bench.seconds, working=[server.pid])
    return percentile(reports[0].gaps_ms, 0.99)


def step_p99(job: Job, rows: int) -> float:
    """p99 in ms of the bare step with so many rows."""
    run, spec = onnx_run(job.folder), manifest_of(job.folder)["spec"]
    state = np.zeros((rows, spec["state_size"]), dtype=np.float32)
    token_ids = np.full(rows, spec["text"]["bos_id"], dtype=np.int64)
    times = []
    for _ in range(STEP_RUNS):
        begun = time.perf_counter()
        _, state = run("step", token_ids, state)
        times.append((time.perf_counter() - begun) * 1000)
    return percentile(times[STEP_RUNS // 10 :], 0.99)


def joins_table(joins: Sequence[Join]) -> str:
    """The medians of all rounds, and their spread."""
    columns = ("p99 in ms, median (lowest to highest)", f"{RUNNING} rows", f"{RUNNING} rows while {JOINING} join")
    rows = []
    for title, before, after in (
        ("between tokens of a stream", "before", "after"),
        ("the bare step", "step_before", "step_after"),
    ):
        rows.append([title, *(with_spread([getattr(one, name) for one in joins], 2) for name in (before, after))])
    return markdown(columns, rows)
