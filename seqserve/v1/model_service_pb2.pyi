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

class LabelScheme(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_SCHEME_UNSPECIFIED: _ClassVar[LabelScheme]
    LABEL_SCHEME_PLAIN: _ClassVar[LabelScheme]
    LABEL_SCHEME_BIO: _ClassVar[LabelScheme]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_CLASSIFICATION: _ClassVar[Task]
    TASK_GENERATION: _ClassVar[Task]
    TASK_TRANSLATION: _ClassVar[Task]
    TASK_LABELLING: _ClassVar[Task]
LABEL_SCHEME_UNSPECIFIED: LabelScheme
LABEL_SCHEME_PLAIN: LabelScheme
LABEL_SCHEME_BIO: LabelScheme
TASK_UNSPECIFIED: Task
TASK_CLASSIFICATION: Task
TASK_GENERATION: Task
TASK_TRANSLATION: Task
TASK_LABELLING: Task

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "state", "failure", "task", "digest", "precision", "provider", "labels", "max_token_count", "max_output_token_count", "source_language", "target_language", "has_attention", "load_duration", "features", "label_scheme", "carries_state", "numerics_class", "exact")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Model.State]
        STATE_LOADING: _ClassVar[Model.State]
        STATE_ACTIVE: _ClassVar[Model.State]
        STATE_FAILED: _ClassVar[Model.State]
    STATE_UNSPECIFIED: Model.State
    STATE_LOADING: Model.State
    STATE_ACTIVE: Model.State
    STATE_FAILED: Model.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    HAS_ATTENTION_FIELD_NUMBER: _ClassVar[int]
    LOAD_DURATION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LABEL_SCHEME_FIELD_NUMBER: _ClassVar[int]
    CARRIES_STATE_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_CLASS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    state: Model.State
    failure: str
    task: Task
    digest: str
    precision: str
    provider: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    max_token_count: int
    max_output_token_count: int
    source_language: str
    target_language: str
    has_attention: bool
    load_duration: _duration_pb2.Duration
    features: _containers.RepeatedCompositeFieldContainer[Feature]
    label_scheme: LabelScheme
    carries_state: bool
    numerics_class: str
    exact: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[Model.State, str]] = ..., failure: _Optional[str] = ..., task: _Optional[_Union[Task, str]] = ..., digest: _Optional[str] = ..., precision: _Optional[str] = ..., provider: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., max_token_count: _Optional[int] = ..., max_output_token_count: _Optional[int] = ..., source_language: _Optional[str] = ..., target_language: _Optional[str] = ..., has_attention: bool = ..., load_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., label_scheme: _Optional[_Union[LabelScheme, str]] = ..., carries_state: bool = ..., numerics_class: _Optional[str] = ..., exact: bool = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("name", "unit", "imputed_value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    IMPUTED_VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    imputed_value: float
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., imputed_value: _Optional[float] = ...) -> None: ...
