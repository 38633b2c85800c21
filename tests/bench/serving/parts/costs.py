"""Where the time goes: the server's CPU for a text or a message by process, and a graph's by operator, which ONNX
Runtime's profiler tells."""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.bundle.manifest import Graph, TensorSpec
from service.bundle.store import open_bundle
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.mixed import mixed_items
from tests.bench.serving.contenders.servers import Server, seqserve_server
from tests.bench.serving.figures import Sample
from tests.bench.serving.load.processes import family
from tests.bench.serving.load.spec import Item
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Served, Shape, loaded
from tests.bench.serving.parts.joining import PACES, UNSHARED
from tests.bench.serving.rounds import take_turns
from tests.bench.serving.tables import markdown

SHAPES = (Shape(32), Shape(2, 16), Shape(1))
STREAMS = (1, 16, 32, 64)
GRAPH_SIZES = ((1, 8), (1, 24), (8, 8), (32, 8), (32, 64))
"""Rows, and time, that graphs are profiled with."""

RUNS = 50
MOST_OPERATORS = 5
FRONT, GRPC, ENGINE = "front: Python", "front: gRPC's own threads", "engine"


def costs(bench: Bench) -> str:
    """CPU by process under load, and by operator in the graphs."""
    jobs = [bench.job("translation"), bench.job("classification")]
    loads = [line for job in jobs for line in _loads(bench, job)]
    graphs = [line for job in jobs for line in _graphs(job)]
    return "\n\n".join(
        [
            "## Where the time goes",
            circumstances(f"{bench.seconds:g} s of each load, {RUNS} runs of each graph"),
            "CPU of the server's processes for one text, in microseconds; defaults.",
            markdown(["model and load", "texts/s", "together", FRONT, GRPC, ENGINE], loads),
            f"The same for one message of streams, {UNSHARED}; and the client's, which reads them on the same cores.",
            markdown(
                ["streams", "messages/s", "together", FRONT, GRPC, ENGINE, "client", "tokens a message"],
                _streams(bench, bench.job("generation")),
            ),
            "A graph by itself, on one thread; shares are of what ONNX Runtime's profiler sees in operators.",
            markdown(["graph", "rows x time", "microseconds a run", "a row", "largest shares"], graphs),
        ]
    )


def _loads(bench: Bench, job: Job) -> list[list[str]]:
    cases: list[tuple[str, Shape, list[Item]]] = [(str(shape), shape, job.items) for shape in SHAPES]
    if job.task == "translation":
        cases.append((f"sources of 6 to 60 tokens, {SHAPES[0]}", SHAPES[0], mixed_items(job)))
    with seqserve_server(job.repository) as server:
        return [[f"`{job.reference}`, {title}", *_load(bench, job, server, shape, items)[1]]
                for title, shape, items in cases]  # fmt: skip


def _streams(bench: Bench, job: Job) -> list[list[str]]:
    lines = []
    with seqserve_server(job.repository, *PACES[UNSHARED]) as server:
        for count in STREAMS:
            shape = Shape(count, connections=min(16, count))
            sample, cells = _load(bench, job, server, shape, job.items, per=attrgetter("messages_per_second"))
            client = 1e6 * sample.generator_cpu / sample.messages_per_second
            lines.append([f"{count}", *cells, f"{client:,.0f}", f"{sample.tokens_per_message:.2f}"])
    return lines


def _load(
    bench: Bench, job: Job, server: Server, shape: Shape, items: list[Item], *,
    per: Callable[[Sample], float] = attrgetter("items_per_second"),
) -> tuple[Sample, list[str]]:  # fmt: skip
    """The sample; texts per second, or what `per` says, then microseconds of CPU for one: together, and by process."""
    contender = loaded(bench, job, Served("seqserve", server, job.name), shape, items=items)
    before = _used(server.pid)
    (sample,) = take_turns([contender], 1).samples["seqserve"]
    used = {who: seconds - before[who] for who, seconds in _used(server.pid).items()}
    each = 1e6 * sample.server_cpu / per(sample)
    parts = [each * seconds / sum(used.values()) for seconds in used.values()]
    return sample, [f"{per(sample):,.0f}", f"{each:,.0f}", *(f"{part:,.0f}" for part in parts)]


def _used(pid: int) -> dict[str, float]:
    """CPU-seconds so far."""
    seconds = dict.fromkeys((FRONT, GRPC, ENGINE), 0.0)
    for process in family(pid):
        is_engine = any("engine_process" in word for word in process.cmdline())
        for thread in process.threads():
            with suppress(FileNotFoundError):  # it has ended meanwhile
                name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text(encoding="utf-8")
                who = ENGINE if is_engine else FRONT if name.startswith("python") else GRPC
                seconds[who] += thread.user_time + thread.system_time
    return seconds


def _graphs(job: Job) -> list[list[str]]:
    bundle = open_bundle(job.folder)
    graphs = bundle.manifest.variants[bundle.manifest.default_precision].graphs
    return [
        [f"`{job.reference}` {role}", f"{rows} x {time}", *_profiled(bundle.files[graph.file], graph, rows, time)]
        for role, graph in graphs.items()
        for rows, time in GRAPH_SIZES
    ]


@dataclass(frozen=True)
class _Opened:
    """A session, and what it is fed."""

    session: onnxruntime.InferenceSession
    feeds: dict[str, npt.NDArray[Any]]

    def seconds(self) -> float:
        """Of a run, in the median."""
        taken = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            self.session.run(None, self.feeds)
            taken.append(time.perf_counter() - begun)
        return float(np.median(taken))


def _profiled(raw: bytes, graph: Graph, rows: int, steps: int) -> list[str]:
    """Microseconds of a run and of a row, without the profiler; then the operators' shares, with it."""
    random = np.random.default_rng(0)
    feeds = {tensor.name: _values(tensor, {"rows": rows, "time": steps}, random) for tensor in graph.inputs}
    plain = _Opened(onnxruntime.InferenceSession(raw, _options(), providers=["CPUExecutionProvider"]), feeds)
    microseconds = 1e6 * plain.seconds()
    with TemporaryDirectory() as folder:
        watched = _options()
        watched.enable_profiling = True
        watched.profile_file_prefix = f"{folder}/profile"
        opened = _Opened(onnxruntime.InferenceSession(raw, watched, providers=["CPUExecutionProvider"]), feeds)
        opened.seconds()
        events = json.loads(Path(opened.session.end_profiling()).read_text(encoding="utf-8"))
    return [f"{microseconds:,.0f}", f"{microseconds / rows:,.0f}", _shares(events)]


def _shares(events: list[dict[str, Any]]) -> str:
    used: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            used[event["args"]["op_name"]] += event["dur"]
    return ", ".join(f"{name} {spent / used.total():.0%}" for name, spent in used.most_common(MOST_OPERATORS))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _values(tensor: TensorSpec, sizes: dict[str, int], random: np.random.Generator) -> npt.NDArray[Any]:
    """Ids of real tokens, full lengths, or numbers near zero."""
    shape = [size if isinstance(size, int) else sizes[size] for size in tensor.shape]
    if tensor.name == "lengths":
        return np.full(shape, sizes["time"])
    if tensor.dtype == "int64":
        return random.integers(4, 40, shape)
    return 0.1 * random.standard_normal(shape, dtype=np.float32)
