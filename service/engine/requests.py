"""What may be asked of the step loop, and what it answers.   Ranges are checked where requests come in."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from service.engine.constraints import FREE, Constraints
from service.engine.sampling import GREEDY, Sampling
from service.engine.steps import Carried, FloatArray, IntArray

Alternatives: TypeAlias = list[tuple[int, float]]
"""Most probable tokens at one place, best first: id and log-probability."""

DEFAULT_LENGTH_PENALTY = 0.6
"""As Wu et al. 2016 found best for models trained by maximum likelihood, arXiv:1609.08144, section 8.4."""


@dataclass(frozen=True)
class DecodeOptions:
    """How one prompt or source is decoded.

    Args:
        max_output_token_count: most tokens to write, 1 and up; the end-of-sequence token is not counted.
        sampling: how each token is chosen where `beam_size` is 1.
        sample_count: rows that are sampled independently, 1 and up; 1 where `beam_size` is more.
        constraints: what may be written where `beam_size` is 1.
        beam_size: hypotheses kept at every step, 1 and up. 1 means no beam search.
        hypothesis_count: hypotheses to return, best first, 1 to `beam_size` (`sample_count` without beam search).
        length_penalty: exponent alpha of `beam.length_penalty`, 0 and up; 0 compares sums of log-probabilities.
        coverage_penalty: weight beta of `beam.coverage_penalty`, 0 and up; needs attention unless 0.
        max_length_factor: most tokens to write per token of the prompt or source; None means no such limit.
        keep_scores: whether hypotheses bring their score and the log-probability of every token; a beam search does.
        alternative_count: how many of the most probable tokens `news` tells beside each token.
        keep_attention: whether hypotheses bring their attention weights.
        keep_alignment: whether hypotheses bring the source token that each of their tokens attends to most.
        keep_state: whether `news` tells where a row stands that the limit or the deadline ends.
        state_interval: with `keep_state`, and at what `news` tells so many tokens after the last time; 0: never.
    """

    max_output_token_count: int
    sampling: Sampling = GREEDY
    sample_count: int = 1
    constraints: Constraints = FREE
    beam_size: int = 1
    hypothesis_count: int = 1
    length_penalty: float = 0.0
    coverage_penalty: float = 0.0
    max_length_factor: float | None = None
    keep_scores: bool = False
    alternative_count: int = 0
    keep_attention: bool = False
    keep_alignment: bool = False
    keep_state: bool = False
    state_interval: int = 0

    @property
    def row_count(self) -> int:
        """Rows that the request takes up."""
        return max(self.beam_size, self.sample_count)

    def limit(self, token_count: int) -> int:
        """Most tokens to write for a prompt or source of `token_count` tokens, 1 and up."""
        if self.max_length_factor is None:
            return self.max_output_token_count
        return max(1, min(self.max_output_token_count, math.ceil(self.max_length_factor * token_count)))


class Ending(Enum):
    """Why a hypothesis ended."""

    STOP = "stop"
    LENGTH = "length"
    DEADLINE = "deadline"


@dataclass(frozen=True)
class DecodeRequest:
    """A sequence to decode.

    Args:
        key: the caller's name for it, unique among the requests in use.
        token_ids: [time] prompt or source, without special tokens.
        options: what is asked for.
        forced_ids: the first tokens to write, whatever the model thinks; the last may be the end-of-sequence token.
        streams: whether `news` tells its tokens as they come; a beam's never do, for they may yet change.
        carried: what an earlier request left off with, from which this one goes on; its prompt is read after that.
            Sample i of this request draws random numbers as sample `carried.sample` + i of the earlier one.
    """

    key: int
    token_ids: IntArray
    options: DecodeOptions
    forced_ids: tuple[int, ...] = ()
    streams: bool = False
    carried: Carried | None = None

    @property
    def reads(self) -> bool:
        """Whether it has a prompt or source to read; not what goes on from what was carried, without a prompt."""
        return self.carried is None or len(self.token_ids) > 0


class Hypothesis(NamedTuple):
    """A text that was decoded.

    Args:
        token_ids: what was written, without the end-of-sequence token.
        ending: why it ended.
        log_probabilities: of each token, and of the end-of-sequence token after them if it was written.
        score: what hypotheses are compared by: their sum over the length penalty, plus the coverage penalty.
        attention: [tokens, source time] float32, where the request asked for it.
        aligned: the source token that each token attended to most, the source's last one left out.
    """

    token_ids: list[int]
    ending: Ending
    log_probabilities: list[float] | None = None
    score: float | None = None
    attention: FloatArray | None = None
    aligned: list[int] | None = None


class Finished(NamedTuple):
    """A request that has left. `hypotheses` are best first, samples in order; None: its logits were not finite."""

    key: int
    hypotheses: list[Hypothesis] | None


@dataclass(frozen=True)
class News:
    """Tokens of a streaming request that were not told before. `ending` is set with a row's last ones.

    Where scores are kept, there is one log-probability per token, and one for the end-of-sequence token after them if
    that was written; where alternatives are asked for, as many lists of (token, log-probability), best first.
    `carried` is where the row stands after these tokens, where that was asked for.
    """

    key: int
    sample: int
    token_ids: list[int]
    ending: Ending | None
    log_probabilities: list[float] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    carried: Carried | None = None
