"""Parameters of a request: those of the task into the own API's message, which checks them; the protocol's own.

Knows names and types; ranges are checked where the own API checks them.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from service.errors import InvalidArgumentError
from service.transport.open_inference.infer.tensors import Parameters, shown
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

LABEL_PARAMETERS = ("top_label_count",)
GENERATION_PARAMETERS = (
    "max_output_token_count", "temperature", "top_k", "top_p", "min_p", "seed", "min_output_token_count",
    "repetition_penalty", "no_repeat_ngram_size", "banned_tokens", "token_biases", "stop_sequences", "sample_count",
    "echo", "allow_partial",
)  # fmt: skip
TRANSLATION_PARAMETERS = (
    "max_output_token_count", "beam_size", "hypothesis_count", "length_penalty", "coverage_penalty",
    "max_length_factor", "replace_unknowns", "temperature", "top_k", "top_p", "min_p", "seed", "allow_partial",
)  # fmt: skip
"""By task, the fields of the own API's request that may be set; the others say how its reply looks."""

_TIMEOUT = "timeout"
_IGNORED = frozenset({"priority", "headers", "binary_data_output", "content_type", "sequence_start", "sequence_end"})
_SEQUENCE_ID = "sequence_id"
_TRITON_PREFIX = "triton_"

_INTEGER_LIMITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}


def set_parameters(message: Message, parameters: Parameters, names: Collection[str]) -> None:
    """Set fields of the own API's request by parameters of the same names.

    Raises:
        InvalidArgumentError: a parameter is none of `names` and none of the protocol's, or has another type than its
            field; names it and what was expected.
    """
    for name, parameter in parameters.items():
        if name in names:
            _set(message, name, parameter)
        elif name == _SEQUENCE_ID:
            _refuse_sequence(parameter)
        elif name != _TIMEOUT and name not in _IGNORED and not name.startswith(_TRITON_PREFIX):
            raise InvalidArgumentError(
                f"parameters has {shown(name)}, which the model does not take; it takes {', '.join(sorted(names))}",
                field="parameters",
            )


def timeout_seconds(parameters: Parameters) -> float | None:
    """The time that a request may take, where it says so (in microseconds); None where it does not.

    Raises:
        InvalidArgumentError: `timeout` is not an integer, or below 0.
    """
    if _TIMEOUT not in parameters:
        return None
    microseconds = _value(_TIMEOUT, parameters[_TIMEOUT])
    if not isinstance(microseconds, int) or isinstance(microseconds, bool) or microseconds < 0:
        raise _refused(_TIMEOUT, microseconds, "microseconds, an integer of 0 or more")
    return microseconds / 1e6 or None


def top_count(parameters: Parameters, field: str) -> int | None:
    """How many classes an output is to be given as, where `classification` says so.

    Raises:
        InvalidArgumentError: it is not an integer of 1 or more.
    """
    if "classification" not in parameters:
        return None
    count = _value("classification", parameters["classification"])
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InvalidArgumentError(
            f"{field}.parameters[classification] is {count}, expected an integer of 1 or more",
            field=f"{field}.parameters[classification]",
        )
    return count


def _value(name: str, parameter: protocol.InferParameter) -> bool | int | str | float:
    which = parameter.WhichOneof("parameter_choice")
    if which is None:
        raise _refused(name, "empty", "a value")
    value: bool | int | str | float = getattr(parameter, which)
    return value


def _refuse_sequence(parameter: protocol.InferParameter) -> None:
    if _value(_SEQUENCE_ID, parameter) not in {0, ""}:
        raise InvalidArgumentError(
            f"parameters[{_SEQUENCE_ID}] is set, and this server keeps no sequences: the own API lets state travel",
            field=f"parameters[{_SEQUENCE_ID}]",
        )


def _set(message: Message, name: str, parameter: protocol.InferParameter) -> None:
    field, value = message.DESCRIPTOR.fields_by_name[name], _value(name, parameter)
    if field.is_repeated:
        _set_many(message, name, value, is_map=field.message_type is not None)
    elif field.type in _INTEGER_LIMITS:
        least, most = _INTEGER_LIMITS[field.type]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _refused(name, value, f"an integer from {least} to {most}")
        setattr(message, name, value)
    elif field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise _refused(name, value, "a bool")
        setattr(message, name, value)
    else:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _refused(name, value, "a number")
        setattr(message, name, value)


def _set_many(message: Message, name: str, value: object, *, is_map: bool) -> None:
    """Set a list or a map from its JSON."""
    expected = "a JSON object of numbers, as a string" if is_map else "a JSON list of strings, as a string"
    if not isinstance(value, str):
        raise _refused(name, value, expected)
    try:
        found = json.loads(value)
        if is_map:
            getattr(message, name).update(_checked_numbers(found))
        else:
            getattr(message, name).extend(_checked_strings(found))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _refused(name, value, expected) from error


def _checked_strings(found: Any) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise TypeError("not a list of strings")
    return found


def _checked_numbers(found: Any) -> Mapping[str, float]:
    if not isinstance(found, dict) or any(isinstance(one, bool) for one in found.values()):
        raise TypeError("not an object of numbers")
    return {name: float(one) if isinstance(one, int | float) else one for name, one in found.items()}


def _refused(name: str, value: object, expected: str) -> InvalidArgumentError:
    field = f"parameters[{name}]"
    found = shown(value) if isinstance(value, str) else value
    return InvalidArgumentError(f"{field} is {found}, expected {expected}", field=field)
