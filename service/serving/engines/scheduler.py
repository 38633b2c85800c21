"""Lets sequences join and leave one model's step loop.   Knows queues, deadlines, cancellation; no text, no gRPC."""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.engine.batches import padding_ratio
from service.engine.decode import DecodeLoop
from service.engine.prompts import COMPANY, PromptReader
from service.engine.requests import DecodeRequest, Ending, Finished, Hypothesis
from service.engine.steps import Carried, FloatArray, IntArray, RowModel, Started
from service.errors import DeadlineExceededError, InferenceFailedError, ServiceError
from service.serving.engines.messages import Decoded, DecodedHypothesis, DecodeWork, Event, Failed, Ran, Tokens
from service.state.contents import STATE_DTYPE, CarriedRow

LEAST_MARGIN_SECONDS = 0.005
MARGIN_TURNS = 2
"""A partial answer is sent so many seconds before the deadline or earlier, or so many turns if that is longer."""

TURN_MEMORY = 0.5
"""How much of the longest turn seen the next one is expected to take at least."""


@dataclass
class _Pending:
    """A work, and the hypotheses of its rows that have ended."""

    work: DecodeWork
    ended: list[list[DecodedHypothesis] | None]
    begun: float | None = None
    joined: bool = False
    first_token: float | None = None


@dataclass
class _ReadRun:
    """Sequences that were read in one run and have yet to join the loop, with their rows in what that gave."""

    left: deque[tuple[int, DecodeRequest]]
    started: Started


class _TimedRows:
    """A row model that notes what each of its runs took."""

    def __init__(self, model: RowModel, model_id: int, graphs: tuple[str, str], clock: Callable[[], float]) -> None:
        self._model = model
        self._model_id = model_id
        self._start_graph, self._step_graph = graphs
        self._clock = clock
        self.eos_id = model.eos_id
        self.banned_ids = model.banned_ids
        self.state_size = model.state_size
        self.reads_slices = model.reads_slices
        self.time_multiple = model.time_multiple
        self.reads_by_step = model.reads_by_step
        self.ran: list[Event] = []

    def start(self, sequences: list[IntArray], carried: Sequence[Carried | None]) -> Started:
        begun = self._clock()
        started = self._model.start(sequences, carried)
        if self.reads_by_step:
            return started  # nothing ran
        self._note(self._start_graph, len(sequences), padding_ratio(started.lengths, started.padded_time), begun)
        return started

    def moved(self, *, sources: bool) -> None:
        self._model.moved(sources=sources)

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,
        values: FloatArray | None,
        lengths: IntArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        begun = self._clock()
        result = self._model.step(token_ids, state, keys, values, lengths)
        ratio = 0.0 if keys is None else padding_ratio(lengths, keys.shape[1])
        self._note(self._step_graph, len(token_ids), ratio, begun)
        return result

    def _note(self, graph: str, rows: int, ratio: float, begun: float) -> None:
        self.ran.append(Ran(self._model_id, graph, rows, ratio, self._clock() - begun))


class Scheduler:
    """Waiting, reading and running sequences of one model. `turn` reads some tokens, then makes one step.

    Args:
        model_id: the number that events name the model by.
        model: its steps.
        graphs: names of the graph that starts rows and of the one that steps, for the metrics.
        slots: most rows that run side by side; a beam or several samples of one sequence take a row each. Where more
            wait, sources of as many again are read ahead.
        max_batch_size: most prompts or sources that are read in one run.
        max_tokens: most of their tokens, padding included, that are read in one turn.
        padding_budget: largest share of padded positions among those that are read together, 0 to 1.
        slice_rows: prompts are cut so that as many slices are read side by side; None: `max_batch_size`.
        clock: seconds, monotonic.
    """

    def __init__(
        self, model_id: int, model: RowModel, *, graphs: tuple[str, str], slots: int, max_batch_size: int,
        max_tokens: int, padding_budget: float, slice_rows: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._timed = _TimedRows(model, model_id, graphs, clock)
        self._rows_ahead = 0 if model.reads_slices else slots
        self._make_loop = partial(DecodeLoop, self._timed, capacity=slots)
        self._make_reader = partial(
            PromptReader,
            self._timed,
            max_rows=max_batch_size,
            max_tokens=max_tokens,
            padding_budget=padding_budget,
            slice_rows=slice_rows,
        )
        self._loop, self._reader = self._make_loop(), self._make_reader()
        self._clock = clock
        self._keys = itertools.count()
        self._works: dict[int, _Pending] = {}
        self._waiting: deque[tuple[_Pending, int]] = deque()  # (work, row index), oldest first
        self._reading: dict[int, tuple[_Pending, int]] = {}  # by the sequence's key in the reader, until it joins
        self._read_ahead: deque[_ReadRun] = deque()  # oldest first; what is not in `_reading` any more was dropped
        self._running: dict[int, tuple[_Pending, int]] = {}  # by the same key, in the loop
        self._starting: list[_Pending] = []  # works that have joined and have yet to write
        self._turn_begun: float | None = None  # when the last turn began, if work was left
        self._turn_seconds = 0.0
        self._soonest = math.inf  # no deadline comes before this
        self._events: list[Event] = []  # what is to be told; here, so that an error on the way costs nobody his answer

    @property
    def busy(self) -> bool:
        """Whether a turn has something to do."""
        return bool(self._works)

    @property
    def work_count(self) -> int:
        """How many works wait or run."""
        return len(self._works)

    def submit(self, work: DecodeWork) -> None:
        """Queue the rows of a work."""
        pending = _Pending(work, [None] * len(work.rows))
        self._works[work.work_id] = pending
        self._soonest = min(self._soonest, work.deadline)
        self._waiting.extend((pending, row) for row in range(len(work.rows)))

    def cancel(self, work_id: int) -> None:
        """Drop a work, if it is still here; its running rows leave before the next step."""
        pending = self._works.get(work_id)
        if pending is None:
            return
        self._forget(pending)
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not pending)
        self._stop_reading(pending)
        for key in [key for key, (owner, _) in self._running.items() if owner is pending]:
            self._loop.leave(key)
            del self._running[key]

    def stop_sample(self, work_id: int, sample: int) -> list[Event]:
        """End one sample of a streaming work, if it still runs."""
        for key in [key for key, (owner, _) in self._running.items() if owner.work.work_id == work_id]:
            self._take(self._loop.stop(key, sample))
        return self._take_events()

    def abandon(self, error: ServiceError) -> list[Event]:
        """Fail everything that waits or runs, and begin anew: an error may have come when rows were half changed."""
        self._events += [Failed(work_id, error.reason, error.message) for work_id in self._works]
        for entries in (
            self._works, self._waiting, self._reading, self._read_ahead, self._running, self._starting
        ):  # fmt: skip
            entries.clear()
        self._loop, self._reader = self._make_loop(), self._make_reader()
        self._turn_begun = None
        return self._take_events()

    def turn(self) -> list[Event]:
        """Drop what has expired, read, let those join that are through, make one step; tell what came of it."""
        now = self._clock()
        if self._turn_begun is not None:
            self._turn_seconds = max(now - self._turn_begun, TURN_MEMORY * self._turn_seconds)
        self._mind_deadlines(now)
        self._admit()
        self._read()
        if self._running:
            self._step()
        self._turn_begun = now if self._works else None
        return self._take_events()

    def _take_events(self) -> list[Event]:
        ran, self._timed.ran = self._timed.ran, []
        events, self._events = self._events, []
        return ran + events

    def _mind_deadlines(self, now: float) -> None:
        """Fail works that have expired, and answer those that soon will, if they allow it.

        Nobody looks before the next turn, so what would be due by then is due now.
        """
        margin = max(LEAST_MARGIN_SECONDS, MARGIN_TURNS * self._turn_seconds) + self._turn_seconds
        if self._soonest - margin > now:
            return
        self._expire(now)
        self._cut_short(now, margin)
        self._soonest = min((pending.work.deadline for pending in self._works.values()), default=math.inf)

    def _cut_short(self, now: float, margin: float) -> None:
        """Answer works whose deadline is so near with what they have, if they allow it."""
        near = [one for one in self._works.values() if one.work.allow_partial and one.work.deadline - margin <= now]
        for pending in near:
            self._cut(pending, now)

    def _cut(self, pending: _Pending, now: float) -> None:
        pending.begun = now if pending.begun is None else pending.begun
        for key in [key for key, (owner, _) in self._running.items() if owner is pending]:
            self._take(self._loop.cut(key))
        unwritten = [row for owner, row in (*self._waiting, *self._reading.values()) if owner is pending]
        if unwritten:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not pending)
            self._stop_reading(pending)
            for row in unwritten:
                nothing = DecodedHypothesis([], Ending.DEADLINE)
                pending.ended[row] = [nothing] * pending.work.options.sample_count
            self._answer(pending)

    def _expire(self, now: float) -> None:
        expired = [pending for pending in self._works.values() if pending.work.deadline <= now]
        if expired:
            self._fail(expired, DeadlineExceededError("the deadline passed before every sequence was decoded"))

    def _admit(self) -> None:
        """Let the oldest sequences begin, as far as there is room for their rows, or will soon be for sources."""
        room = self._loop.free + self._rows_ahead - self._reader.row_count - self._rows_read()
        # what is older goes first, so that a wide beam does not wait for ever
        while self._waiting and self._waiting[0][0].work.options.row_count <= room:
            pending, row = self._waiting.popleft()
            pending.begun = self._clock() if pending.begun is None else pending.begun
            request = _request(next(self._keys), pending.work, row)
            room -= request.options.row_count
            if request.reads and not self._timed.reads_by_step:
                self._reading[request.key] = pending, row
                self._reader.add(request)
            else:
                self._run(request.key, pending, row)
                self._loop.join([request])

    def _read(self) -> None:
        """Read as much as one turn may, if rows would stay free without, and let those join that are through.

        So where more sources wait than have room, they are read together once in a while, not few in every turn: a run
        of many costs less a row.
        """
        if self._loop.free > self._rows_read():
            read = self._reader.read(patient=len(self._running) >= COMPANY)
            for key, message in read.failed:
                if key in self._reading:  # else another of its request failed, too
                    self._fail([self._reading[key][0]], InferenceFailedError(message))
            self._read_ahead += [_ReadRun(deque(enumerate(requests)), started) for requests, started in read.batches]
        while self._read_ahead:
            self._join(self._read_ahead[0])
            if self._read_ahead[0].left:
                break
            self._read_ahead.popleft()

    def _rows_read(self) -> int:
        """Rows of sequences that are read and have yet to join."""
        read = [request for one in self._read_ahead for _, request in one.left if request.key in self._reading]
        return sum(request.options.row_count for request in read)

    def _join(self, read: _ReadRun) -> None:
        """Let those of a run join for which there is room, oldest first."""
        free, places, joining = self._loop.free, list[int](), list[DecodeRequest]()
        while read.left:
            place, request = read.left[0]
            if request.key in self._reading:
                free -= request.options.row_count
                if free < 0:
                    break
                self._run(request.key, *self._reading.pop(request.key))
                places.append(place)
                joining.append(request)
            read.left.popleft()
        if joining:
            finished = self._loop.join(joining, read.started.rows(places))
            if read.started.logits is not None:  # reading a prompt gives a token, too, which may be the last
                self._note_first_tokens(self._clock())
            self._take(finished)

    def _run(self, key: int, pending: _Pending, row: int) -> None:
        """Note that a sequence is in the loop from now on."""
        self._running[key] = pending, row
        if not pending.joined:
            pending.joined = True
            self._starting.append(pending)

    def _stop_reading(self, pending: _Pending) -> None:
        for key in [key for key, (owner, _) in self._reading.items() if owner is pending]:
            self._reader.drop(key)
            del self._reading[key]

    def _step(self) -> None:
        try:
            finished = self._loop.step()
        except InferenceFailedError as error:
            self._fail([pending for pending, _ in self._running.values()], error)
            return
        now = self._clock()
        if self._starting:
            self._note_first_tokens(now)
        self._take(finished)

    def _note_first_tokens(self, now: float) -> None:
        """Note the time for works of which a sequence has written since they joined, or ended."""
        unwritten: set[int] = set()
        if keys := self._loop.unwritten():
            unwritten = {id(self._running[key][0]) for key in keys & self._running.keys()}
        for pending in self._starting:
            pending.first_token = None if id(pending) in unwritten else now
        self._starting = [pending for pending in self._starting if pending.first_token is None]

    def _take(self, finished: list[Finished]) -> None:
        """Tell the tokens that streams wait for, then what has ended."""
        self._tell_tokens()
        for one in finished:
            if one.key not in self._running:
                continue  # its request failed in this very step, by another of its sequences
            pending, row = self._running.pop(one.key)
            if one.hypotheses is None:
                self._fail([pending], InferenceFailedError("the logits of a step are not finite"))
                continue
            pending.ended[row] = [_decoded(hypothesis) for hypothesis in one.hypotheses]
            self._answer(pending)

    def _answer(self, pending: _Pending) -> None:
        """Answer a work, if all its rows have ended."""
        rows = [row for row in pending.ended if row is not None]
        if len(rows) < len(pending.ended) or pending.begun is None:
            return
        self._forget(pending)
        work = pending.work
        written = any(hypothesis.token_ids for row in rows for hypothesis in row)
        first = None if pending.first_token is None or not written else pending.first_token - work.arrival
        queued, computed = pending.begun - work.arrival, self._clock() - pending.begun
        self._events.append(Decoded(work.work_id, rows, queued, computed, first))

    def _forget(self, pending: _Pending) -> None:
        """Drop a work that is answered, failed or cancelled; it may have ended without a step."""
        del self._works[pending.work.work_id]
        if self._starting:
            self._starting = [one for one in self._starting if one is not pending]

    def _fail(self, failed: Iterable[_Pending], error: ServiceError) -> None:
        for work_id in sorted({pending.work.work_id for pending in failed} & self._works.keys()):
            self._events.append(Failed(work_id, error.reason, error.message))
            self.cancel(work_id)

    def _tell_tokens(self) -> None:
        for news in self._loop.news():
            pending, _ = self._running[news.key]
            queued = (pending.begun or pending.work.arrival) - pending.work.arrival
            told = news.token_ids, queued, news.sample, news.ending, news.log_probabilities, news.alternatives
            carried = None if news.carried is None else _carried_row(news.carried)
            self._events.append(Tokens(pending.work.work_id, *told, carried))


def _request(key: int, work: DecodeWork, row: int) -> DecodeRequest:
    token_ids = np.array(work.rows[row], dtype=np.int64)
    forced = tuple(work.forced[row]) if work.forced else ()
    carried = _carried(work.carried[row]) if work.carried else None
    return DecodeRequest(key, token_ids, work.options, forced, streams=work.streams, carried=carried)


def _carried(row: CarriedRow) -> Carried:
    state = np.frombuffer(row.state, dtype=STATE_DTYPE).astype(np.float32)
    return Carried(state, row.last_id, row.token_count, row.sample, tuple(row.known_ids))


def _carried_row(carried: Carried) -> CarriedRow:
    state = carried.state.astype(STATE_DTYPE).tobytes()
    return CarriedRow(state, carried.last_id, carried.token_count, carried.sample, list(carried.known_ids))


def _decoded(found: Hypothesis) -> DecodedHypothesis:
    attention = None if found.attention is None else found.attention.tolist()
    return DecodedHypothesis(
        found.token_ids, found.ending, found.log_probabilities, found.score, attention, found.aligned
    )
