"""Sends bytes to both APIs and judges what comes back: a documented status with its reason, or whole replies."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc
import numpy as np
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from service.transport.open_inference.v2 import grpc_service_pb2 as open_inference
from service.transport.status import CODE_BY_ERROR
from tests.e2e.calls import CLASSIFIER, FORECASTER, GENERATOR, TAGGER, TRANSLATOR, Refusal, refusal_of
from tests.infer_messages import infer_request

MODELS = (CLASSIFIER, TAGGER, FORECASTER, GENERATOR, TRANSLATOR)
METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (inference.DESCRIPTOR, models.DESCRIPTOR, open_inference.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
REASONS = {error.reason for error, code in CODE_BY_ERROR.items() if code in REFUSALS}
LONGEST_SECONDS = 20.0

DAY = {"temperature": 12.0, "humidity": 80.0, "wind": 3.0}

GOOD_REQUESTS: tuple[Message, ...] = (
    inference.ClassifyTextRequest(model=CLASSIFIER, texts=["a good film", "a bad film"]),
    inference.LabelSequenceRequest(model=TAGGER, sequences=[{"text": "Mary Smith lives in Rome"}]),
    inference.LabelSequenceRequest(model=FORECASTER, sequences=[{"rows": [{"features": DAY}] * 2}]),
    inference.GenerateTextRequest(
        model=GENERATOR, prompt="X:1", seed=1, max_output_token_count=20, include_token_scores=True
    ),
    inference.TranslateTextRequest(model=TRANSLATOR, texts=["The black dog"], beam_size=3, include_attention=True),
    inference.ScoreTranslationRequest(model=TRANSLATOR, pairs=[{"source": "The cat", "target": "Il gatto"}]),
    infer_request(CLASSIFIER, {"texts": ["a good film", "a bad film"]}, request_id="1"),
    infer_request(TAGGER, {"token_ids": np.array([[4, 5], [6, 0]]), "lengths": np.array([2, 1])}, {"logits": None}),
    infer_request(FORECASTER, {"features": np.array([[list(DAY.values())] * 2])}, top_label_count=1),
    infer_request(TRANSLATOR, {"texts": ["The black dog"]}, beam_size=3, hypothesis_count=2),
)
GOOD_METHODS = {
    request.DESCRIPTOR: f"/seqserve.v1.InferenceService/{request.DESCRIPTOR.name.removesuffix('Request')}"
    for request in GOOD_REQUESTS
} | {open_inference.ModelInferRequest.DESCRIPTOR: "/inference.GRPCInferenceService/ModelInfer"}


def exchange(channel: grpc.Channel, method: str, request: bytes) -> tuple[bytes, ...] | Refusal:
    """Send bytes as they are, to a method by its path; what it replies, or how it refuses."""
    call = channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        return tuple(call(request, timeout=LONGEST_SECONDS))
    except grpc.RpcError as error:
        return refusal_of(error)


def judge(method: str, answer: tuple[bytes, ...] | Refusal) -> None:
    """Fail unless a call ended as documented: with whole replies, or refused for a reason that is the caller's."""
    if isinstance(answer, Refusal):
        assert answer.code in REFUSALS, answer
        assert answer.reason in REASONS, answer
    else:
        assert answer, method
        for reply in answer:
            _read(method, reply)


def good_answers(channel: grpc.Channel) -> list[bytes]:
    """What the good requests are answered with, without the times: always the same bytes."""
    found = []
    for request in GOOD_REQUESTS:
        method = GOOD_METHODS[request.DESCRIPTOR]
        answer = exchange(channel, method, request.SerializeToString())
        assert not isinstance(answer, Refusal), answer
        found.append(_joined([_read(method, reply) for reply in answer]).SerializeToString(deterministic=True))
    return found


def _read(method: str, reply: bytes) -> Message:
    return GetMessageClass(METHODS[method].output_type).FromString(reply)


def _joined(answers: Sequence[Any]) -> Message:
    """Chunks as one, since where they are cut is a matter of time; without the times."""
    whole = answers[0]
    for chunk in answers[1:]:
        text, count = whole.text + chunk.text, whole.token_count + chunk.token_count
        whole.MergeFrom(chunk)
        whole.text, whole.token_count, whole.first_token_index = text, count, 0
    whole.ClearField("parameters" if isinstance(whole, open_inference.ModelInferResponse) else "timings")
    return cast("Message", whole)
