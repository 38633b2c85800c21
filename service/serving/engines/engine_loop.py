"""The engine: models, and whose turn it is.   One thread; told what to do by messages, tells what happened by events.

It knows neither who hosts it (thread, process or event loop: `hosts.py`) nor what a request looked like as text.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from service.bundle.store import open_bundle
from service.engine.profile import learn_batch_size
from service.errors import InferenceFailedError, ModelNotReadyError, ServiceError
from service.runtime.models import (
    ClassifierModel,
    LabellerModel,
    LoadedModel,
    load_model,
)
from service.runtime.numerics import numerics_class
from service.serving.engines.batcher import Batcher
from service.serving.engines.exactness import is_exact
from service.serving.engines.messages import (
    Cancel,
    ClassifyWork,
    Command,
    DecodeWork,
    Event,
    Failed,
    Load,
    Loaded,
    LoadFailed,
    Ping,
    Pong,
    Ran,
    Stop,
    StopSample,
    Unload,
)
from service.serving.engines.runnable import batched_graph, decoding_rows, learns_batch_size, resident_rows, typical_run
from service.serving.engines.scheduler import Scheduler
from service.settings import MAX_TOKENS_PER_RUN

logger = logging.getLogger(__name__)

LOADING_POLL_SECONDS = 0.005
"""How often an idle engine looks whether a model that it is opening is ready."""

MOST_HELD_RUNS = 64
"""So many runs are told by themselves; fewer go with the next answer or token, or when nothing is left to do."""

DECODING_GRAPHS = {"generation": ("prefill", "step"), "translation": ("encoder", "decoder_step")}
"""Per task, the graph that starts rows and the one that steps."""


@dataclass(frozen=True)
class EngineLimits:
    """How much an engine does at once.

    Args:
        max_batch_size: most sequences that one run reads whole; None: learned for each model when it is loaded.
        decode_slots: most sequences that one model decodes side by side.
        padding_budget: largest share of padded positions in a batch, 0 to 1.
        max_tokens_per_run: most positions, padding included, that one run reads.
    """

    max_batch_size: int | None
    decode_slots: int
    padding_budget: float
    max_tokens_per_run: int = MAX_TOKENS_PER_RUN


@dataclass(frozen=True)
class _Opened:
    """What a loading thread brings back: a model, if there is one, and what is to be said of it."""

    model: LoadedModel | None
    event: Loaded | LoadFailed


class TaskQueue(Protocol):
    """What Batcher and Scheduler have in common."""

    @property
    def busy(self) -> bool:
        """Whether a turn has something to do."""
        ...

    @property
    def work_count(self) -> int:
        """How many works wait or run."""
        ...

    def cancel(self, work_id: int) -> None:
        """Drop a work."""
        ...

    def turn(self) -> list[Event]:
        """Do one batch or step."""
        ...

    def abandon(self, error: ServiceError) -> list[Event]:
        """Fail everything that waits or runs."""
        ...


def _on_a_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="load", daemon=True).start()


class EngineLoop:
    """Runs the models' turns. `handle` takes a command, `turn` does a little work of every busy model.

    Args:
        limits: how much it does at once.
        begin: runs what it is given beside the turns.
    """

    def __init__(self, limits: EngineLimits, begin: Callable[[Callable[[], None]], None] = _on_a_thread) -> None:
        self._limits = limits
        self._begin = begin
        self._queues: dict[int, TaskQueue] = {}
        self._opened: queue.SimpleQueue[_Opened] = queue.SimpleQueue()
        self._loading: set[int] = set()
        self._unwanted: set[int] = set()  # models that were to be forgotten while they were being opened

    @property
    def busy(self) -> bool:
        """Whether a turn has something to do now."""
        return any(waiting.busy for waiting in self._queues.values())

    @property
    def work_count(self) -> int:
        """How many works wait or run."""
        return sum(waiting.work_count for waiting in self._queues.values())

    @property
    def loading(self) -> bool:
        """Whether a model is being opened, so that a turn may soon have something to tell."""
        return bool(self._loading)

    def handle(self, command: Command) -> list[Event]:
        """Take one command; what it leads to comes from this call or from later turns."""
        if isinstance(command, ClassifyWork | DecodeWork):
            return self._submit(command)
        if isinstance(command, Ping):
            return [Pong()]
        if isinstance(command, Cancel):
            return self._everywhere(lambda waiting: waiting.cancel(command.work_id))
        if isinstance(command, StopSample):
            return self._everywhere(lambda waiting: _stop_sample(waiting, command))
        if isinstance(command, Load | Unload):
            return self._load(command) if isinstance(command, Load) else self._unload(command.model_id)
        return []

    def turn(self) -> list[Event]:
        """Give every busy model one batch or one step."""
        events = self._take_opened() if self._loading else []
        for waiting in self._queues.values():
            if waiting.busy:
                events += _guarded(waiting, _turn)
        return events

    def _load(self, command: Load) -> list[Event]:
        """Begin to open a model beside those that run."""
        try:
            self._begin(partial(self._open, command))
        except RuntimeError as error:  # the system gives no thread
            logger.exception("load_failed path=%s", command.path)
            return [LoadFailed(command.model_id, f"it could not be opened: {error}")]
        self._loading.add(command.model_id)
        return []

    def _unload(self, model_id: int) -> list[Event]:
        if model_id in self._loading:
            self._unwanted.add(model_id)
        gone = self._queues.pop(model_id, None)
        return [] if gone is None else gone.abandon(ModelNotReadyError("the model was unloaded"))

    def _submit(self, work: ClassifyWork | DecodeWork) -> list[Event]:
        """Queue a work. One that cannot be read fails alone."""
        try:
            match self._queues.get(work.model_id), work:
                case Batcher() as batcher, ClassifyWork():
                    batcher.submit(work)
                case Scheduler() as scheduler, DecodeWork():
                    scheduler.submit(work)
                case _:
                    return [Failed(work.work_id, ModelNotReadyError.reason, "the engine does not hold this model")]
        except Exception as error:
            logger.exception("work_unreadable")
            return [Failed(work.work_id, InferenceFailedError.reason, f"the work failed: {type(error).__name__}")]
        return []

    def _everywhere(self, act: Callable[[TaskQueue], list[Event] | None]) -> list[Event]:
        """Have every model do something, whichever it concerns."""
        return [event for waiting in self._queues.values() for event in _guarded(waiting, act)]

    def _open(self, command: Load) -> None:
        """Open and prove a bundle, on a thread of its own, so that running models go on."""
        try:
            opened = _Opened(*self._opened_model(command))
        except ServiceError as error:
            opened = _Opened(None, LoadFailed(command.model_id, error.message))
        except BaseException as error:  # whatever a hostile file makes a library raise is told
            logger.exception("load_failed path=%s", command.path)
            opened = _Opened(None, LoadFailed(command.model_id, f"{type(error).__name__}: {error}"))
        self._opened.put(opened)

    def _opened_model(self, command: Load) -> tuple[LoadedModel, Loaded]:
        begun = time.monotonic()
        bundle = open_bundle(Path(command.path))
        model, name = load_model(bundle, provider=command.device), bundle.manifest.name
        batch_size = self._limits.max_batch_size or 1
        if self._limits.max_batch_size is None and learns_batch_size(model):
            batch_size = learn_batch_size(typical_run(model))
            logger.info("batch_size_learned model=%s batch_size=%d", name, batch_size)
        if model.provider == "cuda" and model.precision == "int8":
            logger.warning("int8_on_cuda model=%s: operators for CPUs, each run copies between them and the GPU", name)
        return model, Loaded(
            command.model_id,
            bundle.digest,
            model.precision,
            model.provider,
            time.monotonic() - begun,
            numerics_class=numerics_class(model.precision, model.provider),
            batch_size=batch_size,
            exact=_tried(model, name),
        )

    def _take_opened(self) -> list[Event]:
        events: list[Event] = []
        while not self._opened.empty():
            opened = self._opened.get()
            model_id = opened.event.model_id
            self._loading.discard(model_id)
            if model_id in self._unwanted:
                self._unwanted.discard(model_id)
                events.append(LoadFailed(model_id, "the model was unloaded before it was open"))
                continue
            events.append(self._admitted(opened))
        return events

    def _admitted(self, opened: _Opened) -> Loaded | LoadFailed:
        """Let a model that is open have a queue, if it can; say what came of it."""
        event = opened.event
        if opened.model is None or isinstance(event, LoadFailed):
            return event
        try:
            self._queues[event.model_id] = self._queue_for(event.model_id, opened.model, event.batch_size)
        except Exception as error:  # such as no memory for its rows: that costs this model alone
            logger.exception("load_failed model_id=%d", event.model_id)
            return LoadFailed(event.model_id, f"no queue could be made for it: {type(error).__name__}: {error}")
        return event

    def _queue_for(self, model_id: int, model: LoadedModel, batch_size: int) -> TaskQueue:
        limits = self._limits
        if isinstance(model, ClassifierModel | LabellerModel):
            return Batcher(
                model_id,
                batched_graph(model),
                max_batch_size=batch_size,
                max_tokens=limits.max_tokens_per_run,
                padding_budget=limits.padding_budget,
            )
        return Scheduler(
            model_id,
            resident_rows(model, limits.decode_slots) if model.provider == "cuda" else decoding_rows(model),
            graphs=DECODING_GRAPHS[model.manifest.spec.task],
            slots=limits.decode_slots,
            max_batch_size=limits.max_batch_size or limits.max_tokens_per_run,
            slice_rows=batch_size,
            max_tokens=limits.max_tokens_per_run,
            padding_budget=limits.padding_budget,
        )


def _tried(model: LoadedModel, name: str) -> bool:
    """Whether a trial found the model exact. One that cannot be made says nothing against the bundle."""
    try:
        exact = is_exact(model)
    except Exception:
        logger.exception("exactness_not_tried model=%s", name)
        return False
    if not exact:
        logger.warning("model_not_exact model=%s", name)
    return exact


def _stop_sample(waiting: TaskQueue, command: StopSample) -> list[Event]:
    if isinstance(waiting, Scheduler):
        return waiting.stop_sample(command.work_id, command.sample)
    return []


def _turn(waiting: TaskQueue) -> list[Event]:
    return waiting.turn()


def _guarded(waiting: TaskQueue, act: Callable[[TaskQueue], list[Event] | None]) -> list[Event]:
    """What comes of something that one model does. What goes wrong in it costs that model's requests alone."""
    try:
        return act(waiting) or []
    except Exception as error:
        logger.exception("model_failed")
        return waiting.abandon(InferenceFailedError(f"the model failed: {type(error).__name__}"))


def run_engine(
    engine: EngineLoop, receive: Callable[[float | None], list[Command]], deliver: Callable[[list[Event]], None]
) -> None:
    """Run an engine until it is told to stop.

    Args:
        engine: what to run.
        receive: waits up to so many seconds for commands (None: without end, 0: not at all) and returns what came.
        deliver: takes events; may block, and the engine pauses meanwhile.
    """
    events: list[Event] = []
    while True:
        timeout = 0.0 if engine.busy else LOADING_POLL_SECONDS if engine.loading else None
        for command in receive(timeout):
            if isinstance(command, Stop):
                if events:
                    deliver(events)  # runs that were held back
                return
            events += engine.handle(command)
        events += engine.turn()
        if events and not (engine.busy and _may_wait(events)):
            deliver(events)
            events = []


def _may_wait(events: list[Event]) -> bool:
    """Whether events are few and of nothing but runs, for which nobody waits: telling them costs both sides a turn."""
    return len(events) < MOST_HELD_RUNS and all(isinstance(event, Ran) for event in events)
