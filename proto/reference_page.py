"""Writes docs/api.md, the reference of the API, from the comments of the protos.   Knows descriptors; reads no file."""

import inspect
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from google.protobuf import duration_pb2
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

HEAD = """\
# API reference

Written by `make proto` from the comments of [the protos](../proto/seqserve/v1), which are the contract: change those.
Within this version of the package fields are added, and none changes its meaning, number or type.
[client.md](client.md) is about the Python client; [errors.md](errors.md) tells what to do about each reason.
"""

REASON = re.compile(r"\b[A-Z]+(?:_[A-Z]+)*\b")


def comments_of(file: FileDescriptorProto) -> dict[str, str]:
    """The comment above each message, field, enum, value, service and method, by full name (`a.v1.Message.field`)."""
    commented = [place for place in file.source_code_info.location if place.leading_comments]
    return {_name_at(file, place.path): inspect.cleandoc(place.leading_comments) for place in commented}


def _name_at(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """Full name of what a path of (field number, index) pairs leads to."""
    found: Any = file
    name = file.package
    for number, index in zip(path[::2], path[1::2], strict=False):  # a number too many leads to a part of it
        found = getattr(found, found.DESCRIPTOR.fields_by_number[number].name)[index]
        name += f".{getattr(found, 'name', '')}"
    return name


class ReferencePage:
    """The page of the services, messages and enums of some protos.

    Args:
        protos: parsed, with their comments, each after what it imports.
        reasons: every reason of an error.
    """

    def __init__(self, protos: Sequence[FileDescriptorProto], reasons: Collection[str]) -> None:
        pool = DescriptorPool()
        pool.AddSerializedFile(duration_pb2.DESCRIPTOR.serialized_pb)
        self._files: list[FileDescriptor] = []
        self._comments: dict[str, str] = {}
        for proto in protos:
            pool.AddSerializedFile(proto.SerializeToString())
            self._files.append(pool.FindFileByName(proto.name))
            self._comments |= comments_of(proto)
        self._reasons = reasons

    def text(self) -> str:
        """The whole page."""
        services = [service for file in self._files for service in file.services_by_name.values()]
        of_methods = {message for service in services for method in service.methods for message in _messages_of(method)}
        messages = [one for file in self._files for one in file.message_types_by_name.values() if one not in of_methods]
        enums = [enum for file in self._files for enum in _enums_of(file)]
        lines = [HEAD, *self._overview(services)]
        for service in services:
            lines += self._service(service)
        lines += ["## Messages", "", "What requests and answers are made of."]
        for message in messages:
            lines += self._message(message, "###")
        lines += ["", "## Enums"]
        for enum in enums:
            lines += self._enum(enum)
        return "\n".join(lines) + "\n"

    def _overview(self, services: Sequence[ServiceDescriptor]) -> Iterator[str]:
        yield from ("| RPC | What it does |", "|---|---|")
        for service in services:
            for method in service.methods:
                summary = _joined(self._comments[method.full_name].split("\n\n")[0])
                yield f"| {service.name}.{_link(method.name)} | {summary} |"
        yield ""

    def _service(self, service: ServiceDescriptor) -> Iterator[str]:
        yield from (f"## {service.name}", "", f"`{service.full_name}`. {self._comments[service.full_name]}", "")
        for method in service.methods:
            yield from (f"### {method.name}", "", self._comments[method.full_name], "")
            answer = "A stream of messages answers. " if method.server_streaming else ""
            yield f"{answer}[Reasons](errors.md) that its fields name: {self._reasons_of(method.input_type)}."
            for message in _messages_of(method):
                yield from self._message(message, "####")
            yield ""

    def _reasons_of(self, message: Descriptor) -> str:
        """The reasons that the comments of a message, and of all that it holds, name."""
        texts = [self._comments[name] for name in _names_within(message)]
        found = {word for text in texts for word in REASON.findall(text)} & set(self._reasons)
        return ", ".join(f"`{reason}`" for reason in sorted(found)) or "none"

    def _message(self, message: Descriptor, heading: str) -> Iterator[str]:
        yield from ("", f"{heading} {message.name}", "", self._comments[message.full_name])
        if message.fields:
            yield from ("", "| Field | Type | Meaning |", "|---|---|---|")
        for field in message.fields:
            yield f"| `{field.name}` = {field.number} | {_type(field)} | {_joined(self._comments[field.full_name])} |"

    def _enum(self, enum: EnumDescriptor) -> Iterator[str]:
        comment = self._comments[enum.full_name]
        yield from ("", f"### {_short(enum)}", "", comment, "", "| Value | Meaning |", "|---|---|")
        for value in enum.values:
            yield f"| `{value.name}` = {value.number} | {_joined(self._comments[f'{enum.full_name}.{value.name}'])} |"


def _messages_of(method: MethodDescriptor) -> tuple[Descriptor, Descriptor]:
    return method.input_type, method.output_type


def _enums_of(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    for message in file.message_types_by_name.values():
        yield from message.enum_types
    yield from file.enum_types_by_name.values()


def _names_within(message: Descriptor) -> Iterator[str]:
    """Full names of a message and its fields, and of the messages within."""
    yield message.full_name
    for field in message.fields:
        yield field.full_name
        if field.message_type is not None and not _map_fields(field) and field.message_type.file == message.file:
            yield from _names_within(field.message_type)


def _map_fields(field: FieldDescriptor) -> list[FieldDescriptor]:
    """Key and value of a map; nothing for another field."""
    entry = field.message_type
    return list(entry.fields) if entry is not None and entry.GetOptions().map_entry else []


def _type(field: FieldDescriptor) -> str:
    if of_map := _map_fields(field):
        return "map of {} to {}".format(*map(_item_type, of_map))
    if field.is_repeated:
        return f"repeated {_item_type(field)}"
    optional = field.has_presence and field.message_type is None
    return f"optional {_item_type(field)}" if optional else _item_type(field)


def _item_type(field: FieldDescriptor) -> str:
    """Type of one of a field's values."""
    of = field.message_type or field.enum_type
    if of is None:
        return _SCALARS[field.type]
    return f"`{of.full_name}`" if of.full_name.startswith("google.") else _link(_short(of))


_SCALARS = {
    getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
    for name in ("double", "float", "int64", "uint64", "int32", "uint32", "bool", "string", "bytes")
}


def _short(of: Descriptor | EnumDescriptor) -> str:
    """Its name within the package."""
    return str(of.full_name.removeprefix(f"{of.file.package}."))


def _link(name: str) -> str:
    """A link to the heading of a name."""
    return f"[{name}](#{name.lower().replace('.', '')})"


def _joined(comment: str) -> str:
    """A comment as one line of a table."""
    return " ".join(line.strip() for line in comment.splitlines()).replace("|", "\\|")
