"""ModelInfer requests as a stock client would send them."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

DATATYPES = {"int64": "INT64", "int32": "INT32", "float64": "FP64", "float32": "FP32"}


def infer_request(
    model: str,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, int | None] | None = None,
    *,
    request_id: str = "",
    **parameters: Any,
) -> protocol.ModelInferRequest:
    """A request with raw contents.

    Args:
        model: its name.
        inputs: by name, texts or an array.
        outputs: by name, how many classes to give it as, if any.
        request_id: what comes back with the reply.
        parameters: of the request.
    """
    request = protocol.ModelInferRequest(model_name=model, id=request_id)
    for name, value in inputs.items():
        datatype, shape, raw = _raw(value)
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw)
    for name, count in (outputs or {}).items():
        wanted = request.outputs.add(name=name)
        if count is not None:
            wanted.parameters["classification"].int64_param = count
    for name, parameter in parameters.items():
        field = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(parameter)]
        setattr(request.parameters[name], field, parameter)
    return request


def _raw(value: Any) -> tuple[str, Sequence[int], bytes]:
    if isinstance(value, np.ndarray):
        return DATATYPES[str(value.dtype)], value.shape, value.tobytes()
    elements = [text if isinstance(text, bytes) else text.encode() for text in value]
    return "BYTES", (len(elements), 1), b"".join(struct.pack("<I", len(one)) + one for one in elements)


def tensors(reply: protocol.ModelInferResponse) -> dict[str, Any]:
    """The outputs of a reply by name: arrays of numbers, and arrays of texts."""
    found: dict[str, Any] = {}
    for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            flat: Any = np.array(_texts(raw), dtype=object)
        else:
            flat = np.frombuffer(raw, dtype={"FP32": "<f4", "INT64": "<i8"}[output.datatype])
        found[output.name] = flat.reshape(tuple(output.shape))
    return found


def _texts(raw: bytes) -> list[str]:
    texts, place = [], 0
    while place < len(raw):
        (size,) = struct.unpack_from("<I", raw, place)
        texts.append(raw[place + 4 : place + 4 + size].decode())
        place += 4 + size
    return texts
