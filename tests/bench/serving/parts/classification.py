"""Classification: one text per call and lists, and the latency of one call alone."""

from tests.bench.serving.comparing import ratio
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Shape, loaded
from tests.bench.serving.parts.lineup import LIMIT, Lineup, line_up, ours_tuned, triton_tuned, tuned_lineup
from tests.bench.serving.rounds import Measured, take_turns
from tests.bench.serving.tables import table_of
from tests.bench.serving.targets import Target, target_table

SINGLE, LISTS, MANY_LISTS, ALONE = Shape(32), Shape(2, 16), Shape(32, 16), Shape(1)


def classification(bench: Bench) -> str:
    """Every shape of load."""
    job = bench.job("classification")
    with line_up(bench, job, SINGLE) as lineup:
        measured = {SINGLE: take_turns(lineup.contenders(bench, job, SINGLE), bench.rounds)}
        with tuned_lineup(bench, job, LISTS, lineup) as tuned:
            measured[LISTS] = take_turns(tuned.contenders(bench, job, LISTS), bench.rounds)
            measured[MANY_LISTS] = take_turns(tuned.few(bench, job, MANY_LISTS), bench.rounds)
        measured[ALONE] = _alone(bench, job, lineup)
        tried = lineup.tried()
    about = f"model `{job.reference}` in {job.precision}, {len(job.items)} test texts of `{job.corpus}`"
    return "\n\n".join(
        [
            "## Classification",
            circumstances(bench.effort, about),
            *(f"### {shape}\n\n{table_of(found, limit=LIMIT)}" for shape, found in measured.items()),
            f"### Targets\n\n{target_table(_targets(measured))}",
            f"### Settings that were tried, {SINGLE} unless it says otherwise\n\n{tried}",
        ]
    )


def _alone(bench: Bench, job: Job, lineup: Lineup) -> Measured:
    """One call in flight: ours and Triton in the settings that answer it the soonest."""
    with (
        ours_tuned(bench, job, ALONE, lineup, by="p50_ms") as ours,
        triton_tuned(bench, job, ALONE, lineup, by="p50_ms") as tuned,
    ):
        served = [loaded(bench, job, one, ALONE) for one in ours]
        return take_turns([*lineup.bares[:1], *served, *tuned], bench.rounds)


def _targets(measured: dict[Shape, Measured]) -> list[Target]:
    def of_limit(shape: Shape) -> list[float]:
        return ratio(measured[shape], (LIMIT,), "items_per_cpu_second")

    unloaded = ratio(measured[ALONE], ("Triton",), "p50_ms", lowest=True)
    return [
        Target(f"{LISTS}: work per CPU-second, of the limit", of_limit(LISTS), 0.85),
        Target(f"{MANY_LISTS}: work per CPU-second, of the limit", of_limit(MANY_LISTS), 0.85),
        Target(f"{SINGLE}: throughput, of Triton's", ratio(measured[SINGLE], ("Triton",), "items_per_second"), 1.0),
        Target(f"{ALONE}: p50, of Triton's", unloaded, 0.6, at_least=False),
    ]
