"""Models and the server as metadata and configuration show them.   Knows the table of tensors; knows no queue."""

from collections.abc import Sequence

from service import VERSION
from service.serving.api import ModelInfo
from service.transport.open_inference.signature import Tensor, signature_of
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

SERVER = "seqserve"
PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
EXTENSIONS = ("classification", "model_repository", "model_configuration", "parameters", "statistics")
"""What there is beyond the core protocol, by the names that Triton gives it."""


def server_metadata(*, controlled: bool) -> protocol.ServerMetadataResponse:
    """Name, version and extensions; `controlled`: whether clients may load and unload models."""
    more = ("model_repository(unload_dependents)",) if controlled else ()
    return protocol.ServerMetadataResponse(name=SERVER, version=VERSION, extensions=(*EXTENSIONS, *more))


def model_metadata(info: ModelInfo, versions: Sequence[int]) -> protocol.ModelMetadataResponse:
    """Tensors of a model, the batch first.

    Args:
        info: the version that is described.
        versions: all that answer.
    """
    signature = signature_of(info)
    return protocol.ModelMetadataResponse(
        name=info.name,
        versions=[str(version) for version in versions],
        platform=PLATFORM,
        inputs=[_tensor(tensor) for tensor in signature.inputs],
        outputs=[_tensor(tensor) for tensor in signature.outputs],
        properties=_properties(info),
    )


def model_config(info: ModelInfo) -> protocol.ModelConfigResponse:
    """How a model is configured; its sizes come without the batch."""
    signature = signature_of(info)
    config = protocol.ModelConfig(
        name=info.name,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=signature.max_batch_size,
        input=[
            protocol.ModelInput(name=one.name, data_type=_data_type(one), dims=one.dims, optional=one.optional)
            for one in signature.inputs
        ],
        output=[
            protocol.ModelOutput(name=one.name, data_type=_data_type(one), dims=one.dims) for one in signature.outputs
        ],
        dynamic_batching=protocol.ModelDynamicBatching(),
        model_transaction_policy=protocol.ModelTransactionPolicy(decoupled=signature.streams),
    )
    for name, value in _properties(info).items():
        config.parameters[name].string_value = value
    return protocol.ModelConfigResponse(config=config)


def _tensor(tensor: Tensor) -> protocol.ModelMetadataResponse.TensorMetadata:
    return protocol.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=(-1, *tensor.dims)
    )


def _data_type(tensor: Tensor) -> str:
    return "TYPE_STRING" if tensor.datatype == "BYTES" else f"TYPE_{tensor.datatype}"


def _properties(info: ModelInfo) -> dict[str, str]:
    """What people want to know of a model, by the own API's names; what does not apply is left out."""
    known = {
        "task": info.task or "",
        "digest": info.digest,
        "precision": info.precision,
        "provider": info.provider,
        "max_token_count": info.max_token_count,
        "max_output_token_count": info.max_output_token_count,
        "source_language": info.source_language,
        "target_language": info.target_language,
        "features": ",".join(feature.name for feature in info.features),
    }
    return {name: str(value) for name, value in known.items() if value}
