"""Client of seqserve: recurrent sequence models, served over gRPC.   What is not named here is no promise.

from seqserve import Client

with Client("localhost:50051") as client:
    print(client.translate("sample-en-it", "The black dog jumped over the cat").translations[0].text)
"""

from seqserve.async_client import AsyncClient, AsyncGenerationStream
from seqserve.client import Client, GenerationStream
from seqserve.convert import GenerateOptions, InputSequence, Readings
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
from seqserve.results import (
    Attention,
    Classification,
    ClassifyResult,
    Feature,
    FinishReason,
    GeneratedChunk,
    GeneratedText,
    LabelledSequence,
    LabelledStep,
    LabelResult,
    LabelScheme,
    LabelScore,
    LabelSpan,
    Model,
    ModelState,
    ModelVersion,
    Task,
    Timings,
    TranslateResult,
    Translation,
)

__all__ = [
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
    "InputSequence",
    "InternalError",
    "InvalidArgumentError",
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
    "PermissionDeniedError",
    "Readings",
    "ResourceExhaustedError",
    "SeqserveError",
    "Task",
    "Timings",
    "TranslateResult",
    "Translation",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
]
