"""What a part of the bench is told, and its contenders made of that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.bundle.manifest import Precision
from tests.bench.serving.contenders.bare import BareSpec, run_bare
from tests.bench.serving.contenders.jobs import Job, prepare_job
from tests.bench.serving.contenders.servers import Server
from tests.bench.serving.figures import Sample
from tests.bench.serving.load.processes import drive
from tests.bench.serving.load.spec import Item, LoadSpec, Task
from tests.bench.serving.rounds import Contender


@dataclass(frozen=True)
class Bench:
    """The options of the command.

    Attributes:
        models: repositories of bundles, in the order that a task's is looked for.
        data: the folder of the real corpora, or None.
        work: a folder for what the bench builds.
        precision: that models are served in.
        seconds: of each measurement.
        rounds: of each contender.
        cores: that contenders may use.
        generators: processes that ask.
    """

    models: Sequence[Path]
    data: Path | None
    work: Path
    precision: Precision = "int8"
    seconds: float = 2.5
    rounds: int = 5
    cores: int = 2
    generators: int = 2

    def job(self, task: Task) -> Job:
        """The bundle, texts and answers of a task."""
        return prepare_job(task, self.models, precision=self.precision, data=self.data, work=self.work / "models")

    @property
    def briefly(self) -> "Bench":
        """For settings that are tried before the rounds."""
        return replace(self, seconds=min(self.seconds, 1.5))

    @property
    def effort(self) -> str:
        """For the page."""
        return f"{self.rounds} rounds of {self.seconds:g} s"


@dataclass(frozen=True)
class Served:
    """A contender that is a server.

    Attributes:
        title: for the table.
        server: where it is.
        model: as it calls it.
        python: of the environment that has the client; None: the project's.
    """

    title: str
    server: Server
    model: str
    python: Path | None = None

    @property
    def is_ours(self) -> bool:
        """Whether every answer has to be exact, and a failure fails the bench."""
        return self.title.startswith("seqserve")


@dataclass(frozen=True)
class Shape:
    """How a load comes: calls kept in flight, texts in each, and connections, at least four for every worker."""

    calls: int
    list_size: int = 1
    connections: int = 16

    def __str__(self) -> str:
        texts = "one text each" if self.list_size == 1 else f"{self.list_size} texts each"
        return f"{self.calls} calls in flight, {texts}" if self.calls > 1 else f"one call in flight, {texts}"


def loaded(
    bench: Bench,
    job: Job,
    served: Served,
    shape: Shape,
    *,
    items: list[Item] | None = None,
    timeout_s: float | None = None,
) -> Contender:
    """A server under a load.

    Args:
        bench: how long.
        job: the texts, and how tokens are chosen.
        served: the server.
        shape: how the calls come.
        items: in place of the job's.
        timeout_s: of each call, in seconds; None: the client's own.
    """

    def measure() -> Sample:
        server = served.server
        spec = LoadSpec(
            server.protocol,
            server.target,
            served.model,
            job.task,
            items or job.items,
            calls_in_flight=shape.calls,
            list_size=shape.list_size,
            connections=shape.connections,
            seconds=bench.seconds,
            options=job.options if timeout_s is None else {**job.options, "timeout_s": timeout_s},
        )
        return drive(spec, server.pid, generators=bench.generators, python=served.python)

    return Contender(served.title, measure, exact=served.is_ours, is_peer=not served.is_ours)


def bare(
    bench: Bench, job: Job, title: str, engine: str, batch_size: int, *, threads: int = 1, window: int | None = None
) -> Contender:
    """A bare loop; with more threads than one, fewer processes."""
    spec = BareSpec(
        str(job.folder),
        job.items,
        engine,
        job.mode,
        batch_size,
        threads,
        seconds=bench.seconds,
        token_count=job.token_count,
        window=window,
    )
    processes = max(1, bench.cores // threads)
    exact = engine in {"onnx", "engine"}
    return Contender(title, lambda: run_bare(spec, processes), exact=exact, is_peer=not exact)


def absent(title: str, error: Exception) -> Contender:
    """A peer that cannot run."""

    def fail() -> Sample:
        raise RuntimeError(str(getattr(error, "stderr", "") or error)) from error

    return Contender(title, fail, is_peer=True)


Part = Callable[[Bench], str]
"""Measures, and returns its section of the page."""
