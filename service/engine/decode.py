"""The step loop: requests join, step together, and leave at any step.   Knows no queue, no deadline, no text.

Greedy, sampled and beam requests share the rows of one batch. Per step and token, Python touches arrays over all rows;
only what joins, ends or streams is touched one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import itemgetter

import numpy as np

from service.engine.beam import DoubleArray, expand, length_penalty, log_normalisers
from service.engine.constraints import ConstraintRows
from service.engine.joining import first_rows, left_off
from service.engine.memory import SourceMemory
from service.engine.records import Records
from service.engine.requests import DecodeRequest, Ending, Finished, Hypothesis, News
from service.engine.sampling import choose_tokens, most_probable
from service.engine.slots import Asks, Slots
from service.engine.steps import FloatArray, IntArray, RowModel, Started


@dataclass
class _Running:
    """A request in use. `hypotheses` are in order of their end, with the sample that each is."""

    request: DecodeRequest
    hypotheses: list[tuple[int, Hypothesis]] = field(default_factory=list)


class DecodeLoop:
    """Decodes requests side by side, on `capacity` rows."""

    def __init__(self, model: RowModel, *, capacity: int) -> None:
        self._model = model
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
                self._take_in([request], left_off(request.carried))
        return finished

    def step(self) -> list[Finished]:
        """Write one token in every row in use, or read one of its prompt; return the requests that have ended."""
        slots, count = self._slots, self.count
        if not count:
            return []
        keys, values, lengths = self._memory.first(count)
        logits, state, attention = self._model.step(slots.inputs[:count], slots.state[:count], keys, values, lengths)
        slots.state[:count] = state
        asked = slots.asked
        if attention is not None and asked & Asks.LOOKING:
            self._records.observe(self._steps, attention, lengths)
        self._steps += 1
        reading = slots.read_on() if asked & Asks.READING else None
        if reading is not None and reading.any():
            return self._advance(np.flatnonzero(~reading), logits[~reading])
        return self._advance(np.arange(count), logits)

    def unwritten(self) -> set[int]:
        """The requests here that have written nothing yet: their prompts are read, too, where steps do that."""
        keys, lengths = self._slots.key[: self.count], self._slots.length[: self.count]
        if lengths.all():
            return set()
        return set(keys.tolist()) - set(keys[lengths > 0].tolist())

    def news(self) -> list[News]:
        """What streaming requests have written since the last call, in the order in which it may be told."""
        slots, count = self._slots, self.count
        news, self._last_news = self._last_news, []
        if not slots.asked & Asks.STREAM:
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
            self._cut_beam(running, rows)
        for row in rows if running.request.options.beam_size == 1 else ():
            self._end_row(row, Ending.DEADLINE, end_written=False)
        self._release(rows)
        return self._take_finished([])

    def stop(self, key: int, sample: int) -> list[Finished]:
        """End one sample of a request, whose text has come to a stop that the model knows nothing of."""
        rank, beam_size = self._slots.rank, self._slots.beam_size
        rows = [row for row in self._rows_of(key) if rank[row] == sample and beam_size[row] == 1]
        for row in rows:
            self._end_row(row, Ending.STOP, end_written=False)
        self._release(rows)
        return self._take_finished([])

    def _rows_of(self, key: int) -> list[int]:
        rows: list[int] = np.flatnonzero(self._slots.key[: self.count] == key).tolist()
        return rows

    # Joining

    def _read(self, requests: Sequence[DecodeRequest], started: Started | None) -> list[Finished]:
        if started is None:
            carried = [request.carried for request in requests]
            started = self._model.start([request.token_ids for request in requests], carried)
        first = self.count
        self._take_in(requests, started)
        if started.logits is None:
            return []
        row_counts = [request.options.row_count for request in requests]
        return self._advance(np.arange(first, self.count), np.repeat(started.logits, row_counts, axis=0))

    def _take_in(self, requests: Sequence[DecodeRequest], started: Started) -> None:
        """Let requests begin, each in as many rows as it takes."""
        self._model.moved(sources=True)
        first = self.count
        self._running.update([(request.key, _Running(request)) for request in requests])
        rows = first_rows(
            requests,
            started.first_inputs.tolist(),
            first_step=self._steps,
            reads_by_step=self._model.reads_by_step,
        )
        row_counts = [request.options.row_count for request in requests]
        started = started.rows([place for place, count in enumerate(row_counts) for _ in range(count)])
        self._slots.add(rows, started.state)
        if started.keys is not None and started.values is not None:
            self._memory.put(first, started.keys, started.values, started.lengths)
        self._slots.reserve(max(request.options.max_output_token_count for request in requests))
        for request, count in zip(requests, row_counts, strict=True):
            for row in range(first, first + count):
                self._bind(row, request)
            first += count

    def _bind(self, row: int, request: DecodeRequest) -> None:
        """Note what a row may write, what it must, and what it has yet to read."""
        options, carried, slots = request.options, request.carried, self._slots
        known = request.token_ids
        if carried is not None:
            known = np.insert(known, 0, carried.known_ids)
        self._constraints.put(row, options.constraints, known, options.max_output_token_count)
        if request.forced_ids:
            slots.force(row, request.forced_ids)
        if slots.unread_count[row]:
            slots.leave_unread(row, request.token_ids)

    # Steps

    def _advance(self, rows: IntArray, logits: FloatArray) -> list[Finished]:
        """Write the next token of `rows`, to which `logits` belong, and let the ended requests leave."""
        asked = self._slots.asked
        broken = self._set_aside(rows, logits)
        normalisers = self._normalisers(rows, logits) if asked & Asks.SCORES else np.zeros(len(rows))
        for token in self._model.banned_ids:
            logits[:, token] = -np.inf
        if asked & Asks.FORCED:
            self._force(rows, logits)
        if asked & Asks.BEAM:
            ended = self._write_by_size(rows, logits, normalisers, asked)
        else:
            ended = self._write(rows, logits, normalisers, asked)
        self._release(sorted(ended))
        for key in broken:
            self.leave(key)
        return self._take_finished(broken)

    def _set_aside(self, rows: IntArray, logits: FloatArray) -> list[int]:
        """Make logits that are not finite harmless; return the requests whose they are."""
        if isfinite(np.einsum("ij->", logits)):  # which sums three times as fast as `sum`
            return []
        finite = np.isfinite(logits).all(axis=-1)
        logits[~finite] = 0.0
        return sorted(set(self._slots.key[rows[~finite]].tolist()))

    def _write_by_size(self, rows: IntArray, logits: FloatArray, normalisers: DoubleArray, asked: int) -> list[int]:
        """As `_write`, where some rows are those of beams."""
        sizes = self._slots.beam_size[rows]
        ended: list[int] = []
        for size in sorted(set(sizes.tolist())):
            chosen = np.flatnonzero(sizes == size)
            of_size = logits if len(chosen) == len(rows) else logits[chosen]
            if size == 1:
                ended += self._write(rows[chosen], of_size, normalisers[chosen], asked)
            else:
                ended += self._expand(rows[chosen], of_size, normalisers[chosen])
        return ended

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

    def _write(self, rows: IntArray, logits: FloatArray, normalisers: DoubleArray, asked: int) -> list[int]:
        """Choose a token for rows without a beam; return the rows that have ended."""
        slots = self._slots
        length = slots.length[rows]
        tokens = self._choose(rows, logits, length, asked)
        if asked & Asks.ALTERNATIVES:
            self._records.keep_alternatives(rows, logits, normalisers)
        if asked & Asks.SCORES:
            slots.log_probabilities[rows, length] = logits[np.arange(len(rows)), tokens] - normalisers
        slots.inputs[rows] = slots.tokens[rows, length] = tokens
        stopped = tokens == self._model.eos_id
        slots.length[rows] = length = length + ~stopped
        ended = (stopped | (length >= slots.limit[rows])).nonzero()[0]
        left: list[int] = rows[ended].tolist()
        for row, written in zip(left, stopped[ended].tolist(), strict=True):
            self._end_row(row, Ending.STOP if written else Ending.LENGTH, end_written=written)
        return left

    def _choose(self, rows: IntArray, logits: FloatArray, length: IntArray, asked: int) -> IntArray:
        """The next token of rows without a beam, which have written `length` tokens."""
        if asked & Asks.CONSTRAINTS:
            logits = self._constraints.applied(rows, logits, length, self._model.eos_id)
        sampled = asked & Asks.SAMPLING
        tokens = choose_tokens(logits, self._slots.sampling(rows)) if sampled else most_probable(logits)
        if asked & Asks.CONSTRAINTS:
            self._constraints.wrote(rows, tokens)
        return tokens

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
        if self._records.keeps:
            for running in self._ended:
                self._records.forget(running.request.key, running.request.options.row_count)
        self._ended.clear()
        finished, self._finished = self._finished, []
        if not broken:
            return finished
        self._last_news = [news for news in self._last_news if news.key not in broken]
        return [Finished(key, None) for key in broken] + [one for one in finished if one.key not in broken]

    def _release(self, rows: list[int]) -> None:
        """Free rows, given in order."""
        if not rows:
            return
        self._model.moved(sources=True)
        targets, sources = self._slots.release(rows)
        if targets:
            self._constraints.move(np.array(targets), np.array(sources))
            self._memory.move(targets, sources)


def _best(hypotheses: list[tuple[int, Hypothesis]], count: int) -> list[Hypothesis]:
    """The best `count`, best first; of equal ones the earlier."""
    ranked = sorted(hypotheses, key=lambda entry: (-_score(entry[1]), entry[0]))
    return [hypothesis for _, hypothesis in ranked[:count]]


def _score(hypothesis: Hypothesis) -> float:
    return -np.inf if hypothesis.score is None else hypothesis.score
