# mypy: disable-error-code=type-arg
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Truncation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUNCATION_UNSPECIFIED: _ClassVar[Truncation]
    TRUNCATION_REFUSE: _ClassVar[Truncation]
    TRUNCATION_KEEP_BEGINNING: _ClassVar[Truncation]
    TRUNCATION_KEEP_END: _ClassVar[Truncation]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_DEADLINE: _ClassVar[FinishReason]
TRUNCATION_UNSPECIFIED: Truncation
TRUNCATION_REFUSE: Truncation
TRUNCATION_KEEP_BEGINNING: Truncation
TRUNCATION_KEEP_END: Truncation
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_DEADLINE: FinishReason

class ClassifyTextRequest(_message.Message):
    __slots__ = ("model", "texts", "top_label_count", "truncation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TOP_LABEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    top_label_count: int
    truncation: Truncation
    def __init__(self, model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., top_label_count: _Optional[int] = ..., truncation: _Optional[_Union[Truncation, str]] = ...) -> None: ...

class ClassifyTextResponse(_message.Message):
    __slots__ = ("model_version", "classifications", "timings")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    classifications: _containers.RepeatedCompositeFieldContainer[Classification]
    timings: ServerTimings
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., classifications: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ..., timings: _Optional[_Union[ServerTimings, _Mapping]] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("labels", "token_count", "truncated")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[LabelScore]
    token_count: int
    truncated: bool
    def __init__(self, labels: _Optional[_Iterable[_Union[LabelScore, _Mapping]]] = ..., token_count: _Optional[int] = ..., truncated: bool = ...) -> None: ...

class LabelScore(_message.Message):
    __slots__ = ("label", "probability")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class LabelSequenceRequest(_message.Message):
    __slots__ = ("model", "sequences", "top_label_count", "include_state_token", "allow_inexact_state", "truncation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    TOP_LABEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_STATE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ALLOW_INEXACT_STATE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequences: _containers.RepeatedCompositeFieldContainer[InputSequence]
    top_label_count: int
    include_state_token: bool
    allow_inexact_state: bool
    truncation: Truncation
    def __init__(self, model: _Optional[str] = ..., sequences: _Optional[_Iterable[_Union[InputSequence, _Mapping]]] = ..., top_label_count: _Optional[int] = ..., include_state_token: bool = ..., allow_inexact_state: bool = ..., truncation: _Optional[_Union[Truncation, str]] = ...) -> None: ...

class InputSequence(_message.Message):
    __slots__ = ("text", "words", "rows", "state_token")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    STATE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    text: str
    words: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[FeatureRow]
    state_token: bytes
    def __init__(self, text: _Optional[str] = ..., words: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[FeatureRow, _Mapping]]] = ..., state_token: _Optional[bytes] = ...) -> None: ...

class FeatureRow(_message.Message):
    __slots__ = ("features",)
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    features: _containers.ScalarMap[str, float]
    def __init__(self, features: _Optional[_Mapping[str, float]] = ...) -> None: ...

class LabelSequenceResponse(_message.Message):
    __slots__ = ("model_version", "sequences", "timings")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    sequences: _containers.RepeatedCompositeFieldContainer[LabelledSequence]
    timings: ServerTimings
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., sequences: _Optional[_Iterable[_Union[LabelledSequence, _Mapping]]] = ..., timings: _Optional[_Union[ServerTimings, _Mapping]] = ...) -> None: ...

class LabelledSequence(_message.Message):
    __slots__ = ("steps", "spans", "token_count", "state_token", "truncated")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[LabelledStep]
    spans: _containers.RepeatedCompositeFieldContainer[LabelSpan]
    token_count: int
    state_token: bytes
    truncated: bool
    def __init__(self, steps: _Optional[_Iterable[_Union[LabelledStep, _Mapping]]] = ..., spans: _Optional[_Iterable[_Union[LabelSpan, _Mapping]]] = ..., token_count: _Optional[int] = ..., state_token: _Optional[bytes] = ..., truncated: bool = ...) -> None: ...

class LabelledStep(_message.Message):
    __slots__ = ("labels", "word")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[LabelScore]
    word: str
    def __init__(self, labels: _Optional[_Iterable[_Union[LabelScore, _Mapping]]] = ..., word: _Optional[str] = ...) -> None: ...

class LabelSpan(_message.Message):
    __slots__ = ("label", "first_step_index", "last_step_index", "score")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FIRST_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    label: str
    first_step_index: int
    last_step_index: int
    score: float
    def __init__(self, label: _Optional[str] = ..., first_step_index: _Optional[int] = ..., last_step_index: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class GenerateTextRequest(_message.Message):
    __slots__ = ("model", "prompt", "max_output_token_count", "temperature", "top_k", "top_p", "seed", "min_p", "min_output_token_count", "repetition_penalty", "no_repeat_ngram_size", "banned_tokens", "token_biases", "stop_sequences", "sample_count", "include_token_scores", "alternative_count", "echo", "allow_partial", "include_state_token", "state_token_interval", "state_token", "allow_inexact_state")
    class TokenBiasesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    MIN_OUTPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    NO_REPEAT_NGRAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    BANNED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BIASES_FIELD_NUMBER: _ClassVar[int]
    STOP_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ECHO_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_STATE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_TOKEN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    STATE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ALLOW_INEXACT_STATE_FIELD_NUMBER: _ClassVar[int]
    model: str
    prompt: str
    max_output_token_count: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    min_p: float
    min_output_token_count: int
    repetition_penalty: float
    no_repeat_ngram_size: int
    banned_tokens: _containers.RepeatedScalarFieldContainer[str]
    token_biases: _containers.ScalarMap[str, float]
    stop_sequences: _containers.RepeatedScalarFieldContainer[str]
    sample_count: int
    include_token_scores: bool
    alternative_count: int
    echo: bool
    allow_partial: bool
    include_state_token: bool
    state_token_interval: int
    state_token: bytes
    allow_inexact_state: bool
    def __init__(self, model: _Optional[str] = ..., prompt: _Optional[str] = ..., max_output_token_count: _Optional[int] = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., min_p: _Optional[float] = ..., min_output_token_count: _Optional[int] = ..., repetition_penalty: _Optional[float] = ..., no_repeat_ngram_size: _Optional[int] = ..., banned_tokens: _Optional[_Iterable[str]] = ..., token_biases: _Optional[_Mapping[str, float]] = ..., stop_sequences: _Optional[_Iterable[str]] = ..., sample_count: _Optional[int] = ..., include_token_scores: bool = ..., alternative_count: _Optional[int] = ..., echo: bool = ..., allow_partial: bool = ..., include_state_token: bool = ..., state_token_interval: _Optional[int] = ..., state_token: _Optional[bytes] = ..., allow_inexact_state: bool = ...) -> None: ...

class GenerateTextResponse(_message.Message):
    __slots__ = ("text", "first_token_index", "token_count", "finish_reason", "model_version", "seed", "timings", "sample_index", "token_scores", "prompt_token_count", "state_token", "held_back_text")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    first_token_index: int
    token_count: int
    finish_reason: FinishReason
    model_version: ModelVersion
    seed: int
    timings: ServerTimings
    sample_index: int
    token_scores: _containers.RepeatedCompositeFieldContainer[TokenScore]
    prompt_token_count: int
    state_token: bytes
    held_back_text: str
    def __init__(self, text: _Optional[str] = ..., first_token_index: _Optional[int] = ..., token_count: _Optional[int] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., seed: _Optional[int] = ..., timings: _Optional[_Union[ServerTimings, _Mapping]] = ..., sample_index: _Optional[int] = ..., token_scores: _Optional[_Iterable[_Union[TokenScore, _Mapping]]] = ..., prompt_token_count: _Optional[int] = ..., state_token: _Optional[bytes] = ..., held_back_text: _Optional[str] = ...) -> None: ...

class TranslateTextRequest(_message.Message):
    __slots__ = ("model", "texts", "max_output_token_count", "include_attention", "beam_size", "hypothesis_count", "length_penalty", "coverage_penalty", "target_prefixes", "max_length_factor", "replace_unknowns", "include_token_scores", "temperature", "top_k", "top_p", "min_p", "seed", "allow_partial", "truncation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ATTENTION_FIELD_NUMBER: _ClassVar[int]
    BEAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_COUNT_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    TARGET_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FACTOR_FIELD_NUMBER: _ClassVar[int]
    REPLACE_UNKNOWNS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    max_output_token_count: int
    include_attention: bool
    beam_size: int
    hypothesis_count: int
    length_penalty: float
    coverage_penalty: float
    target_prefixes: _containers.RepeatedScalarFieldContainer[str]
    max_length_factor: float
    replace_unknowns: bool
    include_token_scores: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    allow_partial: bool
    truncation: Truncation
    def __init__(self, model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., max_output_token_count: _Optional[int] = ..., include_attention: bool = ..., beam_size: _Optional[int] = ..., hypothesis_count: _Optional[int] = ..., length_penalty: _Optional[float] = ..., coverage_penalty: _Optional[float] = ..., target_prefixes: _Optional[_Iterable[str]] = ..., max_length_factor: _Optional[float] = ..., replace_unknowns: bool = ..., include_token_scores: bool = ..., temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., min_p: _Optional[float] = ..., seed: _Optional[int] = ..., allow_partial: bool = ..., truncation: _Optional[_Union[Truncation, str]] = ...) -> None: ...

class TranslateTextResponse(_message.Message):
    __slots__ = ("model_version", "translations", "timings", "seed")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRANSLATIONS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    translations: _containers.RepeatedCompositeFieldContainer[Translation]
    timings: ServerTimings
    seed: int
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., translations: _Optional[_Iterable[_Union[Translation, _Mapping]]] = ..., timings: _Optional[_Union[ServerTimings, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class Translation(_message.Message):
    __slots__ = ("text", "source_token_count", "token_count", "finish_reason", "attention", "score", "token_scores", "alternatives", "truncated")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    text: str
    source_token_count: int
    token_count: int
    finish_reason: FinishReason
    attention: Attention
    score: float
    token_scores: _containers.RepeatedCompositeFieldContainer[TokenScore]
    alternatives: _containers.RepeatedCompositeFieldContainer[Hypothesis]
    truncated: bool
    def __init__(self, text: _Optional[str] = ..., source_token_count: _Optional[int] = ..., token_count: _Optional[int] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., attention: _Optional[_Union[Attention, _Mapping]] = ..., score: _Optional[float] = ..., token_scores: _Optional[_Iterable[_Union[TokenScore, _Mapping]]] = ..., alternatives: _Optional[_Iterable[_Union[Hypothesis, _Mapping]]] = ..., truncated: bool = ...) -> None: ...

class Hypothesis(_message.Message):
    __slots__ = ("text", "token_count", "finish_reason", "score", "token_scores", "attention")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    text: str
    token_count: int
    finish_reason: FinishReason
    score: float
    token_scores: _containers.RepeatedCompositeFieldContainer[TokenScore]
    attention: Attention
    def __init__(self, text: _Optional[str] = ..., token_count: _Optional[int] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., score: _Optional[float] = ..., token_scores: _Optional[_Iterable[_Union[TokenScore, _Mapping]]] = ..., attention: _Optional[_Union[Attention, _Mapping]] = ...) -> None: ...

class TokenScore(_message.Message):
    __slots__ = ("token", "log_probability", "alternatives")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    token: str
    log_probability: float
    alternatives: _containers.RepeatedCompositeFieldContainer[TokenAlternative]
    def __init__(self, token: _Optional[str] = ..., log_probability: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[TokenAlternative, _Mapping]]] = ...) -> None: ...

class TokenAlternative(_message.Message):
    __slots__ = ("token", "log_probability")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    token: str
    log_probability: float
    def __init__(self, token: _Optional[str] = ..., log_probability: _Optional[float] = ...) -> None: ...

class ScoreTranslationRequest(_message.Message):
    __slots__ = ("model", "pairs")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    model: str
    pairs: _containers.RepeatedCompositeFieldContainer[TextPair]
    def __init__(self, model: _Optional[str] = ..., pairs: _Optional[_Iterable[_Union[TextPair, _Mapping]]] = ...) -> None: ...

class TextPair(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class ScoreTranslationResponse(_message.Message):
    __slots__ = ("model_version", "scores", "timings")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    model_version: ModelVersion
    scores: _containers.RepeatedCompositeFieldContainer[TranslationScore]
    timings: ServerTimings
    def __init__(self, model_version: _Optional[_Union[ModelVersion, _Mapping]] = ..., scores: _Optional[_Iterable[_Union[TranslationScore, _Mapping]]] = ..., timings: _Optional[_Union[ServerTimings, _Mapping]] = ...) -> None: ...

class TranslationScore(_message.Message):
    __slots__ = ("log_probability", "token_scores", "source_token_count")
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    log_probability: float
    token_scores: _containers.RepeatedCompositeFieldContainer[TokenScore]
    source_token_count: int
    def __init__(self, log_probability: _Optional[float] = ..., token_scores: _Optional[_Iterable[_Union[TokenScore, _Mapping]]] = ..., source_token_count: _Optional[int] = ...) -> None: ...

class Attention(_message.Message):
    __slots__ = ("source_tokens", "target_tokens", "rows")
    SOURCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TARGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    source_tokens: _containers.RepeatedScalarFieldContainer[str]
    target_tokens: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[AttentionRow]
    def __init__(self, source_tokens: _Optional[_Iterable[str]] = ..., target_tokens: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[AttentionRow, _Mapping]]] = ...) -> None: ...

class AttentionRow(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, weights: _Optional[_Iterable[float]] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ServerTimings(_message.Message):
    __slots__ = ("queue_duration", "compute_duration", "total_duration")
    QUEUE_DURATION_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_DURATION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DURATION_FIELD_NUMBER: _ClassVar[int]
    queue_duration: _duration_pb2.Duration
    compute_duration: _duration_pb2.Duration
    total_duration: _duration_pb2.Duration
    def __init__(self, queue_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., compute_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
