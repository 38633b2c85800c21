"""The messages of the Open Inference Protocol are those of its documentation and the stock client; our page is true."""

import json
import re
import subprocess
import sys

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from service.serving.api import FeatureInfo, ModelInfo
from service.transport.open_inference.infer.parameters import (
    GENERATION_PARAMETERS,
    LABEL_PARAMETERS,
    TRANSLATION_PARAMETERS,
)
from service.transport.open_inference.signature import signature_of
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from tests.trained import ROOT

PAGE = ROOT / "docs" / "open-inference.md"

FIELDS = {
    "ServerLiveResponse": "live=1",
    "ServerReadyResponse": "ready=1",
    "ModelReadyRequest": "name=1 version=2",
    "ModelReadyResponse": "ready=1",
    "ServerMetadataResponse": "name=1 version=2 extensions=3",
    "ModelMetadataRequest": "name=1 version=2",
    "ModelMetadataResponse": "name=1 versions=2 platform=3 inputs=4 outputs=5 properties=6",
    "ModelMetadataResponse.TensorMetadata": "name=1 datatype=2 shape=3",
    "InferParameter": "bool_param=1 int64_param=2 string_param=3 double_param=4 uint64_param=5",
    "InferTensorContents": "bool_contents=1 int_contents=2 int64_contents=3 uint_contents=4 uint64_contents=5 "
    "fp32_contents=6 fp64_contents=7 bytes_contents=8",
    "ModelInferRequest": "model_name=1 model_version=2 id=3 parameters=4 inputs=5 outputs=6 raw_input_contents=7",
    "ModelInferRequest.InferInputTensor": "name=1 datatype=2 shape=3 parameters=4 contents=5",
    "ModelInferRequest.InferRequestedOutputTensor": "name=1 parameters=2",
    "ModelInferResponse": "model_name=1 model_version=2 id=3 parameters=4 outputs=5 raw_output_contents=6",
    "ModelInferResponse.InferOutputTensor": "name=1 datatype=2 shape=3 parameters=4 contents=5",
    "ModelStreamInferResponse": "error_message=1 infer_response=2",
    "ModelConfigRequest": "name=1 version=2",
    "ModelConfigResponse": "config=1",
    "ModelConfig": "name=1 platform=2 max_batch_size=4 input=5 output=6 dynamic_batching=11 parameters=14 backend=17 "
    "model_transaction_policy=19",
    "ModelInput": "name=1 data_type=2 dims=4 optional=8",
    "ModelOutput": "name=1 data_type=2 dims=3",
    "ModelDynamicBatching": "preferred_batch_size=1 max_queue_delay_microseconds=2",
    "ModelTransactionPolicy": "decoupled=1",
    "ModelParameter": "string_value=1",
    "ModelStatisticsRequest": "name=1 version=2",
    "ModelStatisticsResponse": "model_stats=1",
    "ModelStatistics": "name=1 version=2 last_inference=3 inference_count=4 execution_count=5 inference_stats=6 "
    "batch_stats=7 memory_usage=8 response_stats=9",
    "StatisticDuration": "count=1 ns=2",
    "InferStatistics": "success=1 fail=2 queue=3 compute_input=4 compute_infer=5 compute_output=6 cache_hit=7 "
    "cache_miss=8",
    "InferBatchStatistics": "batch_size=1 compute_input=2 compute_infer=3 compute_output=4",
    "InferResponseStatistics": "compute_infer=1 compute_output=2 success=3 fail=4 empty_response=5 cancel=6",
    "MemoryUsage": "type=1 id=2 byte_size=3",
    "ModelRepositoryParameter": "bool_param=1 int64_param=2 string_param=3 bytes_param=4",
    "RepositoryIndexRequest": "repository_name=1 ready=2",
    "RepositoryIndexResponse": "models=1",
    "RepositoryIndexResponse.ModelIndex": "name=1 version=2 state=3 reason=4",
    "RepositoryModelLoadRequest": "repository_name=1 model_name=2 parameters=3",
    "RepositoryModelUnloadRequest": "repository_name=1 model_name=2 parameters=3",
}
WITHOUT_FIELDS = {
    "ServerLiveRequest",
    "ServerReadyRequest",
    "ServerMetadataRequest",
    "RepositoryModelLoadResponse",
    "RepositoryModelUnloadResponse",
}
DATA_TYPES = "INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING BF16"
ONLY_IN_THE_CORE_PROTOCOL = {"properties"}

DESCRIBE_THE_STOCK_CLIENT = """
import json, sys
from google.protobuf.descriptor_pool import Default
import tritonclient.grpc.service_pb2

found = {}
for name in sys.argv[1:]:
    for field in Default().FindMessageTypeByName(f"inference.{name}").fields:
        of = field.message_type or field.enum_type
        oneof = field.containing_oneof.name if field.containing_oneof else ""
        found[f"{name}.{field.name}"] = [field.number, field.type, of.full_name if of else "", oneof]
service = Default().FindServiceByName("inference.GRPCInferenceService")
for method in service.methods:
    streams = [method.client_streaming, method.server_streaming]
    found[method.name] = [method.input_type.full_name, method.output_type.full_name, *streams]
print(json.dumps(found))
"""


def messages() -> dict[str, Descriptor]:
    """Every message of ours by name, without the entries of maps."""
    found: dict[str, Descriptor] = {}
    waiting = list(protocol.DESCRIPTOR.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        if not message.GetOptions().map_entry:
            found[message.full_name.removeprefix("inference.")] = message
            waiting += message.nested_types
    return found


def test_every_message_has_the_documented_fields_and_no_other() -> None:
    ours = {
        name: " ".join(f"{field.name}={field.number}" for field in message.fields)
        for name, message in messages().items()
    }
    assert {name: set(fields.split()) for name, fields in ours.items()} == {
        name: set(fields.split()) for name, fields in {**FIELDS, **dict.fromkeys(WITHOUT_FIELDS, "")}.items()
    }


def test_datatypes_have_the_documented_numbers() -> None:
    found = {value.name: value.number for value in protocol.DataType.DESCRIPTOR.values}
    assert found == {f"TYPE_{name}": number for number, name in enumerate(DATA_TYPES.split())}


@pytest.fixture(scope="module")
def stock() -> dict[str, list[object]]:
    """Fields and methods of the stock client, as a process of its own sees them."""
    command = [sys.executable, "-c", DESCRIBE_THE_STOCK_CLIENT, *messages()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    described: dict[str, list[object]] = json.loads(done.stdout)
    return described


def described(field: FieldDescriptor) -> list[object]:
    of = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else ""
    return [field.number, field.type, of.full_name if of else "", oneof]


def test_the_stock_client_has_every_field_with_the_same_number_and_type(stock: dict[str, list[object]]) -> None:
    ours = {f"{name}.{field.name}": field for name, message in messages().items() for field in message.fields}
    ours = {name: field for name, field in ours.items() if field.name not in ONLY_IN_THE_CORE_PROTOCOL}
    found = {name: described(field) for name, field in ours.items()}
    del found["ModelConfig.dynamic_batching"]  # one of a choice there, which is the same on the wire
    assert found == {name: stock[name] for name in found}


def test_the_stock_client_has_every_method_with_the_same_messages(stock: dict[str, list[object]]) -> None:
    service = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in service.methods:
        streams = [method.client_streaming, method.server_streaming]
        assert stock[method.name] == [method.input_type.full_name, method.output_type.full_name, *streams]


def test_our_stubs_and_the_stock_client_cannot_share_a_process() -> None:
    """Why tests run the stock client in a process of its own, and why no wheel of ours has these stubs."""
    code = "import service.transport.open_inference.v2.grpc_service_pb2, tritonclient.grpc"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "duplicate symbol" in done.stderr


def table_under(heading: str) -> dict[str, str]:
    """Rows of a table of docs/open-inference.md, by their first column."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ", 1) for line in section.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in rows[1:]}


def test_the_page_lists_every_parameter() -> None:
    assert {task: re.findall(r"`(\w+)`", names) for task, names in table_under("Parameters").items()} == {
        "classification, labelling": list(LABEL_PARAMETERS),
        "generation": list(GENERATION_PARAMETERS),
        "translation": list(TRANSLATION_PARAMETERS),
    }


@pytest.mark.parametrize(
    ("row", "info"),
    [
        ("classification", ModelInfo("m", 1, "active", task="classification", labels=("a", "b"))),
        (
            "labelling of readings",
            ModelInfo("m", 1, "active", task="labelling", features=(FeatureInfo("x", "", None),)),
        ),
        ("generation", ModelInfo("m", 1, "active", task="generation")),
        ("translation", ModelInfo("m", 1, "active", task="translation")),
    ],
)
def test_the_page_lists_the_tensors_and_the_batch_of_every_task(row: str, info: ModelInfo) -> None:
    inputs, outputs, batch = table_under("What models take and give")[row].split(" | ")
    signature = signature_of(info)
    assert set(re.findall(r"`(\w+)`", inputs)) == {one.name for one in signature.inputs}
    if row != "labelling of readings":  # whose outputs are told by what they lack
        assert set(re.findall(r"`(\w+)`", outputs)) == {one.name for one in signature.outputs}
    assert int(batch) == signature.max_batch_size
