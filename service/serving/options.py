"""What a caller may set for a generation or a translation, as plain values.   Checks nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.engine.requests import DEFAULT_LENGTH_PENALTY
from service.engine.sampling import Sampling
from service.serving.truncation import Truncation
from service.state.requests import Resumption

UNCHANGED = Sampling(temperature=1.0)
"""Sample by the probabilities that the model gives."""

NEED_TEMPERATURE = ("top_k", "top_p", "min_p", "seed")
"""Fields of `Sampling` that mean nothing, and are refused, where the temperature is 0."""


@dataclass(frozen=True)
class TranslateOptions:
    """What a caller may set for translations; their own checks have been made.

    Args:
        max_output_token_count: most tokens to write; None means the model's own limit.
        max_length_factor: most tokens to write per source token; None means no such limit.
        beam_size: hypotheses kept at every step, 1 and up; 1 is greedy, or samples.
        hypothesis_count: hypotheses to return, 1 to `beam_size`; of samples, how many.
        length_penalty: exponent of the penalty that hypotheses are compared by, 0 and up.
        coverage_penalty: weight of the penalty for source tokens that are attended to too little, 0 and up.
        sampling: how tokens are sampled; None does not sample.
        target_prefixes: what each translation must begin with, one per text; empty where none must.
        replace_unknowns: whether source words stand in for unknown tokens.
        include_token_scores: whether hypotheses bring the log-probabilities of their tokens.
        include_attention: whether hypotheses bring their attention weights.
        allow_partial: whether to answer with the best so far when the deadline is near.
        truncation: which part is translated of a text that is too long.
    """

    max_output_token_count: int | None = None
    include_attention: bool = False
    beam_size: int = 1
    hypothesis_count: int = 1
    length_penalty: float = DEFAULT_LENGTH_PENALTY
    coverage_penalty: float = 0.0
    max_length_factor: float | None = None
    sampling: Sampling | None = None
    target_prefixes: tuple[str, ...] = ()
    replace_unknowns: bool = False
    include_token_scores: bool = False
    allow_partial: bool = False
    truncation: Truncation = Truncation.REFUSE


@dataclass(frozen=True)
class GenerateOptions:
    """What a caller may set for a generation; its own checks have been made.

    Args:
        max_output_token_count: most tokens to write; None means the model's own limit.
        sampling: how tokens are chosen.
        min_output_token_count: tokens to write before the text may end.
        repetition_penalty: for tokens that were read or written before; 1 changes nothing.
        no_repeat_ngram_size: so many tokens in a row never come again; 0 means no rule.
        banned_tokens: tokens, as text, that are never written.
        token_biases: numbers that are added to the logits of tokens, given as text.
        stop_sequences: strings that end the text, which are not part of it.
        sample_count: texts to generate.
        include_token_scores: whether chunks bring the log-probabilities of their tokens.
        alternative_count: how many of the most probable tokens come with each of them.
        echo: whether the text begins with the prompt.
        allow_partial: whether to answer with what there is when the deadline is near.
        include_state_token: whether a sample that has not come to its own end brings a state token at its last chunk.
        state_token_interval: after so many tokens each, further chunks bring one; 0 means none do.
        resumption: the text to go on with.
    """

    max_output_token_count: int | None = None
    sampling: Sampling = UNCHANGED
    min_output_token_count: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    banned_tokens: tuple[str, ...] = ()
    token_biases: Mapping[str, float] = field(default_factory=dict)
    stop_sequences: tuple[str, ...] = ()
    sample_count: int = 1
    include_token_scores: bool = False
    alternative_count: int = 0
    echo: bool = False
    allow_partial: bool = False
    include_state_token: bool = False
    state_token_interval: int = 0
    resumption: Resumption | None = None
