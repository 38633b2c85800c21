"""Translations and their scores: requests into checked plain values, results into messages.   Knows no model."""

from dataclasses import dataclass, replace

from seqserve.v1 import inference_service_pb2 as inference
from service.engine.sampling import Sampling
from service.errors import InvalidArgumentError
from service.serving.api import Attention, Hypothesis, ScoreResult, TranslateResult, Translation, TranslationScore
from service.serving.options import TranslateOptions
from service.serving.sequences import TextPair
from service.transport.convert import (
    FINISH_REASON,
    checked_integer,
    checked_model,
    checked_number,
    checked_output_count,
    checked_positive,
    checked_sampling,
    checked_text,
    checked_texts,
    checked_truncation,
    refuse_sampling,
    to_model_version,
    to_timings,
    to_token_scores,
)

MOST_TEXTS = 64
MOST_BEAM_SIZE = 32
MOST_SAMPLES = 32
MOST_PENALTY = 10.0
MOST_LENGTH_FACTOR = 100.0
REQUIRED = ("model", "texts")
DEFAULTS = TranslateOptions()


@dataclass(frozen=True)
class TranslateCall:
    """A checked TranslateTextRequest."""

    model: str
    texts: tuple[str, ...]
    options: TranslateOptions


@dataclass(frozen=True)
class ScoreCall:
    """A checked ScoreTranslationRequest."""

    model: str
    pairs: tuple[TextPair, ...]


def to_translate_call(request: inference.TranslateTextRequest) -> TranslateCall:
    """Check a request; InvalidArgumentError names the field at fault."""
    model = checked_model(request.model)
    return TranslateCall(model, checked_texts(request.texts, MOST_TEXTS), _options(request))


def to_score_call(request: inference.ScoreTranslationRequest) -> ScoreCall:
    """Check a request; InvalidArgumentError names the field at fault."""
    model, count = checked_model(request.model), len(request.pairs)
    if not 1 <= count <= MOST_TEXTS:
        raise InvalidArgumentError(
            f"pairs has {count} entries, expected 1 to {MOST_TEXTS}", field="pairs", pair_count=count, limit=MOST_TEXTS
        )
    pairs = tuple(
        TextPair(checked_text(pair.source, f"pairs[{i}].source"), checked_text(pair.target, f"pairs[{i}].target"))
        for i, pair in enumerate(request.pairs)
    )
    return ScoreCall(model, pairs)


def to_translate_response(result: TranslateResult) -> inference.TranslateTextResponse:
    """Write a result."""
    return inference.TranslateTextResponse(
        model_version=to_model_version(result),
        translations=[_translation(found) for found in result.translations],
        timings=to_timings(result.timings),
        seed=result.seed,
    )


def to_score_response(result: ScoreResult) -> inference.ScoreTranslationResponse:
    """Write a result."""
    return inference.ScoreTranslationResponse(
        model_version=to_model_version(result),
        scores=[_score(found) for found in result.scores],
        timings=to_timings(result.timings),
    )


def _options(request: inference.TranslateTextRequest) -> TranslateOptions:
    if all(field.name in REQUIRED for field, _ in request.ListFields()):
        return DEFAULTS
    given = request.HasField
    sampling = _sampling(request)
    beam_size = checked_integer("beam_size", request.beam_size, 1, MOST_BEAM_SIZE) if given("beam_size") else 1
    if sampling is not None and beam_size > 1:
        raise InvalidArgumentError(
            f"temperature is {request.temperature:g} and beam_size {beam_size}: sample, or search with a beam",
            field="temperature",
        )
    count, most = request.hypothesis_count, beam_size if sampling is None else MOST_SAMPLES
    alpha, beta, factor = request.length_penalty, request.coverage_penalty, request.max_length_factor
    options = TranslateOptions(
        max_output_token_count=checked_output_count(request),
        include_attention=request.include_attention,
        beam_size=beam_size,
        hypothesis_count=checked_integer("hypothesis_count", count, 1, most) if given("hypothesis_count") else 1,
        coverage_penalty=checked_number("coverage_penalty", beta, 0, MOST_PENALTY) if given("coverage_penalty") else 0,
        max_length_factor=checked_positive("max_length_factor", factor, MOST_LENGTH_FACTOR)
        if given("max_length_factor")
        else None,
        sampling=sampling,
        target_prefixes=_prefixes(request),
        replace_unknowns=request.replace_unknowns,
        include_token_scores=request.include_token_scores,
        allow_partial=request.allow_partial,
        truncation=checked_truncation(request),
    )
    if options.coverage_penalty > 0 and beam_size == 1:
        raise InvalidArgumentError(
            f"coverage_penalty is {beta:g}, which needs a beam_size above 1", field="coverage_penalty"
        )
    if not given("length_penalty"):
        return options
    return replace(options, length_penalty=checked_number("length_penalty", alpha, 0, MOST_PENALTY))


def _sampling(request: inference.TranslateTextRequest) -> Sampling | None:
    """How tokens are sampled; None where they are not."""
    sampling = checked_sampling(request, temperature=0.0)
    if sampling.temperature > 0:
        return sampling
    refuse_sampling(request)
    return None


def _prefixes(request: inference.TranslateTextRequest) -> tuple[str, ...]:
    count, expected = len(request.target_prefixes), len(request.texts)
    if count not in {0, expected}:
        raise InvalidArgumentError(
            f"target_prefixes has {count} entries, expected none or one per text, which are {expected}",
            field="target_prefixes",
            prefix_count=count,
            text_count=expected,
        )
    return tuple(request.target_prefixes)


def _translation(found: Translation) -> inference.Translation:
    best, *others = found.hypotheses
    return inference.Translation(
        text=best.text,
        source_token_count=found.source_token_count,
        truncated=found.truncated,
        token_count=best.token_count,
        finish_reason=FINISH_REASON[best.finish_reason],
        attention=_attention(best.attention),
        score=best.score,
        token_scores=to_token_scores(best.token_scores),
        alternatives=[_hypothesis(one) for one in others],
    )


def _hypothesis(found: Hypothesis) -> inference.Hypothesis:
    return inference.Hypothesis(
        text=found.text,
        token_count=found.token_count,
        finish_reason=FINISH_REASON[found.finish_reason],
        score=found.score,
        token_scores=to_token_scores(found.token_scores),
        attention=_attention(found.attention),
    )


def _attention(attention: Attention | None) -> inference.Attention | None:
    if attention is None:
        return None
    return inference.Attention(
        source_tokens=attention.source_tokens,
        target_tokens=attention.target_tokens,
        rows=[inference.AttentionRow(weights=weights) for weights in attention.weights],
    )


def _score(found: TranslationScore) -> inference.TranslationScore:
    return inference.TranslationScore(
        log_probability=sum(score.log_probability for score in found.token_scores),
        token_scores=to_token_scores(found.token_scores),
        source_token_count=found.source_token_count,
    )
