"""Streamed generation: many streams, the first token of one alone, and streams that join running ones."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from tests.bench.serving.comparing import OURS, ratio
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server, seqserve_server
from tests.bench.serving.figures import percentile
from tests.bench.serving.load.processes import new_generator, observe
from tests.bench.serving.load.spec import LoadSpec
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Served, Shape, absent, loaded
from tests.bench.serving.parts.lineup import OUR_SETTINGS, try_triton
from tests.bench.serving.peers.bare_models import manifest_of, onnx_run
from tests.bench.serving.rounds import FAILURES, Contender, Measured, take_turns
from tests.bench.serving.tables import markdown, streams_table, tries_table
from tests.bench.serving.targets import Target, target_table

STREAMS, ALONE = Shape(32), Shape(1)
RUNNING, JOINING = 16, 64
STEP_RUNS = 300


def options(job: Job) -> dict[str, object]:
    """Greedy, so that every text can be compared."""
    return {"temperature": 0.0, "max_output_token_count": job.token_count}


def generation(bench: Bench) -> str:
    """Streams beside Triton's, and what joining costs."""
    job = bench.job("generation")
    with ExitStack() as stack:
        served, missing, tries = _everybody(bench, job, stack)
        many, alone = (
            take_turns(
                [*(loaded(bench, job, one, shape, options=options(job)) for one in served), *missing], bench.rounds
            )
            for shape in (STREAMS, ALONE)
        )
    joins = [_join(bench, job) for _ in range(bench.rounds)]
    about = (
        f"model `{job.name}` in {job.precision}, prompts of `{job.corpus}`, greedy, at most {job.token_count} tokens, "
        f"{job.tokens_per_item:.1f} in the mean"
    )
    return "\n\n".join(
        [
            "## Streamed generation",
            circumstances(bench.effort, about),
            f"### {STREAMS.calls} streams\n\n{streams_table(many)}",
            f"### One stream\n\n{streams_table(alone)}",
            f"### {JOINING} streams join {RUNNING} that run\n\n{_joins_table(joins)}",
            f"### Targets\n\n{target_table(_targets(many, alone, joins))}",
            *(
                [f"### Settings that were tried, {STREAMS.calls} streams\n\n{tries_table('Triton', tries)}"]
                if tries
                else []
            ),
        ]
    )


def _everybody(bench: Bench, job: Job, stack: ExitStack) -> tuple[list[Served], list[Contender], Measured | None]:
    served = [
        Served(title, stack.enter_context(seqserve_server(job.repository, *flags)), job.name)
        for title, flags in list(OUR_SETTINGS.items())[:2]
    ]
    try:
        triton, tries = try_triton(bench, job, STREAMS)
        return [*served, stack.enter_context(triton)], [], tries
    except FAILURES as error:
        return served, [absent("Triton", error)], None


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
        seconds=bench.seconds, options=options(job),
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


def _joins_table(joins: list[Join]) -> str:
    columns = ("p99 in ms", f"{RUNNING} rows", f"{RUNNING} rows while {JOINING} join")
    rows = []
    for title, before, after in (
        ("between tokens of a stream", "before", "after"),
        ("the bare step", "step_before", "step_after"),
    ):
        medians = (percentile([getattr(one, name) for one in joins], 0.5) for name in (before, after))
        rows.append([title, *(f"{value:.2f}" for value in medians)])
    return markdown(columns, rows)
