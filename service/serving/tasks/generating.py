"""Generation: what a caller wants, and what an earlier text left off with, into what the engine does.   No queue."""

import math
from dataclasses import replace

from service.engine.constraints import Constraints
from service.engine.requests import DecodeOptions
from service.errors import InvalidArgumentError
from service.serving.options import NEED_TEMPERATURE, GenerateOptions
from service.state.contents import CarriedOptions, TextState
from service.text.tokenizer import Tokenizer

_SAMPLING = ("temperature", *NEED_TEMPERATURE)
_OTHERS = ("repetition_penalty", "no_repeat_ngram_size", "banned_tokens", "token_biases", "stop_sequences")


def going_on(options: GenerateOptions, state: TextState, *, model_limit: int) -> GenerateOptions:
    """The options of a request that goes on with a text: its own where it gives them, else the text's.

    Tokens to produce, at most and at least, are those that are left; of none left, as many as the model produces.
    """
    given = frozenset() if options.resumption is None else options.resumption.given
    carried = state.options
    sampling = {name: getattr(carried, name) for name in _SAMPLING if name not in given}
    others = {name: getattr(carried, name) for name in _OTHERS if name not in given}
    most, least = options.max_output_token_count, options.min_output_token_count
    if most is None:
        most = min(state.output_tokens_left or model_limit, model_limit)
    if "min_output_token_count" not in given:
        least = min(state.least_tokens_left, most)
    sampled = replace(options.sampling, **sampling)
    return replace(options, sampling=sampled, max_output_token_count=most, min_output_token_count=least, **others)


def carried_options(options: GenerateOptions) -> CarriedOptions:
    """What a text goes on under unless the next request says otherwise."""
    sampling = {name: getattr(options.sampling, name) for name in _SAMPLING}
    return CarriedOptions(**sampling, **{name: getattr(options, name) for name in _OTHERS})


def generate_decoding(
    options: GenerateOptions, tokenizer: Tokenizer, *, limit: int, slots: int, look_back: int
) -> DecodeOptions:
    """What the engine is asked to do.

    Args:
        options: what the caller wants.
        tokenizer: of the model.
        limit: most tokens to write.
        slots: rows that the engine has.
        look_back: at how many of the last tokens, read or written, rules against repeating look.

    Raises:
        InvalidArgumentError: a token is none of the model's, or a number more than it or the server takes.
    """
    _require_possible(options, limit, slots)
    _refuse_sampling_of_a_greedy_text(options)
    biases = [
        (_token_id(tokenizer, text, f"token_biases[{text}]"), bias) for text, bias in options.token_biases.items()
    ]
    bans = [
        (_token_id(tokenizer, text, f"banned_tokens[{index}]"), -math.inf)
        for index, text in enumerate(options.banned_tokens)
    ]
    _refuse_banned(options, [token_id for token_id, _ in biases], {token_id for token_id, _ in bans})
    return DecodeOptions(
        limit,
        options.sampling,
        sample_count=options.sample_count,
        constraints=Constraints(
            options.min_output_token_count,
            options.repetition_penalty,
            options.no_repeat_ngram_size,
            (*biases, *bans),
            look_back,
        ),
        hypothesis_count=options.sample_count,
        keep_scores=options.include_token_scores,
        alternative_count=options.alternative_count,
        keep_state=options.include_state_token,
        state_interval=options.state_token_interval,
    )


def _require_possible(options: GenerateOptions, limit: int, slots: int) -> None:
    """Refuse numbers that contradict one another, or are more than model or server takes."""
    if options.sample_count > slots:
        raise InvalidArgumentError(
            f"sample_count is {options.sample_count}, this server decodes at most {slots} samples at once",
            field="sample_count",
            limit=slots,
        )
    if options.sample_count > 1 and options.sampling.temperature == 0:
        raise InvalidArgumentError(
            f"sample_count is {options.sample_count}, and with temperature 0 all samples are the same",
            field="sample_count",
        )
    if options.min_output_token_count > limit:
        raise InvalidArgumentError(
            f"min_output_token_count is {options.min_output_token_count}, at most {limit} tokens are produced",
            field="min_output_token_count",
            limit=limit,
        )


def _refuse_sampling_of_a_greedy_text(options: GenerateOptions) -> None:
    """Refuse what means something to sampling alone, where the text began greedy and the request leaves it so."""
    if options.resumption is None or options.sampling.temperature > 0:
        return
    for field in NEED_TEMPERATURE:
        if field in options.resumption.given:
            raise InvalidArgumentError(
                f"{field} samples, which needs a temperature above 0: the text that goes on has 0", field=field
            )


def _refuse_banned(options: GenerateOptions, biased: list[int], banned: set[int]) -> None:
    """Refuse tokens that a request both biases and bans, however it spells them; what a text began with may be both."""
    given = None if options.resumption is None else options.resumption.given
    if given is not None and not {"token_biases", "banned_tokens"} <= given:
        return
    for text, token_id in zip(options.token_biases, biased, strict=True):
        if token_id in banned:
            field = f"token_biases[{text}]"
            raise InvalidArgumentError(
                f"{field} is of a token that banned_tokens has, too: ban or bias it", field=field
            )


def _token_id(tokenizer: Tokenizer, text: str, field: str) -> int:
    """The token that a text is, or that the vocabulary spells like it."""
    ids = tokenizer.encode(text)
    token_id = ids[0] if len(ids) == 1 and ids[0] != tokenizer.unknown_id else tokenizer.id_of(text)
    if token_id is None:
        raise InvalidArgumentError(f"{field} is {text!r}, which is not one token of the model", field=field)
    return token_id
