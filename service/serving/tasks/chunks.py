"""Tokens of a generation into chunks of text, and into states to go on from.   Knows no queue and no signature."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from service.engine.requests import Ending
from service.serving.api import FinishReason, GeneratedChunk, ModelInfo, TokenScore
from service.serving.engines.messages import Tokens
from service.serving.options import GenerateOptions
from service.serving.tasks.generating import carried_options
from service.serving.tasks.translating import FINISH_REASON
from service.state.contents import CarriedRow, TextState
from service.text.stops import StopMatcher
from service.text.tokenizer import CONTEXT_TOKENS, TextStream, Tokenizer

Issue = Callable[[TextState], bytes]

MESSAGE_SECONDS = 0.001
"""A message's share of the time: some 1,000 a second from all streams together, until their wait is the longest."""


@dataclass(frozen=True)
class Generation:
    """One generation: who writes, what was asked for, and after what.

    Args:
        info: the model that answers.
        tokenizer: its tokenizer.
        eos_id: the end-of-sequence token.
        options: what was asked for; of a text that goes on, with the options it began under.
        limit: most tokens to write.
        prompt: the prompt as text.
        prompt_ids: the prompt as tokens.
        resumed: where the text stands that goes on; None for one that begins.
        issue: signs where a sample stands; None where nobody asks for that.
    """

    info: ModelInfo
    tokenizer: Tokenizer
    eos_id: int
    options: GenerateOptions
    limit: int
    prompt: str
    prompt_ids: Sequence[int]
    resumed: TextState | None = None
    issue: Issue | None = None


class GenerationWriter:
    """Chunks of all samples of one generation."""

    def __init__(self, generation: Generation) -> None:
        self._info = generation.info
        self._samples = [_Sample(generation) for _ in range(generation.options.sample_count)]
        self._prompt_token_count: int | None = len(generation.prompt_ids)
        self._seed: int | None = generation.options.sampling.seed
        self.stopped: list[int] = []
        """Samples that have met a stop string since this was last emptied."""

    @property
    def finished(self) -> bool:
        """Whether every sample has ended."""
        return all(sample.finished for sample in self._samples)

    @property
    def token_count(self) -> int:
        """Tokens of all samples so far, told or not; none of those after a stop string."""
        return sum(sample.token_count for sample in self._samples)

    def write(self, told: Sequence[Tokens]) -> list[GeneratedChunk]:
        """Chunks for what the engine has told, in order of sample: one, and one more for each state in between.

        None for tokens of which all may belong to a stop string.
        """
        chunks = []
        for index in sorted({tokens.sample for tokens in told}):
            sample = self._samples[index]
            for part in _parts([tokens for tokens in told if tokens.sample == index]):
                if sample.finished:
                    break  # what was written after a stop string
                written = sample.write(joined(part))
                if sample.met_stop:
                    self.stopped.append(index)
                if written.says_something:
                    chunks.append(self._chunk(index, written))
        return chunks

    def end(self, ending: Ending) -> list[GeneratedChunk]:
        """Last chunks of samples that ended without a word of the engine about them."""
        open_samples = {index for index, sample in enumerate(self._samples) if not sample.finished}
        return self.write([Tokens(0, [], 0.0, sample=index, ending=ending) for index in sorted(open_samples)])

    def _chunk(self, index: int, written: "_Written") -> GeneratedChunk:
        prompt_count, self._prompt_token_count = self._prompt_token_count, None
        seed, self._seed = self._seed, None
        return GeneratedChunk(
            self._info.name, self._info.version, written.text, written.first_token_index, written.token_count,
            written.finish_reason, sample_index=index, token_scores=written.token_scores,
            prompt_token_count=prompt_count, seed=seed, state_token=written.state_token,
            held_back_text=written.held_back_text,
        )  # fmt: skip


def _parts(told: Sequence[Tokens]) -> Iterator[list[Tokens]]:
    """What was told, cut wherever a state was, so that a chunk with a state ends where that stands."""
    part: list[Tokens] = []
    for tokens in told:
        part.append(tokens)
        if tokens.carried is not None:
            yield part
            part = []
    if part:
        yield part


def joined(told: Sequence[Tokens]) -> Tokens:
    """Several tellings of one sample as one."""
    last = told[-1]
    return Tokens(
        last.work_id,
        [token_id for tokens in told for token_id in tokens.token_ids],
        last.queue_seconds,
        last.sample,
        last.ending,
        [score for tokens in told for score in tokens.log_probabilities],
        [alternatives for tokens in told for alternatives in tokens.alternatives],
        last.carried,
    )


def _after(told: Tokens, count: int) -> Tokens:
    """What was told of the tokens after the first `count`."""
    return Tokens(
        told.work_id, told.token_ids[count:], told.queue_seconds, told.sample,
        log_probabilities=told.log_probabilities[count:], alternatives=told.alternatives[count:],
    )  # fmt: skip


class StreamPace:
    """How long tokens of a stream wait for more to share a message: longer, the more streams there are.

    A message costs the front the same whatever it carries, and each stream wants one at every step. So each stream
    lets every other one write a message first, and a stream alone waits for nothing.

    Args:
        most_seconds: longest wait.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._count = 0

    @property
    def gather_seconds(self) -> float:
        """How long after a message of a stream its next one may come."""
        return min(self._most_seconds, (self._count - 1) * MESSAGE_SECONDS)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream until the block ends."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


@dataclass(frozen=True)
class _Written:
    """What a sample has to say; fields are those of GeneratedChunk."""

    text: str
    first_token_index: int
    token_count: int
    token_scores: tuple[TokenScore, ...]
    finish_reason: FinishReason | None
    state_token: bytes
    held_back_text: str

    @property
    def says_something(self) -> bool:
        """Whether a reader learns anything from it."""
        return bool(self.text or self.token_count or self.finish_reason or self.state_token)


class _Sample:
    """One text that is being generated.

    Where there are stop strings, a token waits until all of its text is told, for its name would tell what the text
    must not. At the end, and where a state stands, none waits; `held_back_text` has what the text lacks at a state.
    """

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._tokenizer = generation.tokenizer
        self._stream, self._stops = _text_after(generation)
        self._has_stops = bool(generation.options.stop_sequences)
        self._waiting: Tokens | None = None
        # Of what waits: where the text of each token ends that gave some, and how many gave none since.
        self._ends: list[int] = []
        self._textless = 0
        self._end = 0
        self._echo = generation.prompt if generation.options.echo else ""
        self._first = 0 if generation.resumed is None else generation.resumed.row.token_count
        self._told = self._first
        self.token_count = 0
        """Tokens written, told or not."""
        self.finished = False
        self.met_stop = False

    def write(self, told: Tokens) -> _Written:
        """Take what the engine has told."""
        text, used = self._push(told.token_ids)
        state = self._state(told)
        if told.ending is not None and state is None and not self.met_stop:
            rest, self.met_stop = self._stops.push(self._stream.finish())
            text += rest + self._stops.finish()
        reason = FinishReason.STOP if self.met_stop else None if told.ending is None else FINISH_REASON[told.ending]
        self.finished = reason is not None
        whole = told if self._waiting is None else joined([self._waiting, told])
        waited = len(whole.token_ids) - len(told.token_ids)
        self.token_count += used
        count = self._take_certain(waited + used, everything=self.finished or state is not None)
        scores = self._scores(whole, count)
        self._waiting = _after(whole, count) if count < waited + used else None
        first, self._told = self._told, self._told + count
        echo, self._echo = self._echo, ""
        issue = self._generation.issue
        return _Written(
            echo + text, first, count, scores, reason,
            b"" if state is None or issue is None else issue(state),
            "" if state is None else self._stops.held + self._stream.finish(),
        )  # fmt: skip

    def _push(self, token_ids: list[int]) -> tuple[str, int]:
        """Text that is certain, and how many tokens it took: all, or those up to a complete stop string."""
        if not self._has_stops:
            return self._stream.push(token_ids), len(token_ids)
        text = ""
        for count, token_id in enumerate(token_ids, start=1):
            new = self._stream.push([token_id])
            self._textless += 1
            if new:
                self._end += len(new)
                self._ends += [self._end] * self._textless
                self._textless = 0
            piece, self.met_stop = self._stops.push(new)
            text += piece
            if self.met_stop:
                return text, count
        return text, len(token_ids)

    def _take_certain(self, count: int, *, everything: bool) -> int:
        """How many of the `count` tokens that wait are told now; their ends are forgotten."""
        if everything or not self._has_stops:
            self._ends, self._textless = [], 0
            return count
        certain = self._end - len(self._stops.held)
        told = sum(end <= certain for end in self._ends)
        del self._ends[:told]
        return told

    def _state(self, told: Tokens) -> TextState | None:
        """Where this sample stands, if the engine told it; or still stands, if it never came to go on."""
        row, generation = told.carried, self._generation
        if row is None and told.ending is Ending.DEADLINE and generation.issue is not None:
            row = self._row_where_it_began(told.sample)
        if row is None or self.met_stop:
            return None
        written = row.token_count - self._first
        return TextState(
            row,
            carried_options(generation.options),
            generation.limit - written,
            max(0, generation.options.min_output_token_count - written),
            self._stream.context,
            self._stream.held,
            self._stops.held,
        )

    def _row_where_it_began(self, sample: int) -> CarriedRow | None:
        """What a sample goes on from, if it has not written anything yet, nor read a prompt."""
        generation = self._generation
        if generation.resumed is None or generation.prompt_ids or self.token_count:
            return None
        row = generation.resumed.row
        return msgspec.structs.replace(row, sample=row.sample + sample)

    def _scores(self, told: Tokens, count: int) -> tuple[TokenScore, ...]:
        """Scores of the first `count` tokens; at the end, of the end-of-sequence token too, if it was written."""
        ends = self.finished and not self.met_stop
        scored = len(told.log_probabilities) if ends else min(count, len(told.log_probabilities))
        ids = told.token_ids[:count] + [self._generation.eos_id] * (scored - count)
        tokens = self._tokenizer.tokens(ids[:scored])
        found = []
        for place, token in enumerate(tokens):
            pairs = told.alternatives[place] if told.alternatives else []
            names = self._tokenizer.tokens([token_id for token_id, _ in pairs])
            others = tuple(TokenScore(name, score) for name, (_, score) in zip(names, pairs, strict=True))
            found.append(TokenScore(token, told.log_probabilities[place], others))
        return tuple(found)


def _text_after(generation: Generation) -> tuple[TextStream, StopMatcher]:
    """What turns tokens into text, after a prompt, after an earlier text, or after both.

    A prompt ends what the earlier text held back: its reader was told that beside the token.
    """
    resumed, stops = generation.resumed, generation.options.stop_sequences
    if resumed is None or generation.prompt_ids:
        before = [] if resumed is None else resumed.said_ids + resumed.held_ids
        context = [*before, *generation.prompt_ids][-CONTEXT_TOKENS:]
        return TextStream(generation.tokenizer, context), StopMatcher(stops)
    return TextStream(generation.tokenizer, resumed.said_ids, resumed.held_ids), StopMatcher(stops, resumed.held_text)
