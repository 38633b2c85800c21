"""GenerateText: requests into checked plain values, and chunks into messages.   Knows ranges; knows no model."""

from dataclasses import dataclass

from seqserve.v1 import inference_service_pb2 as inference
from service.engine.sampling import Sampling
from service.errors import InvalidArgumentError
from service.serving.api import GeneratedChunk
from service.serving.options import GenerateOptions
from service.state.requests import Resumption
from service.transport.convert import (
    FINISH_REASON,
    checked_integer,
    checked_model,
    checked_number,
    checked_output_count,
    checked_positive,
    checked_sampling,
    refuse_sampling,
    refused,
    to_model_version,
    to_timings,
    to_token_scores,
)

MOST_REPETITION_PENALTY = 10.0
MOST_NGRAM_SIZE = 32
MOST_BANNED_TOKENS = 256
MOST_TOKEN_BIASES = 256
MOST_BIAS = 100.0
MOST_STOP_SEQUENCES = 16
MOST_CHARACTERS = 200
"""Of a stop sequence, or of a token as text."""

MOST_SAMPLES = 16
MOST_ALTERNATIVES = 16


@dataclass(frozen=True)
class GenerateCall:
    """A checked GenerateTextRequest."""

    model: str
    prompt: str
    options: GenerateOptions


def to_generate_call(request: inference.GenerateTextRequest) -> GenerateCall:
    """Check a request; InvalidArgumentError names the field at fault. Without a seed, one is drawn."""
    given = request.HasField
    model = checked_model(request.model)
    size, penalty = request.no_repeat_ngram_size, request.repetition_penalty
    options = GenerateOptions(
        max_output_token_count=checked_output_count(request),
        sampling=_sampling(request),
        min_output_token_count=_minimum(request),
        repetition_penalty=checked_positive("repetition_penalty", penalty, MOST_REPETITION_PENALTY)
        if given("repetition_penalty")
        else 1.0,
        no_repeat_ngram_size=checked_integer("no_repeat_ngram_size", size, 1, MOST_NGRAM_SIZE)
        if given("no_repeat_ngram_size")
        else 0,
        banned_tokens=_banned_tokens(request),
        token_biases=_token_biases(request),
        stop_sequences=_stop_sequences(request),
        sample_count=_sample_count(request),
        include_token_scores=request.include_token_scores,
        alternative_count=_alternative_count(request),
        echo=request.echo,
        allow_partial=request.allow_partial,
        include_state_token=request.include_state_token,
        state_token_interval=_state_token_interval(request),
        resumption=_resumption(request),
    )
    return GenerateCall(model, request.prompt, options)


def to_generate_response(chunk: GeneratedChunk) -> inference.GenerateTextResponse:
    """Write a chunk; the first one of a stream is the one with a seed."""
    response = inference.GenerateTextResponse(
        text=chunk.text,
        first_token_index=chunk.first_token_index,
        token_count=chunk.token_count,
        sample_index=chunk.sample_index,
        token_scores=to_token_scores(chunk.token_scores),
        prompt_token_count=chunk.prompt_token_count,
        state_token=chunk.state_token,
        held_back_text=chunk.held_back_text,
    )
    if chunk.seed is not None:
        response.model_version.CopyFrom(to_model_version(chunk))
        response.seed = chunk.seed
    if chunk.finish_reason is not None:
        response.finish_reason = FINISH_REASON[chunk.finish_reason]
    if chunk.timings is not None:
        response.timings.CopyFrom(to_timings(chunk.timings))
    return response


def _sampling(request: inference.GenerateTextRequest) -> Sampling:
    sampling = checked_sampling(request, temperature=1.0)
    if sampling.temperature == 0:
        refuse_sampling(request)
    return sampling


def _minimum(request: inference.GenerateTextRequest) -> int:
    field = "min_output_token_count"
    if not request.HasField(field):
        return 0
    most = request.max_output_token_count if request.HasField("max_output_token_count") else 2**31 - 1
    return checked_integer(field, request.min_output_token_count, 0, most)


def _sample_count(request: inference.GenerateTextRequest) -> int:
    field = "sample_count"
    return checked_integer(field, request.sample_count, 1, MOST_SAMPLES) if request.HasField(field) else 1


def _alternative_count(request: inference.GenerateTextRequest) -> int:
    field = "alternative_count"
    if not request.HasField(field):
        return 0
    if not request.include_token_scores:
        raise InvalidArgumentError(f"{field} needs include_token_scores", field=field)
    return checked_integer(field, request.alternative_count, 1, MOST_ALTERNATIVES)


def _state_token_interval(request: inference.GenerateTextRequest) -> int:
    field = "state_token_interval"
    if not request.HasField(field):
        return 0
    if not request.include_state_token:
        raise InvalidArgumentError(f"{field} needs include_state_token", field=field)
    return checked_integer(field, request.state_token_interval, 1, 2**31 - 1)


def _resumption(request: inference.GenerateTextRequest) -> Resumption | None:
    if not request.state_token:
        return None
    given = frozenset(field.name for field, _ in request.ListFields())
    return Resumption(request.state_token, given, request.allow_inexact_state)


def _banned_tokens(request: inference.GenerateTextRequest) -> tuple[str, ...]:
    _check_count("banned_tokens", len(request.banned_tokens), MOST_BANNED_TOKENS)
    for index, token in enumerate(request.banned_tokens):
        _check_length(f"banned_tokens[{index}]", token)
    return tuple(request.banned_tokens)


def _token_biases(request: inference.GenerateTextRequest) -> dict[str, float]:
    _check_count("token_biases", len(request.token_biases), MOST_TOKEN_BIASES)
    for token in request.token_biases:
        _check_length("token_biases", token)
    return {
        token: checked_number(f"token_biases[{token}]", bias, -MOST_BIAS, MOST_BIAS)
        for token, bias in request.token_biases.items()
    }


def _stop_sequences(request: inference.GenerateTextRequest) -> tuple[str, ...]:
    _check_count("stop_sequences", len(request.stop_sequences), MOST_STOP_SEQUENCES)
    for index, stop in enumerate(request.stop_sequences):
        _check_length(f"stop_sequences[{index}]", stop)
    return tuple(request.stop_sequences)


def _check_length(field: str, text: str) -> None:
    if not 1 <= len(text) <= MOST_CHARACTERS:
        raise refused(
            field, f"{len(text)} characters long", f"1 to {MOST_CHARACTERS} characters", limit=MOST_CHARACTERS
        )


def _check_count(field: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidArgumentError(
            f"{field} has {count} entries, at most {most} are taken", field=field, entry_count=count, limit=most
        )
