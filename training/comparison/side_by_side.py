"""The part of the page that shows comparisons: a table each, what makes them, and when that was.   Measures nothing."""

from collections.abc import Iterable, Iterator, Sequence

from training.comparison.results import Measurement
from training.evaluation.spread import spread

_HEAD = (
    "## Comparisons\n\nOne factor at a time around the first row, each trained on a fixed subset with as\n"
    "many seeds as stand beside it, as `training/comparisons` says, and measured on validation examples. All\n"
    "figures are mean and standard deviation. All rows of a table have as many epochs; what learns slower may\n"
    "not be done. Served per second are texts, or tokens where a model writes, by the service's own engine in\n"
    "float32. What else a machine was doing shows in times and speeds, and in nothing else: do not tell apart\n"
    "what differs by less than the deviations.\n\n"
    "`SEQSERVE_DATA=DIR python -m training compare training/comparisons/*.toml` makes them, what is kept in\n"
    "`docs/comparisons.json` left out; with `--results ELSEWHERE.json`, all of them anew.\n"
)
_DIRTY = "-dirty"
"""How a commit ends where code or recipes were changed since."""


def describe_comparisons(measurements: Iterable[Measurement]) -> Iterator[str]:
    """Give the part's paragraphs: its head, then each comparison; without measurements, none."""
    by_comparison: dict[str, list[Measurement]] = {}
    for one in measurements:
        by_comparison.setdefault(one.comparison, []).append(one)
    if by_comparison:
        yield _HEAD
    for title, measured in by_comparison.items():
        machines = "; ".join(sorted({one.machine for one in measured}))
        yield "\n".join([f"### {title}\n", *_table(measured), f"\nOn {machines}. {_when(measured)}\n"])


def _table(measured: Sequence[Measurement]) -> Iterator[str]:
    rows: dict[str, list[Measurement]] = {}
    for one in measured:
        rows.setdefault(one.row, []).append(one)
    yield f"| | {measured[0].measure} | seeds | parameters | training, s | served per second |"
    yield "|---|---|---|---|---|---|"
    for name, of_row in rows.items():
        cells = [
            name,
            spread([one.value for one in of_row], measured[0].decimals),
            str(len(of_row)),
            f"{of_row[0].parameter_count:,}",
            spread([one.seconds for one in of_row], 0),
            spread([one.speed for one in of_row], 0),
        ]
        yield f"| {' | '.join(cells)} |"


def _when(measured: Sequence[Measurement]) -> str:
    """Say when the runs of a table began and at which commits, as far as that is on record."""
    times = sorted(one.begun_time for one in measured if one.begun_time)
    if not times:
        return "When, and at which commit: not recorded."
    commits = sorted({one.commit for one in measured if one.commit})
    changed = f" (`{_DIRTY}`: with changes not committed yet)" if any(one.endswith(_DIRTY) for one in commits) else ""
    unknown = len(measured) - len(times)
    rest = f"; of {unknown} of the {len(measured)} runs not recorded" if unknown else ""
    return f"Runs began from {times[0]} to {times[-1]}, at commit {', '.join(commits)}{changed}{rest}."
