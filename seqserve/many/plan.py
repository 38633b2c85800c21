"""Which inputs go together in a request, and what a refusal of it means for each.   Does no I/O itself."""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from seqserve.errors import FieldViolation, InvalidArgumentError, ResourceExhaustedError, SeqserveError
from seqserve.many.answers import Answer, Input, Value
from seqserve.results import ModelVersion, Timings

INPUTS_PER_REQUEST = 64
"""The most that translation takes; beside so many inputs, what a call costs by itself is little."""

BYTES_PER_REQUEST = 64 * 1024
"""An eighth of the characters that a server takes at once unless told otherwise."""


@dataclass(frozen=True)
class Reply(Generic[Value]):
    """What one request brought: a value for each of its inputs, in order."""

    values: Sequence[Value]
    model_version: ModelVersion
    timings: Timings
    seed: int | None = None


@dataclass(frozen=True)
class Method(Generic[Input, Value]):
    """How one method takes inputs and answers them.

    Args:
        field: the request's field that holds the inputs, as errors name it.
        piece: what stands for an input in a request, and its size in bytes; given the input and what to call it.
        request: the request for some pieces.
        reply: what the response to it brought.
        inputs_per_request: most pieces of one request.
    """

    field: str
    piece: Callable[[Input, str], tuple[Any, int]]
    request: Callable[[Sequence[Any]], Any]
    reply: Callable[[Any], Reply[Value]]
    inputs_per_request: int = INPUTS_PER_REQUEST


@dataclass(frozen=True)
class Place(Generic[Input]):
    """One input on its way: which one it is, itself, and what stands for it in a request."""

    index: int
    input: Input
    piece: Any


Group: TypeAlias = list[Place[Input]]


class Grouping(Generic[Input, Value]):
    """Puts the inputs of a run into groups, each to be one request."""

    def __init__(self, method: Method[Input, Value]) -> None:
        self._method = method
        self._group: Group[Input] = []
        self._size = 0
        self._count = 0

    def add(self, given: Input) -> Group[Input]:
        """Take the next input; return the group that has no room for it, or an empty one.

        Raises:
            TypeError, ValueError: it is no input of this method; names its index.
        """
        piece, size = self._method.piece(given, f"{self._method.field}[{self._count}]")
        full = len(self._group) >= self._method.inputs_per_request or self._size + size > BYTES_PER_REQUEST
        done = self.rest() if full else []
        self._group.append(Place(self._count, given, piece))
        self._size += size
        self._count += 1
        return done

    def rest(self) -> Group[Input]:
        """The group that is open; the next one begins."""
        done, self._group, self._size = self._group, [], 0
        return done


Plan: TypeAlias = Generator[Any, Any, list[Answer[Input, Value]]]
"""Gives requests, takes their responses, or errors by `throw`, and returns the answers of all inputs of a group."""

_T = TypeVar("_T")


def plan_of(method: Method[Input, Value], group: Group[Input]) -> Plan[Input, Value]:
    """Ask for a group. An input that is refused is left out and the rest is sent again; what is too large is halved.

    Raises:
        SeqserveError: what concerns no input, such as an unknown model or a server that is gone. A note says which
            inputs were not answered.
    """
    answers: list[Answer[Input, Value]] = []
    parts = [group]
    while parts:
        part = parts.pop()
        try:
            response = yield method.request([place.piece for place in part])
        except SeqserveError as error:
            refused = _refused_place(method.field, error, part)
            if refused is not None:
                answers.append(_refusal(method.field, error, part[refused], refused))
                parts += _filled(part[:refused] + part[refused + 1 :])
            elif _is_too_large(method.field, error):
                parts += _filled(part[: len(part) // 2], part[len(part) // 2 :])
            else:
                error.add_note(f"inputs {group[0].index} to {group[-1].index} were not answered, nor were those after")
                raise
        else:
            answers += _answers(part, method.reply(response))
    return sorted(answers, key=lambda answer: answer.index)


def _answers(part: Group[Input], reply: Reply[Value]) -> list[Answer[Input, Value]]:
    return [
        Answer(place.index, place.input, value, reply.model_version, reply.timings, reply.seed)
        for place, value in zip(part, reply.values, strict=True)
    ]


def _filled(*parts: list[_T]) -> list[list[_T]]:
    return [part for part in parts if part]


def _refused_place(field: str, error: SeqserveError, part: Group[Input]) -> int | None:
    """Which input of a request is at fault, or None. What is too large by itself is at fault when it is alone."""
    for violation in error.field_violations:
        named = re.match(rf"{field}\[(\d+)\]", violation.field)
        if named and int(named[1]) < len(part):
            return int(named[1])
    return 0 if len(part) == 1 and _is_too_large(field, error) else None


def _is_too_large(field: str, error: SeqserveError) -> bool:
    """Whether a request was refused for what its inputs are together, or their answers."""
    if isinstance(error, ResourceExhaustedError):
        return error.retry_delay_seconds is None  # a message that is too large; a full queue says when to come back
    fields = {violation.field for violation in error.field_violations}
    return isinstance(error, InvalidArgumentError) and bool(fields & {field, "include_attention"})


def _refusal(field: str, error: SeqserveError, place: Place[Input], at: int) -> Answer[Input, Value]:
    """The error as one of this input, named by its index in the run and not by its place in a request."""
    there, here = f"{field}[{at}]", f"{field}[{place.index}]"
    violations = tuple(FieldViolation(v.field.replace(there, here), v.description) for v in error.field_violations)
    own = type(error)(
        error.message.replace(there, here), code=error.code, reason=error.reason, facts=error.facts,
        field_violations=violations, retry_delay_seconds=error.retry_delay_seconds,
    )  # fmt: skip
    own.__cause__ = error.__cause__
    return Answer(place.index, place.input, own)
