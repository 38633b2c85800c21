"""Generation: what a caller wants into what the engine does, and tokens into chunks of text.   Knows no queue."""

import math
from collections.abc import Sequence

from service.engine.constraints import Constraints
from service.engine.requests import DecodeOptions, Ending
from service.errors import InvalidArgumentError
from service.serving.api import FinishReason, GeneratedChunk, GenerateOptions, ModelInfo, TokenScore
from service.serving.messages import Tokens
from service.serving.translating import FINISH_REASON, engine_sampling
from service.text.stops import StopMatcher
from service.text.tokenizer import TextStream, Tokenizer

CONTEXT_TOKENS = 16
"""So many of a prompt's last tokens tell how the text after them is spaced."""


def generate_decoding(options: GenerateOptions, tokenizer: Tokenizer, *, limit: int, slots: int) -> DecodeOptions:
    """What the engine is asked to do.

    Args:
        options: what the caller wants.
        tokenizer: of the model.
        limit: most tokens to write.
        slots: rows that the engine has.

    Raises:
        InvalidArgumentError: a token is none of the model's, or a number more than it or the server takes.
    """
    if options.sample_count > slots:
        raise InvalidArgumentError(
            f"sample_count is {options.sample_count}, this server decodes at most {slots} samples at once",
            field="sample_count",
            limit=slots,
        )
    if options.min_output_token_count > limit:
        raise InvalidArgumentError(
            f"min_output_token_count is {options.min_output_token_count}, at most {limit} tokens are produced",
            field="min_output_token_count",
            limit=limit,
        )
    biases = [
        (_token_id(tokenizer, text, f"token_biases[{text}]"), bias) for text, bias in options.token_biases.items()
    ]
    bans = [
        (_token_id(tokenizer, text, f"banned_tokens[{index}]"), -math.inf)
        for index, text in enumerate(options.banned_tokens)
    ]
    return DecodeOptions(
        limit,
        engine_sampling(options.sampling),
        sample_count=options.sample_count,
        constraints=Constraints(
            options.min_output_token_count,
            options.repetition_penalty,
            options.no_repeat_ngram_size,
            (*biases, *bans),
        ),
        hypothesis_count=options.sample_count,
        keep_scores=options.include_token_scores,
        alternative_count=options.alternative_count,
    )


def _token_id(tokenizer: Tokenizer, text: str, field: str) -> int:
    """The token that a text is, or that the vocabulary spells like it."""
    ids = tokenizer.encode(text)
    token_id = ids[0] if len(ids) == 1 and ids[0] != tokenizer.unknown_id else tokenizer.id_of(text)
    if token_id is None:
        raise InvalidArgumentError(f"{field} is {text!r}, which is not one token of the model", field=field)
    return token_id


class GenerationWriter:
    """Chunks of all samples of one generation.

    Args:
        info: the model that answers.
        tokenizer: its tokenizer.
        eos_id: the end-of-sequence token.
        prompt_ids: what the text continues.
        options: what the caller wants.
        prompt: the prompt as text.
    """

    def __init__(
        self, info: ModelInfo, tokenizer: Tokenizer, eos_id: int, prompt_ids: Sequence[int], options: GenerateOptions,
        prompt: str,
    ) -> None:  # fmt: skip
        self._info = info
        echo = prompt if options.echo else ""
        self._samples = [
            _Sample(tokenizer, eos_id, prompt_ids, options.stop_sequences, echo) for _ in range(options.sample_count)
        ]
        self._prompt_token_count: int | None = len(prompt_ids)
        self.stopped: list[int] = []
        """Samples that have met a stop string since this was last emptied."""

    @property
    def finished(self) -> bool:
        """Whether every sample has ended."""
        return all(sample.finished for sample in self._samples)

    def write(self, told: Sequence[Tokens]) -> list[GeneratedChunk]:
        """Chunks for what the engine has told: one per sample, in order of sample."""
        chunks = []
        for index in sorted({tokens.sample for tokens in told}):
            sample = self._samples[index]
            if sample.finished:
                continue  # what was written after a stop string
            chunk = sample.write(joined([tokens for tokens in told if tokens.sample == index]))
            if sample.met_stop:
                self.stopped.append(index)
            chunks.append(self._chunk(index, *chunk))
        return chunks

    def end(self, ending: Ending) -> list[GeneratedChunk]:
        """Last chunks of samples that ended without a word of the engine about them."""
        open_samples = {index for index, sample in enumerate(self._samples) if not sample.finished}
        return self.write([Tokens(0, [], 0.0, sample=index, ending=ending) for index in sorted(open_samples)])

    def _chunk(
        self, index: int, text: str, first: int, count: int, scores: tuple[TokenScore, ...], reason: FinishReason | None
    ) -> GeneratedChunk:
        prompt_count, self._prompt_token_count = self._prompt_token_count, None
        return GeneratedChunk(
            self._info.name, self._info.version, text, first, count, reason,
            sample_index=index, token_scores=scores, prompt_token_count=prompt_count,
        )  # fmt: skip


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
    )


class _Sample:
    """One text that is being generated."""

    def __init__(
        self, tokenizer: Tokenizer, eos_id: int, prompt_ids: Sequence[int], stops: Sequence[str], echo: str
    ) -> None:
        self._tokenizer = tokenizer
        self._eos_id = eos_id
        self._stream = TextStream(tokenizer, prompt_ids[-CONTEXT_TOKENS:])
        self._stops = StopMatcher(stops)
        self._steps = bool(stops)
        self._echo = echo
        self._told = 0
        self.finished = False
        self.met_stop = False

    def write(self, told: Tokens) -> tuple[str, int, int, tuple[TokenScore, ...], FinishReason | None]:
        """Text, index of the first token, count, scores, and why it ended if it did."""
        text, used = self._push(told.token_ids)
        if told.ending is not None and not self.met_stop:
            rest, self.met_stop = self._stops.push(self._stream.finish())
            text += rest + self._stops.finish()
        reason = FinishReason.STOP if self.met_stop else None if told.ending is None else FINISH_REASON[told.ending]
        self.finished = reason is not None
        scores = self._scores(told, used)
        first, self._told = self._told, self._told + used
        echo, self._echo = self._echo, ""
        return echo + text, first, used, scores, reason

    def _push(self, token_ids: list[int]) -> tuple[str, int]:
        """Text that is certain, and how many tokens it took: all, or those up to a complete stop string."""
        if not self._steps:
            return self._stream.push(token_ids), len(token_ids)
        text = ""
        for count, token_id in enumerate(token_ids, start=1):
            piece, self.met_stop = self._stops.push(self._stream.push([token_id]))
            text += piece
            if self.met_stop:
                return text, count
        return text, len(token_ids)

    def _scores(self, told: Tokens, used: int) -> tuple[TokenScore, ...]:
        """Scores of the tokens used, and of the end-of-sequence token if it was written after them."""
        count = used if self.met_stop else len(told.log_probabilities)
        ids = told.token_ids[:used] + [self._eos_id] * (count - used)
        tokens = self._tokenizer.tokens(ids)
        found = []
        for place in range(min(count, len(told.log_probabilities))):
            pairs = told.alternatives[place] if told.alternatives else []
            names = self._tokenizer.tokens([token_id for token_id, _ in pairs])
            others = tuple(TokenScore(name, score) for name, (_, score) in zip(names, pairs, strict=True))
            found.append(TokenScore(tokens[place], told.log_probabilities[place], others))
        return tuple(found)
