"""What calls may be told beside their inputs.   Names are those of proto/seqserve/v1."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TypedDict


class Truncation(IntEnum):
    """What becomes of an input of more tokens, or rows, than the model takes."""

    REFUSE = 1
    KEEP_BEGINNING = 2
    KEEP_END = 3


class GenerateOptions(TypedDict, total=False):
    """What a caller may set for a generation. Absent or None means the server's default.

    `max_output_token_count`: most tokens to produce, 1 to the model's own limit, which is the default.
    `min_output_token_count`: tokens to produce before the text may end; default 0.
    `temperature`: divides the logits, 0 to 100; 0 takes the most probable token always, without `top_k`, `top_p`,
    `min_p` and `seed`; default 1.
    `top_k`: samples among this many most probable tokens, 1 and up; default all.
    `top_p`: samples among the fewest tokens that reach this mass, above 0 to 1; default 1, which keeps all.
    `min_p`: samples among tokens at least this share as probable as the most probable one, 0 to 1; default 0, all.
    `seed`: starts the random numbers, 0 to 2**63 - 1; the same seed gives the same text; default drawn by the server.
    `repetition_penalty`: makes tokens of prompt and text less probable, above 0 to 10; default 1, not at all.
    `no_repeat_ngram_size`: so many tokens in a row never come again, 1 to 32; default no such rule.
    `banned_tokens`: tokens that are never produced, at most 256, each as text or as the vocabulary spells it.
    `token_biases`: numbers from -100 to 100 that are added to the logits of tokens, at most 256, none of them banned.
    `stop_sequences`: strings that end the text where they begin, at most 16.
    `sample_count`: texts to generate, 1 to 16; default 1.
    `include_token_scores`: whether chunks bring the log-probability of each token.
    `alternative_count`: most probable tokens to return beside each, 1 to 16, with `include_token_scores`; default none.
    `echo`: whether the text begins with the prompt.
    `allow_partial`: whether to end with what there is when the deadline is near, instead of failing.
    `include_state_token`: whether the last chunk of a text that could go on brings a state token.
    `state_token_interval`: with it, tokens after which further chunks bring one, again and again; default none do.
    `state_token`: goes on with the text that this token is of; the prompt is read after it, and options that are not
    given are those the text began with.
    `allow_inexact_state`: whether a token of another numerics class will do, which does not go on bit for bit.
    """

    max_output_token_count: int | None
    min_output_token_count: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int | None
    repetition_penalty: float | None
    no_repeat_ngram_size: int | None
    banned_tokens: Sequence[str] | None
    token_biases: Mapping[str, float] | None
    stop_sequences: Sequence[str] | None
    sample_count: int | None
    include_token_scores: bool
    alternative_count: int | None
    echo: bool
    allow_partial: bool
    include_state_token: bool
    state_token_interval: int | None
    state_token: bytes | None
    allow_inexact_state: bool


class LabelOptions(TypedDict, total=False):
    """What a caller may say of state, and of length, when sequences are labelled.

    `include_state_token`: whether each labelled sequence brings a state token, from which its next steps can go on.
    `state_tokens`: one per sequence, which then continues the sequence that the token is of; None begins anew.
    `allow_inexact_state`: whether tokens of another numerics class will do, which do not go on bit for bit.
    `truncation`: which part is labelled of a sequence that is too long, in whole words; default it is refused.
    """

    include_state_token: bool
    state_tokens: Sequence[bytes | None] | None
    allow_inexact_state: bool
    truncation: Truncation | None


class TranslateManyOptions(TypedDict, total=False):
    """What a caller may set for any number of translations. Absent or None means the server's default.

    `max_output_token_count`: most tokens to produce per text, 1 to the model's own limit, which is the default.
    `max_length_factor`: most tokens to produce per token of the source, above 0 to 100; default no such limit.
    `beam_size`: hypotheses that beam search keeps at every step, 1 to 32; default 1, which is greedy.
    `hypothesis_count`: hypotheses to return per text, 1 to `beam_size`, or samples, 1 to 32; default 1.
    `length_penalty`: exponent of the length penalty, 0 to 10; 0 favours short translations; default 0.6.
    `coverage_penalty`: weight of the penalty for leaving out parts of the source, 0 to 10; default 0.
    `replace_unknowns`: whether source words stand in for unknown tokens, where the model is one of words.
    `include_token_scores`: whether translations bring the log-probability of each token.
    `include_attention`: whether translations bring their attention weights.
    `allow_partial`: whether to answer with the best so far when the deadline is near, instead of failing.
    `temperature`: samples instead of searching, above 0 to 100; default 0, which does not sample.
    `top_k`, `top_p`, `min_p`, `seed`: as in GenerateOptions, where `temperature` is above 0.
    `truncation`: which part is translated of a text that is too long; default it is refused.
    """

    max_output_token_count: int | None
    max_length_factor: float | None
    beam_size: int | None
    hypothesis_count: int | None
    length_penalty: float | None
    coverage_penalty: float | None
    replace_unknowns: bool
    include_token_scores: bool
    include_attention: bool
    allow_partial: bool
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int | None
    truncation: Truncation | None


class TranslateOptions(TranslateManyOptions, total=False):
    """What a caller may set for the translations of one request: TranslateManyOptions, and what there is one per text.

    `target_prefixes`: what each translation must begin with, one per text, each possibly empty; default nothing.
    """

    target_prefixes: Sequence[str] | None
