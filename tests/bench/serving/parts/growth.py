"""What it costs as the work grows: callers, source length, vocabulary, hidden size, streams.   Plotted, not judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import seqserve_server
from tests.bench.serving.contenders.untrained import untrained_job, untrained_translator
from tests.bench.serving.figures import Sample, median, values_of, with_spread
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Served, Shape, loaded
from tests.bench.serving.plots import Curve, draw
from tests.bench.serving.rounds import take_turns
from tests.bench.serving.tables import markdown

CALLERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LENGTHS = (5, 10, 20, 50, 100, 200)
VOCABULARIES = (1000, 2000, 4000, 8000, 16000, 32000)
HIDDEN_SIZES = (64, 128, 256, 512, 1024)
STREAMS = (1, 10, 100, 500, 1000, 2500, 5000)
WRITTEN = 16
"""Tokens per answer where the sizes of an untrained model are what is looked at."""
MOST_ROUNDS = 3
"""Of each point."""
MOST_IN_QUEUE, STREAM_SECONDS, MEBIBYTE = 6000, 600, 2**20


@dataclass(frozen=True)
class Point:
    """A size of the work, and every round of what was measured there."""

    size: int
    samples: Sequence[Sample]

    def median(self, name: str) -> float:
        """Of a figure."""
        return median(values_of(self.samples, name))

    def shown(self, name: str, digits: int = 0) -> str:
        """A figure with its spread."""
        return with_spread(values_of(self.samples, name), digits)


def growth(bench: Bench) -> str:
    """Every sweep, point by point."""
    sweeps: dict[str, Callable[[Bench], list[Point]]] = {
        "callers": _callers,
        "source tokens": _lengths,
        "vocabulary": _vocabularies,
        "hidden size": _hidden_sizes,
    }
    found = {title: sweep(bench) for title, sweep in sweeps.items()}
    streams, slots = _streams(bench)
    plots = [draw(f"benchmark-{title.replace(' ', '-')}", title, _curves(points)) for title, points in found.items()]
    memory = Curve("resident MiB of the server", [one.size for one in streams], [_mebibytes(one) for one in streams])
    note = f"streams open at once; beyond {slots} slots they wait"
    plots.append(draw("benchmark-streams", note, [memory], marked=slots))
    tables = [_table(title, points) for title, points in found.items()]
    rows = [[f"{one.size:,}", f"{_mebibytes(one):,.0f}", one.shown("tokens_per_second")] for one in streams]
    tables.append(markdown((note, "resident MiB of the server", "tokens/s"), rows))
    sections = [f"{table}\n\n![{plot}]({plot})" for table, plot in zip(tables, plots, strict=True)]
    about = (
        f"seqserve's defaults, {_rounds(bench)} rounds of {bench.seconds:g} s a point, of memory the most; callers: "
        "translation of test sentences, one each; source tokens, vocabulary and hidden size: untrained translators "
        "(vocabulary 4,000, hidden size 192 where they do not vary), 32 calls in flight, sources of 20 tokens, answers "
        f"of up to {WRITTEN}; every answer equals what the engine gives to the text alone"
    )
    return "\n\n".join(["## As the work grows", circumstances(about), *sections])


def _callers(bench: Bench) -> list[Point]:
    job = bench.job("translation")
    with seqserve_server(job.repository) as server:
        served = Served("seqserve", server, job.name)
        shapes = [Shape(calls, connections=min(32, calls)) for calls in CALLERS]
        return [Point(shape.calls, _one(bench, job, served, shape)) for shape in shapes]


def _lengths(bench: Bench) -> list[Point]:
    folder = untrained_translator(bench.work / "untrained", precision=bench.precision)
    jobs = {length: untrained_job(folder, length, WRITTEN) for length in LENGTHS}
    with seqserve_server(folder.parents[1]) as server:
        served = Served("seqserve", server, folder.parent.name)
        return [Point(length, _one(bench, job, served)) for length, job in jobs.items()]


def _vocabularies(bench: Bench) -> list[Point]:
    return [Point(size, _untrained(bench, vocabulary=size)) for size in VOCABULARIES]


def _hidden_sizes(bench: Bench) -> list[Point]:
    return [Point(size, _untrained(bench, hidden=size)) for size in HIDDEN_SIZES]


def _untrained(bench: Bench, *, vocabulary: int = 4000, hidden: int = 192) -> list[Sample]:
    repository = bench.work / "untrained"
    folder = untrained_translator(repository, vocabulary=vocabulary, hidden=hidden, precision=bench.precision)
    job = untrained_job(folder, 20, WRITTEN, vocabulary)
    with seqserve_server(folder.parents[1]) as server:
        return _one(bench, job, Served("seqserve", server, folder.parent.name))


def _one(bench: Bench, job: Job, served: Served, shape: Shape | None = None) -> list[Sample]:
    contender = loaded(bench, job, served, shape or Shape(32))
    return take_turns([contender], _rounds(bench)).samples[served.title]


def _rounds(bench: Bench) -> int:
    return min(bench.rounds, MOST_ROUNDS)


def _streams(bench: Bench) -> tuple[list[Point], int]:
    """Memory while so many streams are open, on a fresh server each time; and how many of them step together."""
    job, slots = bench.job("generation"), 32
    most = str(MOST_IN_QUEUE)
    flags = ["--queue-capacity", most, "--max-concurrent-rpcs", most, "--decode-slots", str(slots)]
    flags += ["--engine-count", "1"]  # each engine has as many slots
    flags += ["--max-request-seconds", str(STREAM_SECONDS)]
    points = []
    for count in STREAMS:
        longer = replace(bench, seconds=bench.seconds + count / 1000)  # opening them takes the generator so long
        with seqserve_server(job.repository, *flags) as server:
            served = Served("seqserve", server, job.name)
            shape = Shape(count, connections=min(16, count))
            contender = loaded(longer, job, served, shape, timeout_s=STREAM_SECONDS)
            points.append(Point(count, take_turns([contender], _rounds(bench)).samples[served.title]))
    return points, slots


def _curves(points: Sequence[Point]) -> list[Curve]:
    sizes = [one.size for one in points]
    return [
        Curve("texts/s", sizes, [one.median("items_per_second") for one in points]),
        Curve("p50 ms", sizes, [one.median("p50_ms") for one in points]),
        Curve("p99 ms", sizes, [one.median("p99_ms") for one in points]),
    ]


def _table(title: str, points: Sequence[Point]) -> str:
    columns = (title, "texts/s", "tokens/s", "p50 ms", "p99 ms", "cores of the server")
    rows = [
        [
            f"{one.size:,}",
            one.shown("items_per_second"),
            one.shown("tokens_per_second"),
            one.shown("p50_ms", 1),
            one.shown("p99_ms", 1),
            one.shown("server_cpu", 2),
        ]
        for one in points
    ]
    return markdown(columns, rows)


def _mebibytes(point: Point) -> float:
    return max(values_of(point.samples, "server_bytes")) / MEBIBYTE
