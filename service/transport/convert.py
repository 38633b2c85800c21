"""Request messages into checked plain values, and results into messages.   Knows ranges; knows no model."""

import base64
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf import duration_pb2

from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from service.engine.sampling import Sampling
from service.errors import InvalidArgumentError
from service.serving.api import Classification, ClassifyResult, FinishReason, LabelScore, ModelInfo, Timings, TokenScore
from service.serving.options import NEED_TEMPERATURE
from service.serving.truncation import Truncation
from service.settings import MOST_TEXTS_PER_REQUEST

MOST_MODEL_CHARACTERS = 200
MOST_TEMPERATURE = 100.0
DEFAULT_PAGE_SIZE = 100
MOST_PAGE_SIZE = 1000
SEED_BITS = 63

FINISH_REASON = {
    FinishReason.STOP: inference.FINISH_REASON_STOP,
    FinishReason.LENGTH: inference.FINISH_REASON_LENGTH,
    FinishReason.DEADLINE: inference.FINISH_REASON_DEADLINE,
}
_TRUNCATION = {
    inference.TRUNCATION_UNSPECIFIED: Truncation.REFUSE,
    inference.TRUNCATION_REFUSE: Truncation.REFUSE,
    inference.TRUNCATION_KEEP_BEGINNING: Truncation.KEEP_BEGINNING,
    inference.TRUNCATION_KEEP_END: Truncation.KEEP_END,
}
_TASK = {
    None: models.TASK_UNSPECIFIED,
    "classification": models.TASK_CLASSIFICATION,
    "labelling": models.TASK_LABELLING,
    "generation": models.TASK_GENERATION,
    "translation": models.TASK_TRANSLATION,
}
_LABEL_SCHEME = {
    None: models.LABEL_SCHEME_UNSPECIFIED,
    "plain": models.LABEL_SCHEME_PLAIN,
    "bio": models.LABEL_SCHEME_BIO,
}
_STATE = {
    "loading": models.Model.STATE_LOADING,
    "active": models.Model.STATE_ACTIVE,
    "failed": models.Model.STATE_FAILED,
}


@dataclass(frozen=True)
class ClassifyCall:
    """A checked ClassifyTextRequest. `top_label_count` None means all labels."""

    model: str
    texts: tuple[str, ...]
    top_label_count: int | None
    truncation: Truncation = Truncation.REFUSE


def to_classify_call(request: inference.ClassifyTextRequest) -> ClassifyCall:
    """Check a request; InvalidArgumentError names the field at fault."""
    return ClassifyCall(
        model=checked_model(request.model),
        texts=checked_texts(request.texts, MOST_TEXTS_PER_REQUEST),
        top_label_count=checked_top_label_count(request),
        truncation=checked_truncation(request),
    )


def to_model_reference(request: models.GetModelRequest) -> str:
    """Check a request; InvalidArgumentError names the field at fault."""
    return checked_model(request.model)


def to_page(request: models.ListModelsRequest, known: Sequence[ModelInfo]) -> models.ListModelsResponse:
    """Cut the page that a request asks for out of all models, which are in order of name and version.

    A token names the last model of the page before, so models that come and go between two calls shift nothing.
    """
    if request.page_size < 0:
        raise refused("page_size", request.page_size, "0 or more")
    size = min(request.page_size or DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE)
    after = _read_page_token(request.page_token)
    rest = [info for info in known if (info.name, info.version) > after]
    token = _page_token(rest[size - 1]) if len(rest) > size else ""
    return models.ListModelsResponse(models=[to_model(info) for info in rest[:size]], next_page_token=token)


def to_classify_response(result: ClassifyResult, top_label_count: int | None) -> inference.ClassifyTextResponse:
    """Write a result, the best `top_label_count` labels of each text."""
    return inference.ClassifyTextResponse(
        model_version=to_model_version(result),
        classifications=[_classification(found, top_label_count) for found in result.classifications],
        timings=to_timings(result.timings),
    )


def to_model(info: ModelInfo) -> models.Model:
    """Write what is known of one version."""
    return models.Model(
        name=info.name,
        version=info.version,
        state=_STATE[info.state],
        failure=info.failure,
        task=_TASK[info.task],
        digest=info.digest,
        precision=info.precision,
        provider=info.provider,
        labels=info.labels,
        max_token_count=info.max_token_count,
        max_output_token_count=info.max_output_token_count,
        source_language=info.source_language,
        target_language=info.target_language,
        has_attention=info.has_attention,
        load_duration=_duration(info.load_seconds),
        features=[
            models.Feature(name=feature.name, unit=feature.unit, imputed_value=feature.imputed_value)
            for feature in info.features
        ],
        label_scheme=_LABEL_SCHEME[info.label_scheme],
        carries_state=info.carries_state,
        numerics_class=info.numerics_class,
        exact=info.exact,
    )


def refused(field: str, value: object, expected: str, **facts: object) -> InvalidArgumentError:
    """The error of a field whose value is not what is expected."""
    return InvalidArgumentError(f"{field} is {value}, expected {expected}", field=field, value=value, **facts)


def checked_model(reference: str) -> str:
    """A model's name, as `name` or `name@version`, that may be looked up."""
    if not reference.strip():
        raise InvalidArgumentError("model is blank, expected `name` or `name@version`", field="model")
    if len(reference) > MOST_MODEL_CHARACTERS:
        raise InvalidArgumentError(
            f"model has {len(reference)} characters, at most {MOST_MODEL_CHARACTERS} are allowed",
            field="model",
            character_count=len(reference),
            limit=MOST_MODEL_CHARACTERS,
        )
    return reference


def checked_texts(texts: Sequence[str], most: int) -> tuple[str, ...]:
    """1 to `most` texts, none of them blank."""
    if not 1 <= len(texts) <= most:
        raise InvalidArgumentError(
            f"texts has {len(texts)} entries, expected 1 to {most}", field="texts", text_count=len(texts), limit=most
        )
    return tuple(checked_text(text, f"texts[{index}]") for index, text in enumerate(texts))


def checked_text(text: str, field: str) -> str:
    """A text that is not blank."""
    if not text.strip():
        raise InvalidArgumentError(f"{field} is blank", field=field)
    return text


def checked_top_label_count(request: inference.ClassifyTextRequest | inference.LabelSequenceRequest) -> int | None:
    """Labels to return, 1 or more; None where the request does not say."""
    return _count("top_label_count", request.top_label_count) if request.HasField("top_label_count") else None


def checked_output_count(request: inference.GenerateTextRequest | inference.TranslateTextRequest) -> int | None:
    """Most tokens to produce, 1 or more; None where the request does not say."""
    if not request.HasField("max_output_token_count"):
        return None
    return _count("max_output_token_count", request.max_output_token_count)


def checked_number(field: str, value: float, least: float, most: float) -> float:
    """A number from `least` to `most`."""
    if math.isnan(value) or not least <= value <= most:
        raise refused(field, value, f"{least:g} to {most:g}", limit=f"{most:g}")
    return value


def checked_positive(field: str, value: float, most: float) -> float:
    """A number above 0, and at most `most`."""
    if math.isnan(value) or not 0 < value <= most:
        raise refused(field, value, f"above 0 and at most {most:g}", limit=f"{most:g}")
    return value


def checked_integer(field: str, value: int, least: int, most: int) -> int:
    """An integer from `least` to `most`."""
    if not least <= value <= most:
        raise refused(field, value, f"{least} to {most}", limit=most)
    return value


def checked_truncation(
    request: inference.ClassifyTextRequest | inference.LabelSequenceRequest | inference.TranslateTextRequest,
) -> Truncation:
    """What becomes of inputs that are too long."""
    truncation = _TRUNCATION.get(request.truncation)
    if truncation is None:
        raise refused("truncation", request.truncation, f"one of {', '.join(inference.Truncation.keys())}")
    return truncation


def checked_sampling(
    request: inference.GenerateTextRequest | inference.TranslateTextRequest, *, temperature: float
) -> Sampling:
    """How tokens are sampled; `temperature` where the request does not say. Without a seed, one is drawn."""
    given = request.HasField
    return Sampling(
        temperature=checked_number("temperature", request.temperature, 0, MOST_TEMPERATURE)
        if given("temperature")
        else temperature,
        top_k=_count("top_k", request.top_k) if given("top_k") else 0,
        top_p=checked_positive("top_p", request.top_p, 1) if given("top_p") else 1.0,
        min_p=checked_number("min_p", request.min_p, 0, 1) if given("min_p") else 0.0,
        seed=_seed(request.seed) if given("seed") else secrets.randbits(SEED_BITS),
    )


def refuse_sampling(request: inference.GenerateTextRequest | inference.TranslateTextRequest) -> None:
    """Refuse what means something to sampling alone, in a request that does not sample."""
    for field in NEED_TEMPERATURE:
        if request.HasField(field):
            raise InvalidArgumentError(f"{field} samples, which needs a temperature above 0", field=field)


def _count(field: str, value: int) -> int:
    if value < 1:
        raise refused(field, value, "1 or more")
    return value


def _seed(value: int) -> int:
    if value < 0:
        raise refused("seed", value, "0 to 2^63 - 1")
    return value


def _page_token(last: ModelInfo) -> str:
    return base64.urlsafe_b64encode(f"{last.name}@{last.version}".encode()).decode()


def _read_page_token(token: str) -> tuple[str, int]:
    """The name and version after which the page starts; what sorts before everything for an empty token."""
    if not token:
        return "", 0
    try:
        name, version = base64.b64decode(token, altchars=b"-_", validate=True).decode().rsplit("@", 1)
        return name, int(version)
    except ValueError as error:  # binascii.Error and UnicodeDecodeError are among them
        raise InvalidArgumentError("page_token is none that this server gave out", field="page_token") from error


def _classification(found: Classification, top_label_count: int | None) -> inference.Classification:
    return inference.Classification(
        labels=to_label_scores(found.labels[:top_label_count]),
        token_count=found.token_count,
        truncated=found.truncated,
    )


def to_label_scores(scores: Sequence[LabelScore]) -> list[inference.LabelScore]:
    """Write labels with their probabilities."""
    return [inference.LabelScore(label=score.label, probability=score.probability) for score in scores]


class Answer(Protocol):
    """What every answer tells."""

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    @property
    def version(self) -> int:
        """Its version."""
        ...


def to_model_version(answer: Answer) -> inference.ModelVersion:
    """Write which model answered."""
    return inference.ModelVersion(name=answer.model, version=answer.version)


def to_token_scores(scores: Sequence[TokenScore]) -> list[inference.TokenScore]:
    """Write what a model thought of tokens."""
    return [
        inference.TokenScore(
            token=score.token,
            log_probability=score.log_probability,
            alternatives=[
                inference.TokenAlternative(token=other.token, log_probability=other.log_probability)
                for other in score.alternatives
            ],
        )
        for score in scores
    ]


def to_timings(timings: Timings) -> inference.ServerTimings:
    """Write timings."""
    return inference.ServerTimings(
        queue_duration=_duration(timings.queue_seconds),
        compute_duration=_duration(timings.compute_seconds),
        total_duration=_duration(timings.total_seconds),
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return duration_pb2.Duration(seconds=whole, nanos=nanos)
