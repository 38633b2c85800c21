"""ModelInfer requests into checked calls: which model, which way in, which outputs.   Knows no queue; runs nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from seqserve.v1 import inference_service_pb2 as own
from service.errors import InvalidArgumentError, ModelNotFoundError, ModelNotReadyError
from service.serving.api import InferenceFront, ModelInfo
from service.serving.sequences import FeatureTable, InputSequence, TokenIds
from service.transport.convert import checked_model, checked_texts, checked_top_label_count
from service.transport.convert_generation import GenerateCall, to_generate_call
from service.transport.convert_translations import TranslateCall, to_translate_call
from service.transport.open_inference.infer.parameters import (
    GENERATION_PARAMETERS,
    LABEL_PARAMETERS,
    TRANSLATION_PARAMETERS,
    set_parameters,
    timeout_seconds,
    top_count,
)
from service.transport.open_inference.infer.tensors import Array, Inputs, check_output_names, read_inputs, shown
from service.transport.open_inference.signature import Signature, signature_of
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

_VERSION = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class LogitsCall:
    """What a classifier or labeller is asked: sequences in any form, and how many labels to rank. None: all."""

    sequences: tuple[InputSequence, ...]
    top_label_count: int | None


@dataclass(frozen=True)
class InferCall:
    """A checked ModelInferRequest.

    Args:
        info: the version that answers.
        signature: its tensors.
        call: what it is asked, as the own API would ask it.
        outputs: names of the outputs to give, in order.
        top_counts: by output, how many classes it is to be given as.
        timeout_seconds: the time that it may take, where the request says so.
    """

    info: ModelInfo
    signature: Signature
    call: LogitsCall | GenerateCall | TranslateCall
    outputs: tuple[str, ...]
    top_counts: dict[str, int]
    timeout_seconds: float | None

    @property
    def reference(self) -> str:
        """The version that answers, as the front takes it."""
        return f"{self.info.name}@{self.info.version}"


def known_model(front: InferenceFront, name: str, version: str, field: str) -> ModelInfo:
    """The version that a request means: the newest ready one, or the newest, where it names none.

    Args:
        front: knows them.
        name: of the model.
        version: decimal, or empty.
        field: what the protocol calls the name, for errors.

    Raises:
        InvalidArgumentError: the name is blank or too long, or the version no number.
        ModelNotFoundError: there is none.
    """
    checked_model(name)
    if version and not _VERSION.fullmatch(version):
        raise InvalidArgumentError(
            f"the version of the model is {shown(version)}, expected a decimal number or nothing",
            field=field.replace("name", "version"),
        )
    if "@" in name:  # the own API's way to name a version, and nobody's name
        raise ModelNotFoundError(f"no model is called {shown(name)}", field=field)
    return front.get_model(f"{name}@{int(version)}" if version else name)


def ready_model(front: InferenceFront, name: str, version: str, field: str) -> ModelInfo:
    """As `known_model`, of one that answers.

    Raises:
        ModelNotReadyError: it does not.
    """
    info = known_model(front, name, version, field)
    if info.state != "active":
        why = f": {info.failure}" if info.failure else ""
        raise ModelNotReadyError(
            f"model {info.name}@{info.version} is not at ready state, it is {info.state}{why}",
            field=field,
            model=info.name,
            version=info.version,
        )
    return info


def to_infer_call(front: InferenceFront, request: protocol.ModelInferRequest) -> InferCall:
    """Check a request; errors name the field at fault."""
    info = ready_model(front, request.model_name, request.model_version, "model_name")
    signature = signature_of(info)
    check_output_names(request, signature)
    inputs = read_inputs(request, signature)
    outputs = tuple(wanted.name for wanted in request.outputs) or tuple(one.name for one in signature.outputs)
    return InferCall(
        info,
        signature,
        _task_call(request, info, inputs, outputs),
        outputs,
        _top_counts(request, info),
        timeout_seconds(request.parameters),
    )


def _task_call(
    request: protocol.ModelInferRequest, info: ModelInfo, inputs: Inputs, outputs: Sequence[str]
) -> LogitsCall | GenerateCall | TranslateCall:
    if info.task == "generation":
        return _generate_call(request, inputs)
    if info.task == "translation":
        return _translate_call(request, inputs, outputs)
    return _logits_call(request, inputs)


def _generate_call(request: protocol.ModelInferRequest, inputs: Inputs) -> GenerateCall:
    if inputs.batch_size != 1:
        raise InvalidArgumentError("prompt is an empty batch, expected one prompt", field="inputs[0].shape")
    message = own.GenerateTextRequest(model=request.model_name, prompt=inputs.texts["prompt"][0])
    set_parameters(message, request.parameters, GENERATION_PARAMETERS)
    return to_generate_call(message)


def _translate_call(request: protocol.ModelInferRequest, inputs: Inputs, outputs: Sequence[str]) -> TranslateCall:
    message = own.TranslateTextRequest(
        model=request.model_name,
        texts=inputs.texts["texts"],
        target_prefixes=inputs.texts.get("target_prefixes", ()),
        include_token_scores="scores" in outputs,  # without it, a single hypothesis has no score
    )
    set_parameters(message, request.parameters, TRANSLATION_PARAMETERS)
    return to_translate_call(message)


def _logits_call(request: protocol.ModelInferRequest, inputs: Inputs) -> LogitsCall:
    message = own.ClassifyTextRequest()
    set_parameters(message, request.parameters, LABEL_PARAMETERS)
    top = checked_top_label_count(message)
    ways = [name for name in ("texts", "token_ids", "features") if name in inputs]
    if len(ways) != 1:
        found = " and ".join(ways) or "none of them"
        raise InvalidArgumentError(f"inputs have {found}, expected one of texts, token_ids, features", field="inputs")
    if inputs.batch_size == 0:
        raise InvalidArgumentError(f"{ways[0]} is an empty batch, expected 1 sequence or more", field="inputs[0].shape")
    if ways == ["texts"]:
        if "lengths" in inputs:
            raise InvalidArgumentError("lengths belong to token_ids, texts have none", field="inputs")
        texts = inputs.texts["texts"]
        return LogitsCall(checked_texts(texts, len(texts)), top)
    rows = _cut(inputs.arrays[ways[0]], inputs.arrays.get("lengths"))
    kind = TokenIds if ways == ["token_ids"] else FeatureTable
    return LogitsCall(tuple(kind(row.tolist()) for row in rows), top)


def _cut(sequences: Array, lengths: Array | None) -> list[Array]:
    """Every sequence of a batch without its padding.

    Raises:
        InvalidArgumentError: a length is not 1 to the size of the time dimension.
    """
    if lengths is None:
        return list(sequences)
    time = sequences.shape[1]
    for place, length in enumerate(lengths.tolist()):
        if not 1 <= length <= time:
            raise InvalidArgumentError(
                f"lengths[{place}] is {length}, expected 1 to {time}", field=f"lengths[{place}]", limit=time
            )
    return [row[:length] for row, length in zip(sequences, lengths.tolist(), strict=True)]


def _top_counts(request: protocol.ModelInferRequest, info: ModelInfo) -> dict[str, int]:
    """By output, the `classification` that is asked of it."""
    found: dict[str, int] = {}
    for index, wanted in enumerate(request.outputs):
        count = top_count(wanted.parameters, f"outputs[{index}]")
        if count is None:
            continue
        if info.task != "classification" or wanted.name not in {"logits", "probabilities"}:
            raise InvalidArgumentError(
                f"outputs[{index}].parameters[classification] is set, and {wanted.name} is not the logits or "
                "probabilities of a classifier",
                field=f"outputs[{index}].parameters[classification]",
            )
        found[wanted.name] = count
    return found
