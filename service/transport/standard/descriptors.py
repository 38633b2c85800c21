"""What the standard services look like today: health with List, reflection v1 beside v1alpha.   Knows no server.

The installed packages are behind: their health has no List, their reflection is v1alpha alone. What they lack is added
to copies of their descriptors, in a pool of its own, since a pool takes a name once.
"""

from typing import cast

from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

_LIST_MESSAGES = """
message_type { name: "HealthListRequest" }
message_type {
  name: "HealthListResponse"
  field {
    name: "statuses" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
    type_name: ".grpc.health.v1.HealthListResponse.StatusesEntry"
  }
  nested_type {
    name: "StatusesEntry"
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field {
      name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
      type_name: ".grpc.health.v1.HealthCheckResponse"
    }
    options { map_entry: true }
  }
}
"""
_LIST_METHOD = """
name: "List" input_type: ".grpc.health.v1.HealthListRequest" output_type: ".grpc.health.v1.HealthListResponse"
"""


def _health_file() -> FileDescriptor:
    """The installed health service, and List if that is missing."""
    if hasattr(health_pb2, "HealthListResponse"):
        return cast("FileDescriptor", health_pb2.DESCRIPTOR)  # type checkers know two classes of this name
    file = FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(file)
    text_format.Merge(_LIST_MESSAGES, file)
    text_format.Merge(_LIST_METHOD, file.service[0].method.add())
    return _pooled(file)


def _reflection_v1_file() -> FileDescriptor:
    """Reflection v1: the installed v1alpha by another name, the messages are the same."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    renamed = text_format.MessageToString(file).replace("v1alpha", "v1")
    return _pooled(text_format.Parse(renamed, FileDescriptorProto()))


def _pooled(file: FileDescriptorProto) -> FileDescriptor:
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


HEALTH_FILE = _health_file()
REFLECTION_FILES = (cast("FileDescriptor", reflection_pb2.DESCRIPTOR), _reflection_v1_file())
