"""Translation: one sentence per call and lists, real lengths and mixed ones, greedy and otherwise."""

from contextlib import ExitStack

from tests.bench.serving.comparing import OURS, ratio
from tests.bench.serving.contenders.jobs import MODES, Job
from tests.bench.serving.contenders.mixed import mixed_items
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Shape, loaded
from tests.bench.serving.parts.lineup import (
    EAGER,
    LIMIT,
    TORCH_LOOP,
    TORCH_SERVED,
    Lineup,
    chosen_by,
    find_limit,
    line_up,
    open_ours,
    ours_tuned,
    triton_tuned,
    tuned_lineup,
)
from tests.bench.serving.rounds import Measured, take_turns
from tests.bench.serving.tables import table_of, tries_table
from tests.bench.serving.targets import Target, target_table

SINGLE, LISTS, MANY_LISTS = Shape(32), Shape(2, 16), Shape(32, 16)
NOT_GREEDY = tuple(mode for mode in MODES if mode != "greedy")
MODES_NOTE = """The limit samples with NumPy over whole batches, with the parts of the service's sampler and by the
seed that each call has, so that every answer of both can be compared; of a beam it is our own step loop without a
service, which is tried in the other modes, too.
The reference is what our engine gives to each text alone in that mode. Settings of ours are chosen greedy, for
all modes."""


def translation(bench: Bench) -> str:
    """One sentence per call, and lists of sixteen."""
    job = bench.job("translation")
    with line_up(bench, job, SINGLE) as lineup:
        single = take_turns(lineup.contenders(bench, job, SINGLE), bench.rounds)
        with tuned_lineup(bench, job, LISTS, lineup) as tuned:
            lists = take_turns(tuned.contenders(bench, job, LISTS), bench.rounds)
            many = take_turns(tuned.few(bench, job, MANY_LISTS), bench.rounds)
        mixed = _mixed(bench, job, lineup)
        tried = lineup.tried()
    sections = [
        "## Translation",
        f"{circumstances(bench.effort, _about(job))}",
        f"### {SINGLE}\n\n{table_of(single, limit=LIMIT)}",
        f"### {LISTS}\n\n{table_of(lists, limit=LIMIT)}",
        f"### {MANY_LISTS}\n\n{table_of(many, limit=LIMIT)}",
        f"### Sources of 6 to 60 tokens, {SINGLE}\n\n{table_of(mixed, limit=None)}",
        f"### Targets\n\n{target_table(_targets(single, lists, many, mixed))}",
        f"### Settings that were tried, {SINGLE} unless it says otherwise\n\n{tried}",
    ]
    return "\n\n".join(sections)


def _about(job: Job) -> str:
    return (
        f"model `{job.reference}` in {job.precision}, {len(job.items)} test sentences of `{job.corpus}`, "
        f"{job.tokens_per_item:.1f} tokens each in translation, greedy"
    )


def _mixed(bench: Bench, job: Job, lineup: Lineup) -> Measured:
    """Ours beside Triton on sources of very mixed lengths."""
    items, by, about = mixed_items(job), chosen_by(job), "sources of 6 to 60 tokens"
    with (
        ours_tuned(bench, job, SINGLE, lineup, by=by, items=items, about=about) as ours,
        triton_tuned(bench, job, SINGLE, lineup, by=by, items=items, about=about) as tuned,
    ):
        return take_turns([*(loaded(bench, job, one, SINGLE, items=items) for one in ours), *tuned], bench.rounds)


def _targets(single: Measured, lists: Measured, many: Measured, mixed: Measured) -> list[Target]:
    per_cpu, wall, triton = "items_per_cpu_second", "items_per_second", ("Triton",)
    return [
        Target("lists of 16: work per CPU-second, of the limit", ratio(lists, (LIMIT,), per_cpu), 0.85),
        Target(f"{MANY_LISTS}: the same", ratio(many, (LIMIT,), per_cpu), 0.85),
        Target("one sentence per call: work per CPU-second, of the limit", ratio(single, (LIMIT,), per_cpu), 0.6),
        Target("lists of 16: the best bare PyTorch loop", ratio(lists, (TORCH_LOOP,), wall), 1.0),
        Target("the same, stretched", ratio(lists, (TORCH_LOOP,), wall), 1.3),
        Target("the best PyTorch served", ratio(single, (TORCH_SERVED, EAGER), wall), 2.0),
        Target("eager PyTorch served one at a time", ratio(single, (EAGER,), wall), 30.0),
        Target("one sentence per call: throughput, of Triton's", ratio(single, triton, wall), 1.5),
        Target(
            "one sentence per call: p50, of Triton's", ratio(single, triton, "p50_ms", by=wall), 0.7, at_least=False
        ),
        Target(
            "one sentence per call: p99, of Triton's", ratio(single, triton, "p99_ms", by=wall), 0.7, at_least=False
        ),
        Target("sources of 6 to 60 tokens: throughput, of Triton's", ratio(mixed, triton, wall), 2.0),
    ]


def modes(bench: Bench) -> str:
    """Sampling and beam search, against a loop that does the same."""
    job = bench.job("translation")
    jobs = {mode: job.in_mode(mode) for mode in NOT_GREEDY}
    limits = {mode: find_limit(bench, one) for mode, one in jobs.items()}
    sections = ["## Translation, not greedy", circumstances(bench.effort, _about(job).removesuffix(", greedy"))]
    targets, tried = [], [tries_table(f"bare loop, {mode}", tries) for mode, (_, tries) in limits.items()]
    for shape, bound in ((LISTS, 0.85), (SINGLE, 0.6)):
        with ExitStack() as stack:
            ours, tries = open_ours(bench, job, shape, stack, by=chosen_by(job))
            tried.append(tries_table(f"{OURS}, {shape}", tries))
            for mode, one in jobs.items():
                lineup = [limits[mode][0], *(loaded(bench, one, each, shape) for each in ours)]
                measured = take_turns(lineup, bench.rounds)
                sections.append(f"### {mode}, {shape}\n\n{table_of(measured, limit=LIMIT)}")
                title = f"{mode}, {shape}: tokens per CPU-second, of the limit"
                targets.append(Target(title, ratio(measured, (LIMIT,), "tokens_per_cpu_second"), bound))
    sections.append(f"{MODES_NOTE}\n\n### Targets\n\n{target_table(targets)}")
    sections.append("\n\n".join(["### Settings that were tried, ours greedy", *tried]))
    return "\n\n".join(sections)
