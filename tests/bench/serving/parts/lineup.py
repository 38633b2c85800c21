"""Everybody who does a task: settings are tried once each, and the best of each contender stay for the rounds."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server, seqserve_server, torch_server
from tests.bench.serving.contenders.torch_models import ENGINES
from tests.bench.serving.parts.bench import Bench, Served, Shape, absent, bare, loaded
from tests.bench.serving.peers import mlserver, triton
from tests.bench.serving.peers.environments import peer_environment
from tests.bench.serving.rounds import FAILURES, Contender, Measured, take_turns
from tests.bench.serving.tables import tries_table

OUR_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "seqserve, defaults": (),
    "seqserve, 2 workers": ("--workers", "2"),
    "seqserve, engine thread": ("--engine-layout", "thread"),
    "seqserve, inline": ("--engine-layout", "inline"),
    "seqserve, 2 workers, engine thread": ("--workers", "2", "--engine-layout", "thread"),
    "seqserve, 2 workers, inline": ("--workers", "2", "--engine-layout", "inline"),
}
BATCHES, LIMIT_TRIES = (16, 32, 64, 128), 2
LIMIT, TORCH_LOOP, EAGER, TORCH_SERVED = "the limit", "PyTorch, bare loop", "PyTorch, one at a time", "PyTorch, batched"


@dataclass
class Lineup:
    """Those who are ready for the rounds, by kind, and the settings that were tried before."""

    bares: list[Contender] = field(default_factory=list)
    ours: list[Served] = field(default_factory=list)
    peers: list[Served] = field(default_factory=list)
    missing: list[Contender] = field(default_factory=list)
    tries: dict[str, Measured] = field(default_factory=dict)

    def tried(self) -> str:
        """Every setting that was tried."""
        return "\n\n".join(tries_table(title, tries) for title, tries in self.tries.items())

    def contenders(self, bench: Bench, job: Job, shape: Shape) -> list[Contender]:
        """Everybody under one load; bare loops know no calls."""
        return [*self.bares, *self._served(bench, job, shape, self.peers), *self.missing]

    def few(self, bench: Bench, job: Job, shape: Shape) -> list[Contender]:
        """Those whom a target names: the limit, ours and Triton."""
        peers = [one for one in self.peers if one.title.startswith("Triton")]
        missing = [one for one in self.missing if one.title.startswith("Triton")]
        return [*self.bares[:1], *self._served(bench, job, shape, peers), *missing]

    def _served(self, bench: Bench, job: Job, shape: Shape, peers: list[Served]) -> list[Contender]:
        return [loaded(bench, job, one, shape) for one in (*self.ours, *peers)]


@contextmanager
def line_up(bench: Bench, job: Job, shape: Shape) -> Iterator[Lineup]:
    """Try the settings of everybody under one load, and keep the best of each running."""
    lineup = Lineup()
    with ExitStack() as stack:
        _limit(bench, job, lineup)
        _ours(bench, job, shape, lineup, stack)
        for title, opens in {"PyTorch": _torch, "Triton": _triton, "MLServer": _mlserver}.items():
            try:
                opens(bench, job, shape, lineup, stack)
            except FAILURES as error:
                lineup.missing.append(absent(title, error))
        yield lineup


def find_limit(bench: Bench, job: Job, mode: str = "greedy") -> tuple[Contender, Measured]:
    """The best bare loop, and all that were tried: batch sizes, threads, and our own step loop without a service."""
    modes_of_bare = {"greedy", "sampled", "top_k"}
    plans = [("onnx", size, 1) for size in BATCHES] + [("onnx", 64, bench.cores)] if mode in modes_of_bare else []
    if job.task != "classification":
        plans += [("engine", size, 1) for size in (32, 64)]
    tries = [
        bare(
            bench.briefly,
            job,
            f"{engine}, batches of {size}, {threads} threads",
            engine,
            size,
            mode=mode,
            threads=threads,
        )
        for engine, size, threads in plans
    ]
    measured = take_turns(tries, LIMIT_TRIES)
    best = measured.best(list(measured.samples), "tokens_per_second")
    engine, size, threads = plans[[one.title for one in tries].index(best or "")]
    return bare(bench, job, LIMIT, engine, size, mode=mode, threads=threads), measured


def _limit(bench: Bench, job: Job, lineup: Lineup) -> None:
    limit, lineup.tries["bare loop"] = find_limit(bench, job)
    lineup.bares.append(limit)


def _ours(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    openers = {
        title: lambda flags=flags: seqserve_server(job.repository, *flags) for title, flags in OUR_SETTINGS.items()
    }
    tries = _try_each(bench, job, shape, openers)
    lineup.tries["seqserve"] = tries
    defaults, best = next(iter(OUR_SETTINGS)), tries.best(list(tries.samples))
    for title in dict.fromkeys((defaults, best or defaults)):
        lineup.ours.append(Served(title, stack.enter_context(openers[title]()), job.name))


def _try_each(
    bench: Bench, job: Job, shape: Shape, openers: Mapping[str, Callable[[], AbstractContextManager[Server]]]
) -> Measured:
    """Open, measure and close one server after another."""
    total = Measured()
    for title, opens in openers.items():
        with opens() as server:
            tried = take_turns([loaded(bench.briefly, job, Served(title, server, job.name), shape)], 1)
        total.samples |= tried.samples
        total.absent |= tried.absent
    return total


def _torch(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    if not job.has_weights or job.task == "generation":
        raise RuntimeError("the bundle carries no weights" if job.task != "generation" else "not measured with torch")
    engines = ENGINES if job.task == "translation" else ("eager", "cells-int8")
    plans = [(engine, size) for engine in engines for size in (32, 64, 128)]
    tries = take_turns(
        [bare(bench.briefly, job, f"{engine}, batches of {size}", engine, size) for engine, size in plans], 1
    )
    lineup.tries["PyTorch, bare loop"] = tries
    best = tries.best(list(tries.samples))
    if best is None:
        raise RuntimeError(next(iter(tries.absent.values())))
    engine, batches = best.split(", batches of ")
    lineup.bares.append(bare(bench, job, f"{TORCH_LOOP} ({best})", engine, int(batches)))
    served = {EAGER: ("eager", 1), f"{TORCH_SERVED} (eager)": ("eager", 32), f"{TORCH_SERVED} ({engine})": (engine, 32)}
    for title, (name, size) in served.items():
        server = stack.enter_context(torch_server(job.folder, engine=name, batch_size=size))
        lineup.peers.append(Served(title, server, job.name))


def _triton(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    served, tries = try_triton(bench, job, shape)
    lineup.tries["Triton"] = tries
    lineup.peers.append(stack.enter_context(served))


def try_triton(bench: Bench, job: Job, shape: Shape) -> tuple[AbstractContextManager[Served], Measured]:
    """Try every setting of Triton in one server; returns one with the best alone, to be opened, and the tries."""
    python = peer_environment("triton").python
    with triton.triton_server(job, triton.SETTINGS, bench.work) as server:
        tries = take_turns(
            [
                loaded(bench.briefly, job, Served(one.title, server, one.name(job.task), python), shape)
                for one in triton.SETTINGS
            ],
            1,
        )
    figure = "tokens_per_second" if job.task == "generation" else "items_per_second"
    best = tries.best(list(tries.samples), figure)
    chosen = next((one for one in triton.SETTINGS if one.title == best), None)
    if chosen is None:
        raise RuntimeError(next(iter(tries.absent.values())))
    return _chosen_triton(bench, job, chosen), tries


@contextmanager
def _chosen_triton(bench: Bench, job: Job, setting: triton.Setting) -> Iterator[Served]:
    python = peer_environment("triton").python
    with triton.triton_server(job, [setting], bench.work) as server:
        yield Served(f"Triton ({setting.title})", server, setting.name(job.task), python)


def _mlserver(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    python = peer_environment("triton").python
    tries = Measured()
    for setting in mlserver.SETTINGS:
        with mlserver.ml_server(job, setting, bench.work) as server:
            served = Served(setting.title, server, mlserver.MODEL, python)
            tried = take_turns([loaded(bench.briefly, job, served, shape)], 1)
        tries.samples |= tried.samples
        tries.absent |= tried.absent
    lineup.tries["MLServer"] = tries
    best = tries.best(list(tries.samples))
    chosen = next((one for one in mlserver.SETTINGS if one.title == best), None)
    if chosen is None:
        raise RuntimeError(next(iter(tries.absent.values())))
    server = stack.enter_context(mlserver.ml_server(job, chosen, bench.work))
    lineup.peers.append(Served(f"MLServer ({chosen.title})", server, mlserver.MODEL, python))
