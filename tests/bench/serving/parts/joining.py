"""What it costs running streams that others join, beside what it costs the bare step to have more rows."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server, seqserve_server
from tests.bench.serving.figures import median, percentile, with_spread
from tests.bench.serving.load.processes import new_generator, observe
from tests.bench.serving.load.spec import LoadSpec
from tests.bench.serving.parts.bench import Bench
from tests.bench.serving.peers.bare_models import manifest_of, onnx_run
from tests.bench.serving.rounds import WrongAnswerError
from tests.bench.serving.tables import markdown
from tests.bench.serving.targets import Target

RUNNING, JOINING = 16, 64
STEP_RUNS = 300
UNCOUNTED_SHARE = 0.1
"""Of the steps, that pass before they count."""
MOST_EXCESS = 1.2
SHARING = "defaults: tokens share messages"
UNSHARED = "each token a message"
PACES: Mapping[str, tuple[str, ...]] = {SHARING: (), UNSHARED: ("--stream-interval-seconds", "0")}
JOINS_NOTE = f"""The p99 is of the {RUNNING} streams that run already, from the moment of the join on. The target can
be read in two ways, and is judged by both. Growth is (p99 while {JOINING} join / p99 before) / (p99 of the step with
{RUNNING + JOINING} rows / with {RUNNING}): 1 where the streams' p99 is multiplied as the step's is. Rise is (p99 while
{JOINING} join - p99 before) / (p99 of the step with {RUNNING + JOINING} rows - with {RUNNING}). With defaults the
tokens of a stream wait for more to share a message, 1 ms for each other stream and 20 ms at most
(`--stream-interval-seconds 0.02`). The p99 before the join has that pacing in it, so that its growth is small whatever
a step costs; hence `--stream-interval-seconds 0`, where no token waits, is what is judged. The bare step is alone on
the machine, on one thread; between the tokens of the streams there are the prefills of those that join, too, the
messages, and the clients."""


@dataclass(frozen=True)
class Join:
    """p99 in ms between the tokens of running streams and of the bare step, before and after others join."""

    before: float
    after: float
    step_before: float
    step_after: float

    @property
    def excess(self) -> float:
        """How many times as much the streams' p99 is multiplied as the step's; 1 is as much."""
        return (self.after / self.before) / (self.step_after / self.step_before)

    @property
    def rise_ms(self) -> float:
        """By how much the streams' p99 grows."""
        return self.after - self.before

    @property
    def step_rise_ms(self) -> float:
        """By how much the step's p99 grows."""
        return self.step_after - self.step_before

    @property
    def rise_excess(self) -> float:
        """How many times the step's rise the streams' is; infinite where the step's did not rise."""
        return self.rise_ms / self.step_rise_ms if self.step_rise_ms > 0 else float("inf")


def join_all(bench: Bench, job: Job) -> dict[str, list[Join]]:
    """Every round of every setting; the settings of a round are compared with the same steps."""
    joins: dict[str, list[Join]] = {title: [] for title in PACES}
    for _ in range(bench.rounds):
        steps = step_p99(job, RUNNING), step_p99(job, RUNNING + JOINING)
        for title, flags in PACES.items():
            joins[title].append(_join(bench, job, flags, steps))
    return joins


def _join(bench: Bench, job: Job, flags: Sequence[str], steps: tuple[float, float]) -> Join:
    slots = str(RUNNING + JOINING)
    with seqserve_server(job.repository, "--decode-slots", slots, "--queue-capacity", "1024", *flags) as server:
        before = _gap_p99(bench, job, server, joining=0)
        after = _gap_p99(bench, job, server, joining=JOINING)
    return Join(before, after, *steps)


def _gap_p99(bench: Bench, job: Job, server: Server, *, joining: int) -> float:
    """p99 in ms between tokens of the running streams, from the moment on at which the others join."""
    begin = LoadSpec.warm_seconds + bench.seconds / 3
    running = LoadSpec(
        server.protocol, server.target, job.name, job.task, job.items, RUNNING,
        warm_seconds=begin, seconds=bench.seconds, options=job.options,
    )  # fmt: skip
    workers = [new_generator(running)]
    if joining:
        late = replace(running, calls_in_flight=joining, warm_seconds=0.0, delay_seconds=begin)
        workers.append(new_generator(late))
    reports, _ = observe(workers, begin, bench.seconds, working=[server.pid])
    if not all(report.items for report in reports):
        raise RuntimeError("of the streams that run or of those that join, none came to its end; measure for longer")
    if any(report.different for report in reports):
        raise WrongAnswerError(
            "an answer of a stream that others joined, or of one that joined, is not the reference's"
        )
    return percentile(reports[0].gaps_ms, 0.99)


def step_p99(job: Job, rows: int) -> float:
    """p99 in ms of the bare step with so many rows."""
    run, spec = onnx_run(job.folder), manifest_of(job.folder)["spec"]
    state = np.zeros((rows, spec["state_size"]), dtype=np.float32)
    token_ids = np.full(rows, spec["text"]["bos_id"], dtype=np.int64)
    moments = [time.perf_counter()]
    for _ in range(STEP_RUNS):
        _, state = run("step", token_ids, state)
        moments.append(time.perf_counter())
    return p99_of_steps(moments)


def p99_of_steps(moments: Sequence[float]) -> float:
    """p99 in ms of steps that follow one another, of which the first few do not count.

    Args:
        moments: in seconds; between each and the next there is one step.
    """
    times = [1000 * (end - begin) for begin, end in pairwise(moments)]
    return percentile(times[round(UNCOUNTED_SHARE * len(times)) :], 0.99)


def joins_section(joins: Mapping[str, Sequence[Join]]) -> str:
    """What was measured, how it is compared, and by how much both rise."""
    judged = joins[UNSHARED]
    rise, step_rise = (median([getattr(one, name) for one in judged]) for name in ("rise_ms", "step_rise_ms"))
    in_ms = (
        f"In milliseconds, in the median, {UNSHARED}: the streams' p99 rises by {rise:.2f}, the bare step's by "
        f"{step_rise:.2f}."
    )
    return "\n\n".join([f"### {JOINING} streams join {RUNNING} that run", joins_table(joins), JOINS_NOTE, in_ms])


def joins_table(joins: Mapping[str, Sequence[Join]]) -> str:
    """The medians of all rounds, and their spread."""
    columns = (
        "p99 in ms, median (lowest to highest)",
        f"{RUNNING} rows",
        f"{RUNNING} rows while {JOINING} join",
        "rise in ms",
        "of the step's growth",
    )
    names = ("before", "after", "rise_ms", "excess")
    rows = [
        [f"between tokens of a stream, {title}", *(_shown(some, name) for name in names)]
        for title, some in joins.items()
    ]
    steps = [_shown(joins[UNSHARED], name) for name in ("step_before", "step_after", "step_rise_ms")]
    return markdown(columns, [*rows, [f"the bare step, {RUNNING} and {RUNNING + JOINING} rows", *steps, ""]])


def _shown(joins: Sequence[Join], name: str) -> str:
    return with_spread([getattr(one, name) for one in joins], 2)


def join_targets(joins: Mapping[str, Sequence[Join]]) -> list[Target]:
    """The target, read both ways, and beside it what is not judged."""

    def read(title: str, setting: str, name: str, *, is_judged: bool = False) -> Target:
        values = [getattr(one, name) for one in joins[setting]]
        return Target(title, values, MOST_EXCESS, at_least=False, is_judged=is_judged)

    growth = "p99 between tokens after the join: its growth, of the bare step's"
    return [
        read(f"{growth}; {UNSHARED}", UNSHARED, "excess", is_judged=True),
        read("the same, its rise in ms, of the bare step's", UNSHARED, "rise_excess", is_judged=True),
        read(f"the same, its growth, {SHARING}", SHARING, "excess"),
    ]
