"""Reflection, so that tools can ask for methods and messages: v1, and v1alpha for older tools.   Knows no handler."""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.transport.standard.descriptors import REFLECTION_FILES


def add_reflection(server: grpc.aio.Server, services: Sequence[str], files: Iterable[FileDescriptor]) -> None:
    """Let a server tell of its services.

    Args:
        server: not started yet.
        services: full names, as they are listed.
        files: what describes them; imports come along.
    """
    pool = DescriptorPool()
    for file in files:
        _add_with_imports(pool, file)
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(services, pool).ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for file in REFLECTION_FILES:  # the messages of both versions are the same bytes
        name = file.services_by_name["ServerReflection"].full_name
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((handlers,))


def _add_with_imports(pool: DescriptorPool, file: FileDescriptor) -> None:
    imported: Sequence[Any] = file.dependencies  # type checkers know two classes of files
    for one in imported:
        _add_with_imports(pool, one)
    pool.AddSerializedFile(file.serialized_pb)
