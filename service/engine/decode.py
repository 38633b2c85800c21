"""The step loop: requests join, step together, and leave at any step.   Knows no queue, no deadline, no text.

Greedy, sampled and beam requests share the rows of one batch. Per step and token, Python touches arrays over all rows;
only what joins, ends or streams is touched one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from service.engine.beam import DoubleArray, expand, length_penalty, log_normalisers
from service.engine.constraints import ConstraintRows
from service.engine.memory import SourceMemory
from service.engine.records import Records
from service.engine.requests import DecodeRequest, Ending, Finished, Hypothesis, News
from service.engine.sampling import choose_tokens
from service.engine.slots import Slots
from service.engine.steps import Carried, FloatArray, IntArray, RowModel, Started


@dataclass
class _Running:
    """A request in use. `hypotheses` are in order of their end, with the sample that each is."""

    request: DecodeRequest
    hypotheses: list[tuple[int, Hypothesis]] = field(default_factory=list)


class DecodeLoop:
    """Decodes requests side by side, on `capacity` rows."""

    def __init__(self, model: RowModel, *, capacity: int) -> None:
        self._model = model
        self._banned = np.array(model.banned_ids, dtype=np.int64)
        self._slots = Slots(capacity, model.state_size)
        self._memory = SourceMemory(capacity)
        self._constraints = ConstraintRows(capacity)
        self._records = Records(self._slots, self._memory, self._constraints)
        self._running: dict[int, _Running] = {}
        self._finished: list[Finished] = []
        self._ended: list[_Running] = []
        self._last_news: list[News] = []
        self._steps = 0

    @property
    def count(self) -> int:
        """Rows in use."""
        return self._slots.count

    @property
    def free(self) -> int:
        """Rows that may still be taken."""
        return self._slots.capacity - self._slots.count

    def join(self, requests: Sequence[DecodeRequest], started: Started | None = None) -> list[Finished]:
        """Let requests join: read their prompts or sources in one batch, unless that has been done.

        One that goes on from what was carried, without a prompt, has nothing to read: its next step is the one that
        would have come next where it left off.

        Args:
            requests: who joins.
            started: what reading all their prompts or sources gave, if they have been read.

        Returns:
            Requests that have ended already: a language model gives the first token right away.

        Raises:
            ValueError: they take more rows than are free.
        """
        if not requests:
            return []
        row_counts = [request.options.row_count for request in requests]
        if sum(row_counts) > self.free:
            raise ValueError(f"{sum(row_counts)} rows cannot join: {self.free} rows are free")
        reading = [request for request in requests if request.reads]
        finished = self._read(reading, started) if reading else []
        for request in requests:
            if request.carried is not None and not request.reads:
                self._take_in(request, _left_off(request.carried), 0)
        return finished

    def step(self) -> list[Finished]:
        """Write one token in every row in use, or read one of its prompt; return the requests that have ended."""
        slots, count = self._slots, self.count
        if not count:
            return []
        keys, values, lengths = self._memory.first(count)
        logits, state, attention = self._model.step(slots.inputs[:count], slots.state[:count], keys, values, lengths)
        slots.state[:count] = state
        if attention is not None:
            self._records.observe(self._steps, attention, lengths)
        self._steps += 1
        reading = slots.read_on()
        if reading.any():
            return self._advance(np.flatnonzero(~reading), logits[~reading])
        return self._advance(np.arange(count), logits)

    def unwritten(self) -> set[int]:
        """The requests here that have written nothing yet: their prompts are read, too, where steps do that."""
        keys, lengths = self._slots.key[: self.count], self._slots.length[: self.count]
        return set(keys.tolist()) - set(keys[lengths > 0].tolist())

    def news(self) -> list[News]:
        """What streaming requests have written since the last call, in the order in which it may be told."""
        slots, count = self._slots, self.count
        news, self._last_news = self._last_news, []
        if not slots.streaming[:count].any():
            return news
        rows = np.flatnonzero(slots.streaming[:count] & (slots.length[:count] > slots.told[:count]))
        return news + [self._records.news(row, None) for row in rows.tolist()]

    def leave(self, key: int) -> None:
        """Drop a request, if it is still here."""
        running = self._running.pop(key, None)
        if running is not None:
            self._release(self._rows_of(key))
            self._records.forget(key, running.request.options.row_count)

    def cut(self, key: int) -> list[Finished]:
        """End a request with what it has found so far, if it is still here.

        A beam answers with the hypotheses that have ended, and with others where these are too few.
        """
        running, rows = self._running.get(key), self._rows_of(key)
        if running is None:
            return []
        if running.request.options.beam_size > 1:
            self._cut_beam(running, rows.tolist())
        for row in rows.tolist() if running.request.options.beam_size == 1 else ():
            self._end_row(row, Ending.DEADLINE, end_written=False)
        self._release(rows)
        return self._take_finished([])

    def stop(self, key: int, sample: int) -> list[Finished]:
        """End one sample of a request, whose text has come to a stop that the model knows nothing of."""
        rows = self._rows_of(key)
        rows = rows[(self._slots.rank[rows] == sample) & (self._slots.beam_size[rows] == 1)]
        for row in rows.tolist():
            self._end_row(row, Ending.STOP, end_written=False)
        self._release(rows)
        return self._take_finished([])

    def _rows_of(self, key: int) -> IntArray:
        return np.flatnonzero(self._slots.key[: self.count] == key)

    # Joining

    def _read(self, requests: Sequence[DecodeRequest], started: Started | None) -> list[Finished]:
        if started is None:
            carried = [request.carried for request in requests]
            started = self._model.start([request.token_ids for request in requests], carried)
        first = self.count
        for offset, request in enumerate(requests):
            self._take_in(request, started, offset)
        if started.logits is None:
            return []
        row_counts = [request.options.row_count for request in requests]
        return self._advance(np.arange(first, self.count), np.repeat(started.logits, row_counts, axis=0))

    def _take_in(self, request: DecodeRequest, started: Started, offset: int) -> None:
        self._model.moved(sources=True)
        slots, options = self._slots, request.options
        first, last = self.count, self.count + options.row_count
        self._running[request.key] = _Running(request)
        slots.count = last
        unread = request.token_ids[::-1] if self._model.reads_by_step else request.token_ids[:0]
        slots.reserve(
            options.max_output_token_count, started.padded_time, len(request.forced_ids), unread_count=len(unread)
        )
        if started.keys is not None and started.values is not None:
            for row in range(first, last):
                self._memory.put(row, started.keys[offset], started.values[offset], int(started.lengths[offset]))
        rows = slice(first, last)
        slots.key[rows], slots.rank[rows] = request.key, np.arange(options.row_count)
        slots.inputs[rows], slots.state[rows] = started.first_inputs[offset], started.state[offset]
        slots.limit[rows], slots.length[rows] = options.limit(len(request.token_ids)), 0
        slots.first_step[rows] = self._steps
        slots.beam_size[rows] = options.beam_size
        slots.total[rows], slots.coverage[rows] = 0.0, 0.0
        slots.scored[rows] = options.keep_scores or options.beam_size > 1
        slots.attended[rows], slots.aligning[rows] = options.keep_attention, options.keep_alignment
        sampling = options.sampling
        slots.temperature[rows], slots.top_k[rows] = sampling.temperature, sampling.top_k
        slots.top_p[rows], slots.min_p[rows], slots.seed[rows] = sampling.top_p, sampling.min_p, sampling.seed
        slots.alpha[rows], slots.beta[rows] = options.length_penalty, options.coverage_penalty
        slots.finished[rows], slots.worst[rows] = 0, -np.inf
        slots.streaming[rows], slots.told[rows] = request.streams and options.beam_size == 1, 0
        slots.alternatives[rows] = options.alternative_count
        slots.keeping[rows], slots.state_interval[rows] = options.keep_state, options.state_interval
        slots.state_told[rows] = 0
        carried = request.carried
        slots.sample[rows] = np.arange(options.row_count) + (0 if carried is None else carried.sample)
        slots.earlier[rows] = 0 if carried is None else carried.token_count
        known = request.token_ids if carried is None else np.insert(request.token_ids, 0, carried.known_ids)
        for row in range(first, last):
            self._constraints.put(row, options.constraints, known, options.max_output_token_count)
        slots.unread_count[rows], slots.unread[rows, : len(unread)] = len(unread), unread
        slots.forced_count[rows] = len(request.forced_ids)
        slots.forced[rows, : len(request.forced_ids)] = request.forced_ids
        if options.beam_size > 1:
            slots.total[first + 1 : last] = -np.inf  # a beam begins as one hypothesis

    # Steps

    def _advance(self, rows: IntArray, logits: FloatArray) -> list[Finished]:
        """Write the next token of `rows`, to which `logits` belong, and let the ended requests leave."""
        slots = self._slots
        finite = np.isfinite(logits.sum(axis=-1))
        broken = sorted(set(slots.key[rows[~finite]].tolist()))
        logits[~finite] = 0.0
        normalisers = self._normalisers(rows, logits)
        logits[:, self._banned] = -np.inf
        self._force(rows, logits)
        sizes = slots.beam_size[rows]
        ended: list[int] = []
        for size in sorted(set(sizes.tolist())):
            chosen = np.flatnonzero(sizes == size)
            of_size = logits if len(chosen) == len(rows) else logits[chosen]
            advance = self._write if size == 1 else self._expand
            ended += advance(rows[chosen], of_size, normalisers[chosen])
        self._release(np.array(sorted(ended), dtype=np.int64))
        for key in broken:
            self.leave(key)
        return self._take_finished(broken)

    def _normalisers(self, rows: IntArray, logits: FloatArray) -> DoubleArray:
        """[rows], of those that need log-probabilities; 0 for the others, whose totals nobody looks at."""
        scored = self._slots.scored[rows]
        normalisers = np.zeros(len(rows))
        if scored.any():
            normalisers[scored] = log_normalisers(logits if scored.all() else logits[scored])
        return normalisers

    def _force(self, rows: IntArray, logits: FloatArray) -> None:
        """Leave only the forced token to choose, where a row has one."""
        slots = self._slots
        forced = np.flatnonzero(slots.length[rows] < slots.forced_count[rows])
        if forced.size:
            tokens = slots.forced[rows[forced], slots.length[rows[forced]]]
            kept = logits[forced, tokens]
            logits[forced] = -np.inf
            logits[forced, tokens] = kept

    def _write(self, rows: IntArray, logits: FloatArray, normalisers: DoubleArray) -> list[int]:
        """Choose a token for rows without a beam; return the rows that have ended."""
        slots = self._slots
        length = slots.length[rows]
        allowed = self._constraints.applied(rows, logits, length, self._model.eos_id)
        tokens = choose_tokens(allowed, slots.sampling(rows))
        self._constraints.wrote(rows, tokens)
        self._records.keep_alternatives(rows, logits, normalisers)
        log_probabilities = logits[np.arange(len(rows)), tokens] - normalisers
        slots.inputs[rows] = slots.tokens[rows, length] = tokens
        slots.log_probabilities[rows, length] = log_probabilities
        stopped = tokens == self._model.eos_id
        slots.length[rows] = length + ~stopped
        ended = np.flatnonzero(stopped | (slots.length[rows] >= slots.limit[rows]))
        for index in ended.tolist():
            written = bool(stopped[index])
            self._end_row(int(rows[index]), Ending.STOP if written else Ending.LENGTH, end_written=written)
        left: list[int] = rows[ended].tolist()
        return left

    def _expand(self, rows: IntArray, logits: FloatArray, normalisers: DoubleArray) -> list[int]:
        """Continue the hypotheses of beams of one size; return the rows of the searches that are over."""
        slots = self._slots
        size = int(slots.beam_size[rows[0]])
        order = np.lexsort((slots.rank[rows], slots.key[rows]))
        beams = rows[order].reshape(-1, size)
        if (order[1:] < order[:-1]).any():
            logits, normalisers = logits[order], normalisers[order]
        by_beam = logits.reshape(*beams.shape, -1), normalisers.reshape(beams.shape)
        expansion = expand(slots.total[beams], *by_beam, self._model.eos_id)
        for beam, rank in np.argwhere(expansion.ended).tolist():
            log_probability = expansion.end_log_probabilities[beam, rank]
            self._end_hypothesis(int(beams[beam, 0]), int(beams[beam, rank]), log_probability)
        targets = beams.ravel()
        sources = np.take_along_axis(beams, expansion.parents, axis=1).ravel()
        if slots.continue_hypotheses(targets, sources):
            self._model.moved(sources=False)
        length = slots.length[targets]
        slots.inputs[targets] = slots.tokens[targets, length] = expansion.tokens.ravel()
        slots.log_probabilities[targets, length] = expansion.log_probabilities.ravel()
        slots.total[beams] = expansion.totals
        slots.length[targets] = length + 1
        return self._end_searches(beams)

    # Endings

    def _end_row(self, row: int, ending: Ending, *, end_written: bool) -> None:
        """End a row without a beam, and its request with it if it was the last."""
        running = self._running[int(self._slots.key[row])]
        hypothesis = self._records.hypothesis(row, ending, end_written=end_written)
        running.hypotheses.append((int(self._slots.rank[row]), hypothesis))
        if self._slots.streaming[row]:
            self._last_news.append(self._records.news(row, ending, end_written=end_written))
        if len(running.hypotheses) == running.request.options.sample_count:
            samples = [hypothesis for _, hypothesis in sorted(running.hypotheses, key=itemgetter(0))]
            self._finish(running.request.key, samples)

    def _end_hypothesis(self, head: int, row: int, end_log_probability: float) -> None:
        """Note a hypothesis that has written its end; `head` is the row of rank 0 of its beam."""
        slots = self._slots
        slots.log_probabilities[row, slots.length[row]] = end_log_probability
        running = self._running[int(slots.key[row])]
        self._add(running, row, Ending.STOP, end_written=True)
        slots.finished[head] += 1
        wanted = running.request.options.hypothesis_count
        if len(running.hypotheses) >= wanted:
            slots.worst[head] = _best(running.hypotheses, wanted)[-1].score

    def _end_searches(self, beams: IntArray) -> list[int]:
        """End the searches that are over, [beams, beam_size] rows; return their rows."""
        slots = self._slots
        heads = beams[:, 0]
        # what goes on can at best reach the longest length without losing anything more
        bound = slots.total[beams].max(axis=1) / length_penalty(slots.limit[heads], slots.alpha[heads])
        at_limit = slots.length[heads] >= slots.limit[heads]
        over = at_limit | (slots.finished[heads] >= beams.shape[1]) | (bound <= slots.worst[heads])
        for index in np.flatnonzero(over).tolist():
            running = self._running[int(slots.key[heads[index]])]
            for row in beams[index].tolist() if at_limit[index] else ():
                if np.isfinite(slots.total[row]):
                    self._add(running, row, Ending.LENGTH, end_written=False)
            self._finish(running.request.key, _best(running.hypotheses, running.request.options.hypothesis_count))
        left: list[int] = beams[over].ravel().tolist()
        return left

    def _cut_beam(self, running: _Running, rows: list[int]) -> None:
        """End a search before its time: what has written its end comes first."""
        wanted = running.request.options.hypothesis_count
        ended = _best(running.hypotheses, wanted)
        running.hypotheses = []
        for row in rows:
            if np.isfinite(self._slots.total[row]):
                self._add(running, row, Ending.DEADLINE, end_written=False)
        self._finish(running.request.key, ended + _best(running.hypotheses, wanted - len(ended)))

    def _add(self, running: _Running, row: int, ending: Ending, *, end_written: bool) -> None:
        hypothesis = self._records.hypothesis(row, ending, end_written=end_written)
        running.hypotheses.append((len(running.hypotheses), hypothesis))

    def _finish(self, key: int, hypotheses: list[Hypothesis]) -> None:
        self._ended.append(self._running.pop(key))
        self._finished.append(Finished(key, hypotheses))

    def _take_finished(self, broken: list[int]) -> list[Finished]:
        for running in self._ended:
            self._records.forget(running.request.key, running.request.options.row_count)
        self._ended.clear()
        finished, self._finished = self._finished, []
        self._last_news = [news for news in self._last_news if news.key not in broken]
        return [Finished(key, None) for key in broken] + [one for one in finished if one.key not in broken]

    def _release(self, rows: IntArray) -> None:
        """Free rows, given in order."""
        if not rows.size:
            return
        self._model.moved(sources=True)
        targets, sources = self._slots.release(rows)
        self._constraints.move(targets, sources)
        for target, source in zip(targets.tolist(), sources.tolist(), strict=True):
            self._memory.move(source, target)


def _left_off(carried: Carried) -> Started:
    """A row that stands where an earlier request left it."""
    first = np.array([carried.last_id], dtype=np.int64)
    return Started(carried.state[np.newaxis], None, first, None, None, np.ones_like(first), 1)


def _best(hypotheses: list[tuple[int, Hypothesis]], count: int) -> list[Hypothesis]:
    """The best `count`, best first; of equal ones the earlier."""
    ranked = sorted(hypotheses, key=lambda entry: (-_score(entry[1]), entry[0]))
    return [hypothesis for _, hypothesis in ranked[:count]]


def _score(hypothesis: Hypothesis) -> float:
    return -np.inf if hypothesis.score is None else hypothesis.score
