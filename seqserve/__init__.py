"""Client of seqserve: recurrent sequence models, served over gRPC.   What is not named here is no promise.

from seqserve import Client

with Client("localhost:50051") as client:
    print(client.translate("sample-en-it", "The black dog jumped over the cat").translations[0].text)
"""

from seqserve.async_client import AsyncClient
from seqserve.client import Client
from seqserve.convert import InputSequence, Readings
from seqserve.credentials import Tls, Token
from seqserve.errors import (
    CallCancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SeqserveError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from seqserve.many.answers import PAUSE, Answer, Pause
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
from seqserve.streams import AsyncGenerationStream, GenerationStream

__all__ = [
    "PAUSE",
    "Answer",
    "AsyncClient",
    "AsyncGenerationStream",
    "Attention",
    "CallCancelledError",
    "Classification",
    "ClassifyResult",
    "Client",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "Feature",
    "FieldViolation",
    "FinishReason",
    "GenerateOptions",
    "GeneratedChunk",
    "GeneratedText",
    "GenerationStream",
    "Hypothesis",
    "InputSequence",
    "InternalError",
    "InvalidArgumentError",
    "LabelOptions",
    "LabelResult",
    "LabelScheme",
    "LabelScore",
    "LabelSpan",
    "LabelledSequence",
    "LabelledStep",
    "Model",
    "ModelState",
    "ModelVersion",
    "NotFoundError",
    "Pause",
    "PermissionDeniedError",
    "Readings",
    "ResourceExhaustedError",
    "ScoreResult",
    "SeqserveError",
    "Task",
    "Timings",
    "Tls",
    "Token",
    "TokenScore",
    "TranslateManyOptions",
    "TranslateOptions",
    "TranslateResult",
    "Translation",
    "TranslationScore",
    "Truncation",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
]
