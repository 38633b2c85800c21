"""Everybody who does a task: settings are tried once each, and the best of each contender stay for the rounds."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from tests.bench.serving.comparing import OURS
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.pytorch.models import ENGINES, WHOLE_ENGINES
from tests.bench.serving.contenders.servers import seqserve_server, torch_server
from tests.bench.serving.load.spec import Item, Task
from tests.bench.serving.parts.bench import Bench, Served, Shape, absent, bare, loaded
from tests.bench.serving.peers import mlserver, triton
from tests.bench.serving.peers.environments import peer_environment
from tests.bench.serving.rounds import FAILURES, Contender, Tries, take_turns
from tests.bench.serving.tables import tries_table

ONE_ENGINE = "seqserve, 1 engine"
OUR_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "seqserve, defaults": (),
    ONE_ENGINE: ("--engine-count", "1"),
    "seqserve, 2 workers": ("--workers", "2"),
    "seqserve, engine thread": ("--engine-layout", "thread"),
    "seqserve, inline": ("--engine-layout", "inline"),
    "seqserve, 2 workers, engine thread": ("--workers", "2", "--engine-layout", "thread"),
    "seqserve, 2 workers, inline": ("--workers", "2", "--engine-layout", "inline"),
    "seqserve, engine niceness 10": ("--engine-niceness", "10"),
}
BATCHES, LIMIT_TRIES = (8, 16, 32, 64, 128), 2
TRITON = "Triton"
LIMIT, TORCH_LOOP, EAGER, TORCH_SERVED = "the limit", "PyTorch, bare loop", "PyTorch, one at a time", "PyTorch, batched"
TORCH_ENGINES: Mapping[Task, tuple[str, ...]] = {
    "translation": ENGINES,
    "classification": WHOLE_ENGINES,
    "generation": ENGINES,
}
NO_STREAM_BATCHES = "not measured: MLServer batches no streams"


@dataclass
class Lineup:
    """Those who are ready for the rounds, by kind, and the settings that were tried before."""

    bares: list[Contender] = field(default_factory=list)
    ours: list[Served] = field(default_factory=list)
    peers: list[Served] = field(default_factory=list)
    missing: list[Contender] = field(default_factory=list)
    tries: dict[str, Tries] = field(default_factory=dict)

    def tried(self) -> str:
        """Every setting that was tried, and by what it was chosen."""
        return "\n\n".join(tries_table(title, tries) for title, tries in self.tries.items())

    def contenders(self, bench: Bench, job: Job, shape: Shape) -> list[Contender]:
        """Everybody under one load; bare loops know no calls."""
        return [*self.bares, *self.served(bench, job, shape)]

    def few(self, bench: Bench, job: Job, shape: Shape) -> list[Contender]:
        """Those whom a target names: the limit, ours and Triton."""
        named = [one for one in self.served(bench, job, shape) if one.title.startswith((OURS, TRITON))]
        return [*self.bares[:1], *named]

    def served(self, bench: Bench, job: Job, shape: Shape) -> list[Contender]:
        """As `contenders`, without bare loops."""
        return [*(loaded(bench, job, one, shape) for one in (*self.ours, *self.peers)), *self.missing]


@contextmanager
def line_up(bench: Bench, job: Job, shape: Shape) -> Iterator[Lineup]:
    """Try the settings of everybody under one load, and keep the best of each running."""
    lineup = Lineup()
    with ExitStack() as stack:
        limit, lineup.tries["bare loop"] = find_limit(bench, job)
        lineup.bares.append(limit)
        lineup.ours, lineup.tries[OURS] = open_ours(bench, job, shape, stack, by=chosen_by(job))
        for title, opens in {"PyTorch": _torch, triton.title(): _triton, mlserver.title(): _mlserver}.items():
            try:
                opens(bench, job, shape, lineup, stack)
            except FAILURES as error:
                lineup.missing.append(absent(title, error))
        yield lineup


def chosen_by(job: Job) -> str:
    """The figure that decides which settings are the best under load."""
    return "tokens_per_second" if job.task == "generation" else "items_per_second"


def find_limit(bench: Bench, job: Job) -> tuple[Contender, Tries]:
    """The best bare loop, and all that were tried: batch sizes, threads, and our own step loop without a service."""
    plans = [("onnx", size, 1) for size in BATCHES] + [("onnx", 64, bench.cores)] if job.mode != "beam" else []
    if job.task != "classification":
        plans += [("engine", size, 1) for size in (32, 64)]
    titles = [f"{engine}, batches of {size}, {threads} threads" for engine, size, threads in plans]
    tries = [
        replace(bare(bench.briefly, job, title, engine, size, threads=threads), is_peer=True)
        for title, (engine, size, threads) in zip(titles, plans, strict=True)
    ]  # as a peer: a batch that takes longer than a try is a setting that does not run
    found = Tries(take_turns(tries, LIMIT_TRIES), "tokens_per_second")
    engine, size, threads = plans[titles.index(found.best())]
    return bare(bench, job, LIMIT, engine, size, threads=threads), found


def open_ours(
    bench: Bench,
    job: Job,
    shape: Shape,
    stack: ExitStack,
    *,
    by: str,
    items: list[Item] | None = None,
    settings: Mapping[str, tuple[str, ...]] = OUR_SETTINGS,
) -> tuple[list[Served], Tries]:
    """Try every setting of ours under a load; some are opened, and stay so with the stack.

    They are the first and the best, and under lists the second: there several engines write more by the clock, and one
    more by CPU-seconds.
    """
    openers = {title: partial(seqserve_server, job.repository, *flags) for title, flags in settings.items()}
    tries = Tries(by=by)
    for title, opens in openers.items():
        with opens() as server:
            served = Served(title, server, job.name)
            tries.add(take_turns([loaded(bench.briefly, job, served, shape, items=items)], 1))
    titles = dict.fromkeys((*list(settings)[: 1 if shape.list_size == 1 else 2], tries.best()))
    return [Served(title, stack.enter_context(openers[title]()), job.name) for title in titles], tries


@contextmanager
def ours_tuned(
    bench: Bench, job: Job, shape: Shape, lineup: Lineup, *, by: str, items: list[Item] | None = None, about: str = ""
) -> Iterator[list[Served]]:
    """Ours with the defaults and in the settings that are the best under another load than the line-up's.

    Args:
        As `triton_tuned`.
    """
    with ExitStack() as stack:
        served, lineup.tries[f"{OURS}, {about or shape}"] = open_ours(bench, job, shape, stack, by=by, items=items)
        yield served


def _torch(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    if not job.has_weights:
        raise RuntimeError("the bundle carries no weights")
    plans = [(engine, size) for engine in TORCH_ENGINES[job.task] for size in (32, 64, 128)]
    contenders = [bare(bench.briefly, job, f"{engine}, batches of {size}", engine, size) for engine, size in plans]
    lineup.tries["PyTorch, bare loop"] = tries = Tries(take_turns(contenders, 1), chosen_by(job))
    best = tries.best()
    engine, batches = best.split(", batches of ")
    lineup.bares.append(bare(bench, job, f"{TORCH_LOOP} ({best})", engine, int(batches)))
    served = {EAGER: ("eager", 1), f"{TORCH_SERVED} (eager)": ("eager", 32), f"{TORCH_SERVED} ({engine})": (engine, 32)}
    for title, (name, size) in served.items():
        server = stack.enter_context(
            torch_server(job.folder, engine=name, batch_size=size, token_count=job.token_count)
        )
        lineup.peers.append(Served(title, server, job.name))


def _triton(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    served, lineup.tries["Triton"] = _try_triton(bench, job, shape, by=chosen_by(job))
    lineup.peers.append(stack.enter_context(served))


@contextmanager
def triton_tuned(
    bench: Bench, job: Job, shape: Shape, lineup: Lineup, *, by: str, items: list[Item] | None = None, about: str = ""
) -> Iterator[list[Contender]]:
    """Triton in the settings that are the best under another load than the line-up's, or absent.

    Args:
        bench: how long.
        job: the texts.
        shape: of that load.
        lineup: that the tries are noted in.
        by: the figure that decides.
        items: of that load, in place of the job's.
        about: that load, for the page.
    """
    with ExitStack() as stack:
        try:
            served, tries = _try_triton(bench, job, shape, by=by, items=items)
            contender = loaded(bench, job, stack.enter_context(served), shape, items=items)
            lineup.tries[f"Triton, {about or shape}"] = tries
        except FAILURES as error:
            contender = absent(triton.title(), error)
        yield [contender]


@contextmanager
def tuned_lineup(bench: Bench, job: Job, shape: Shape, lineup: Lineup) -> Iterator[Lineup]:
    """The line-up with ours and Triton in the settings that are the best under another load; arguments as there."""
    peers = [one for one in lineup.peers if not one.title.startswith(TRITON)]
    missing = [one for one in lineup.missing if not one.title.startswith(TRITON)]
    with ExitStack() as stack:
        ours, lineup.tries[f"{OURS}, {shape}"] = open_ours(bench, job, shape, stack, by=chosen_by(job))
        try:
            served, lineup.tries[f"{TRITON}, {shape}"] = _try_triton(bench, job, shape, by=chosen_by(job))
            peers.append(stack.enter_context(served))
        except FAILURES as error:
            missing.append(absent(triton.title(), error))
        yield replace(lineup, ours=ours, peers=peers, missing=missing)


def _try_triton(
    bench: Bench, job: Job, shape: Shape, *, by: str, items: list[Item] | None = None
) -> tuple[AbstractContextManager[Served], Tries]:
    """Try every setting of Triton in one server; returns one with the best alone, to be opened, and the tries."""
    python = peer_environment("triton").python
    with triton.triton_server(job, triton.SETTINGS, bench.work) as server:
        served = [Served(one.title, server, one.name(job.task), python) for one in triton.SETTINGS]
        contenders = [loaded(bench.briefly, job, one, shape, items=items) for one in served]
        tries = Tries(take_turns(contenders, 1), by)
    best = tries.best()
    return _chosen_triton(bench, job, next(one for one in triton.SETTINGS if one.title == best)), tries


@contextmanager
def _chosen_triton(bench: Bench, job: Job, setting: triton.Setting) -> Iterator[Served]:
    python = peer_environment("triton").python
    with triton.triton_server(job, [setting], bench.work) as server:
        yield Served(f"{triton.title()} ({setting.title})", server, setting.name(job.task), python)


def _mlserver(bench: Bench, job: Job, shape: Shape, lineup: Lineup, stack: ExitStack) -> None:
    if job.task == "generation":
        raise RuntimeError(NO_STREAM_BATCHES)
    python = peer_environment("triton").python
    tries = Tries(by=chosen_by(job))
    for setting in mlserver.SETTINGS:
        with mlserver.ml_server(job, setting, bench.work) as server:
            served = Served(setting.title, server, mlserver.MODEL, python)
            tries.add(take_turns([loaded(bench.briefly, job, served, shape)], 1))
    lineup.tries["MLServer"] = tries
    best = tries.best()
    chosen = next(one for one in mlserver.SETTINGS if one.title == best)
    server = stack.enter_context(mlserver.ml_server(job, chosen, bench.work))
    lineup.peers.append(Served(f"{mlserver.title()} ({chosen.title})", server, mlserver.MODEL, python))
