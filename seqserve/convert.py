"""Arguments to request messages, response messages to results.   Shared by both clients; does no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast

import grpc
from google.protobuf.duration_pb2 import Duration

from seqserve.errors import InternalError
from seqserve.options import GenerateOptions, LabelOptions, TranslateManyOptions, TranslateOptions, Truncation
from seqserve.results import (
    Attention,
    Classification,
    ClassifyResult,
    Feature,
    FinishReason,
    GeneratedChunk,
    GeneratedText,
    Hypothesis,
    LabelledSequence,
    LabelledStep,
    LabelResult,
    LabelScheme,
    LabelScore,
    LabelSpan,
    Model,
    ModelState,
    ModelVersion,
    ScoreResult,
    Task,
    Timings,
    TokenScore,
    TranslateResult,
    Translation,
    TranslationScore,
)
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models

FINISH_REASONS = {
    inference.FINISH_REASON_STOP: FinishReason.STOP,
    inference.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    inference.FINISH_REASON_DEADLINE: FinishReason.DEADLINE,
}
MODEL_STATES = {
    models.Model.STATE_LOADING: ModelState.LOADING,
    models.Model.STATE_ACTIVE: ModelState.ACTIVE,
    models.Model.STATE_FAILED: ModelState.FAILED,
}
TASKS = {
    models.TASK_CLASSIFICATION: Task.CLASSIFICATION,
    models.TASK_LABELLING: Task.LABELLING,
    models.TASK_GENERATION: Task.GENERATION,
    models.TASK_TRANSLATION: Task.TRANSLATION,
}
LABEL_SCHEMES = {
    models.LABEL_SCHEME_PLAIN: LabelScheme.PLAIN,
    models.LABEL_SCHEME_BIO: LabelScheme.BIO,
}

Readings: TypeAlias = Mapping[str, float | None]
"""The readings of one step by name. None, like leaving it out, means that there is no reading."""

InputSequence: TypeAlias = str | Sequence[str] | Sequence[Readings]
"""A sequence to label: a text that the server splits, words that are taken as they are, or rows of readings."""


def as_texts(texts: str | Sequence[str]) -> Sequence[str]:
    """One text as a list of one; a str is itself a sequence of str, which is never what is meant."""
    return [texts] if isinstance(texts, str) else texts


def on_the_wire(truncation: Truncation | None) -> "inference.Truncation | None":
    """The value of the protocol, whose numbers Truncation shares."""
    return cast("inference.Truncation | None", truncation)


def classify_request(
    model: str, texts: str | Sequence[str], top_label_count: int | None, truncation: Truncation | None = None
) -> inference.ClassifyTextRequest:
    """Request for ClassifyText; None leaves a field unset."""
    return inference.ClassifyTextRequest(
        model=model, texts=as_texts(texts), top_label_count=top_label_count, truncation=on_the_wire(truncation)
    )


def classify_result(response: inference.ClassifyTextResponse) -> ClassifyResult:
    """Answer of ClassifyText."""
    return ClassifyResult(
        model_version=_model_version(response.model_version),
        classifications=tuple(
            Classification(
                labels=_label_scores(classification.labels),
                token_count=classification.token_count,
                truncated=classification.truncated,
            )
            for classification in response.classifications
        ),
        timings=_timings(response.timings),
    )


def label_request(
    model: str, sequences: str | Sequence[InputSequence], top_label_count: int | None, options: LabelOptions
) -> inference.LabelSequenceRequest:
    """Request for LabelSequence; None leaves a field unset.

    Raises:
        TypeError: a sequence is neither a text, nor words, nor rows.
        ValueError: there are state tokens, but not one per sequence.
    """
    given = [sequences] if isinstance(sequences, str) else sequences
    request = inference.LabelSequenceRequest(
        model=model,
        sequences=[input_sequence(one, f"sequences[{index}]") for index, one in enumerate(given)],
        top_label_count=top_label_count,
        include_state_token=options.get("include_state_token", False),
        allow_inexact_state=options.get("allow_inexact_state", False),
        truncation=on_the_wire(options.get("truncation")),
    )
    tokens = options.get("state_tokens") or [None] * len(given)
    if len(tokens) != len(given):
        raise ValueError(f"there are {len(tokens)} state_tokens for {len(given)} sequences, expected one each")
    for sequence, token in zip(request.sequences, tokens, strict=True):
        sequence.state_token = token or b""
    return request


def input_sequence(given: InputSequence, where: str) -> inference.InputSequence:
    """One sequence of LabelSequence; `where` is what to call it.

    Raises:
        TypeError: it is neither a text, nor words, nor rows.
    """
    if isinstance(given, str):
        return inference.InputSequence(text=given)
    if isinstance(given, Mapping):
        raise TypeError(f"{where} is one row of readings; a sequence is a list of rows")
    if all(isinstance(step, str) for step in given):
        return inference.InputSequence(words=cast("Sequence[str]", given))
    if all(isinstance(step, Mapping) for step in given):
        return inference.InputSequence(rows=map(_feature_row, cast("Sequence[Readings]", given)))
    raise TypeError(f"{where} must be a text, a list of words or a list of rows, each a mapping of names to numbers")


def _feature_row(readings: Readings) -> inference.FeatureRow:
    return inference.FeatureRow(features={name: value for name, value in readings.items() if value is not None})


def label_result(response: inference.LabelSequenceResponse) -> LabelResult:
    """Answer of LabelSequence."""
    return LabelResult(
        model_version=_model_version(response.model_version),
        sequences=tuple(map(_labelled_sequence, response.sequences)),
        timings=_timings(response.timings),
    )


def _labelled_sequence(message: inference.LabelledSequence) -> LabelledSequence:
    return LabelledSequence(
        steps=tuple(LabelledStep(_label_scores(step.labels), step.word) for step in message.steps),
        spans=tuple(
            LabelSpan(span.label, span.first_step_index, span.last_step_index, span.score) for span in message.spans
        ),
        token_count=message.token_count,
        state_token=message.state_token or None,
        truncated=message.truncated,
    )


def generate_request(model: str, prompt: str, options: GenerateOptions) -> inference.GenerateTextRequest:
    """Request for GenerateText; None leaves a field unset."""
    return inference.GenerateTextRequest(model=model, prompt=prompt, **options)


def generated_chunk(response: inference.GenerateTextResponse) -> GeneratedChunk:
    """One message of GenerateText. The seed belongs to the first message, which is the one with the model version."""
    first = response.HasField("model_version")
    return GeneratedChunk(
        text=response.text,
        first_token_index=response.first_token_index,
        token_count=response.token_count,
        model_version=_model_version(response.model_version) if first else None,
        seed=response.seed if first else None,
        finish_reason=_finish_reason(response.finish_reason) if response.finish_reason else None,
        timings=_timings(response.timings) if response.HasField("timings") else None,
        sample_index=response.sample_index,
        token_scores=_token_scores(response.token_scores),
        prompt_token_count=response.prompt_token_count if response.HasField("prompt_token_count") else None,
        state_token=response.state_token or None,
        held_back_text=response.held_back_text,
    )


def generated_texts(chunks: Sequence[GeneratedChunk]) -> tuple[GeneratedText, ...]:
    """All chunks of one stream as texts, one per sample.

    Raises:
        InternalError: a chunk that the protocol promises is missing.
    """
    model_version, seed = (chunks[0].model_version, chunks[0].seed) if chunks else (None, None)
    timings = chunks[-1].timings if chunks else None
    if model_version is None or seed is None or timings is None:
        raise _unfinished()
    found = []
    for sample in sorted({chunk.sample_index for chunk in chunks}):
        own = [chunk for chunk in chunks if chunk.sample_index == sample]
        if own[-1].finish_reason is None:
            raise _unfinished()
        text = GeneratedText(
            text="".join(chunk.text for chunk in own),
            token_count=sum(chunk.token_count for chunk in own),
            finish_reason=own[-1].finish_reason,
            model_version=model_version,
            seed=seed,
            timings=timings,
            token_scores=tuple(score for chunk in own for score in chunk.token_scores),
            prompt_token_count=chunks[0].prompt_token_count or 0,
            state_token=own[-1].state_token,
            held_back_text=own[-1].held_back_text,
        )
        found.append(text)
    return tuple(found)


def _unfinished() -> InternalError:
    return InternalError("the server's stream lacks its first or its last message", code=grpc.StatusCode.INTERNAL)


def translate_request(
    model: str, texts: str | Sequence[str], options: TranslateOptions | TranslateManyOptions
) -> inference.TranslateTextRequest:
    """Request for TranslateText; None leaves a field unset."""
    return inference.TranslateTextRequest(model=model, texts=as_texts(texts), **options)


def translate_result(response: inference.TranslateTextResponse) -> TranslateResult:
    """Answer of TranslateText."""
    return TranslateResult(
        model_version=_model_version(response.model_version),
        translations=tuple(map(_translation, response.translations)),
        timings=_timings(response.timings),
        seed=response.seed if response.HasField("seed") else None,
    )


def _translation(message: inference.Translation) -> Translation:
    best = _hypothesis(message)
    return Translation(
        **vars(best),
        source_token_count=message.source_token_count,
        alternatives=tuple(map(_hypothesis, message.alternatives)),
        truncated=message.truncated,
    )


def _hypothesis(message: inference.Translation | inference.Hypothesis) -> Hypothesis:
    return Hypothesis(
        text=message.text,
        token_count=message.token_count,
        finish_reason=_finish_reason(message.finish_reason),
        score=message.score if message.HasField("score") else None,
        token_scores=_token_scores(message.token_scores),
        attention=_attention(message.attention) if message.HasField("attention") else None,
    )


def score_request(model: str, pairs: Iterable[tuple[str, str]]) -> inference.ScoreTranslationRequest:
    """Request for ScoreTranslation."""
    return inference.ScoreTranslationRequest(
        model=model, pairs=[inference.TextPair(source=source, target=target) for source, target in pairs]
    )


def score_result(response: inference.ScoreTranslationResponse) -> ScoreResult:
    """Answer of ScoreTranslation."""
    return ScoreResult(
        model_version=_model_version(response.model_version),
        scores=tuple(
            TranslationScore(score.log_probability, _token_scores(score.token_scores), score.source_token_count)
            for score in response.scores
        ),
        timings=_timings(response.timings),
    )


def model(message: models.Model) -> Model:
    """One version of a model, of ListModels or GetModel."""
    return Model(
        name=message.name,
        version=message.version,
        state=MODEL_STATES.get(message.state, ModelState.OTHER),
        failure=message.failure,
        task=TASKS.get(message.task, Task.OTHER),
        digest=message.digest,
        precision=message.precision,
        provider=message.provider,
        labels=tuple(message.labels),
        max_token_count=message.max_token_count,
        max_output_token_count=message.max_output_token_count,
        source_language=message.source_language,
        target_language=message.target_language,
        has_attention=message.has_attention,
        load_seconds=_seconds(message.load_duration),
        features=tuple(map(_feature, message.features)),
        label_scheme=LABEL_SCHEMES.get(message.label_scheme, LabelScheme.OTHER),
        carries_state=message.carries_state,
        numerics_class=message.numerics_class,
        exact=message.exact,
    )


def _feature(message: models.Feature) -> Feature:
    return Feature(
        name=message.name,
        unit=message.unit,
        imputed_value=message.imputed_value if message.HasField("imputed_value") else None,
    )


def _label_scores(messages: Iterable[inference.LabelScore]) -> tuple[LabelScore, ...]:
    return tuple(LabelScore(score.label, score.probability) for score in messages)


def _token_scores(messages: Iterable[inference.TokenScore]) -> tuple[TokenScore, ...]:
    return tuple(
        TokenScore(
            score.token,
            score.log_probability,
            tuple(TokenScore(other.token, other.log_probability) for other in score.alternatives),
        )
        for score in messages
    )


def _model_version(message: inference.ModelVersion) -> ModelVersion:
    return ModelVersion(message.name, message.version)


def _timings(message: inference.ServerTimings) -> Timings:
    return Timings(
        queue_seconds=_seconds(message.queue_duration),
        compute_seconds=_seconds(message.compute_duration),
        total_seconds=_seconds(message.total_duration),
    )


def _attention(message: inference.Attention) -> Attention:
    return Attention(
        source_tokens=tuple(message.source_tokens),
        target_tokens=tuple(message.target_tokens),
        weights=tuple(tuple(row.weights) for row in message.rows),
    )


def _finish_reason(value: inference.FinishReason) -> FinishReason:
    return FINISH_REASONS.get(value, FinishReason.OTHER)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
