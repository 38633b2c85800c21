"""Tensors between the wire and plain values: raw or typed contents in, always raw ones out.   Knows no model.

What a request says of itself is not believed: datatype, shape and byte count must agree before anything is read.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import InvalidArgumentError, NotOfferedError
from service.transport.open_inference.signature import ANY, Signature, Tensor
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

_DTYPES = {"INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8"}
_TYPED_FIELDS = {
    "BYTES": "bytes_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
_LENGTH = struct.Struct("<I")
_SHARED_MEMORY = "shared_memory_"
_SHOWN_CHARACTERS = 100

Array = npt.NDArray[Any]
Parameters = Mapping[str, protocol.InferParameter]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a request by name, each with as many entries as the batch; arrays keep their further dimensions."""

    texts: Mapping[str, tuple[str, ...]]
    arrays: Mapping[str, Array]
    batch_size: int

    def __contains__(self, name: str) -> bool:
        return name in self.texts or name in self.arrays


@dataclass(frozen=True)
class OutputTensor:
    """An output as it goes over the wire. `shape` begins with the batch."""

    datatype: str
    shape: tuple[int, ...]
    raw: bytes


def shown(name: str) -> str:
    """A name that a caller made up, fit for an error: quoted, escaped and short."""
    return repr(name[:_SHOWN_CHARACTERS])


def refuse_shared_memory(parameters: Parameters, field: str) -> None:
    """Refuse a tensor whose contents are elsewhere.

    Raises:
        NotOfferedError: the parameters name a region of shared memory.
    """
    if any(name.startswith(_SHARED_MEMORY) for name in parameters):
        raise NotOfferedError(
            f"{field} is in shared memory, which this server does not share: send and take it in the message",
            field=field,
        )


def read_inputs(request: protocol.ModelInferRequest, signature: Signature) -> Inputs:
    """Check and decode every input.

    Raises:
        InvalidArgumentError: an input is unknown, missing, there twice, or is not what it says it is; names the field,
            what was got and what was expected.
        NotOfferedError: an input is in shared memory.
    """
    known = {tensor.name: tensor for tensor in signature.inputs}
    _check_names([given.name for given in request.inputs], known, "inputs")
    for tensor in signature.inputs:
        if not tensor.optional and tensor.name not in {given.name for given in request.inputs}:
            raise InvalidArgumentError(f"input {tensor.name} is missing", field="inputs")
    _check_raw_count(request)
    texts: dict[str, tuple[str, ...]] = {}
    arrays: dict[str, Array] = {}
    for index, given in enumerate(request.inputs):
        reader = _InputReader(request, index, known[given.name], signature.max_batch_size)
        if given.datatype == "BYTES":
            texts[given.name] = reader.texts()
        else:
            arrays[given.name] = reader.array()
    sizes = {name: len(value) for name, value in texts.items()} | {name: len(value) for name, value in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidArgumentError(f"inputs differ in their batch size: {sizes}", field="inputs")
    return Inputs(texts, arrays, next(iter(sizes.values()), 0))


def check_output_names(request: protocol.ModelInferRequest, signature: Signature) -> None:
    """Refuse a request for outputs that the model does not have, twice the same, or in shared memory.

    Raises:
        InvalidArgumentError: an output is unknown, or there twice.
        NotOfferedError: an output is to be put in shared memory.
    """
    known = {tensor.name: tensor for tensor in signature.outputs}
    _check_names([wanted.name for wanted in request.outputs], known, "outputs")
    for index, wanted in enumerate(request.outputs):
        refuse_shared_memory(wanted.parameters, f"outputs[{index}]")


def _check_names(names: Sequence[str], known: Iterable[str], field: str) -> None:
    for index, name in enumerate(names):
        where, kind = f"{field}[{index}].name", field.removesuffix("s")
        if name not in known:
            raise InvalidArgumentError(
                f"{where} is {shown(name)}: the model has no such {kind}, it has {', '.join(known)}", field=where
            )
        if name in names[:index]:
            raise InvalidArgumentError(f"{where} is {name}, which is there twice", field=where)


def _check_raw_count(request: protocol.ModelInferRequest) -> None:
    count, expected = len(request.raw_input_contents), len(request.inputs)
    if count not in {0, expected}:
        raise InvalidArgumentError(
            f"raw_input_contents has {count} entries, expected none or one per input, which are {expected}",
            field="raw_input_contents",
        )


class _InputReader:
    """Reads one input of a request.

    Args:
        request: all of it.
        index: of the input.
        tensor: what it should be.
        max_batch_size: most entries.
    """

    def __init__(self, request: protocol.ModelInferRequest, index: int, tensor: Tensor, max_batch_size: int) -> None:
        self._given = request.inputs[index]
        self._raw = request.raw_input_contents[index] if request.raw_input_contents else None
        self._where = f"inputs[{index}]"
        self._raw_where = f"raw_input_contents[{index}]"
        self._tensor = tensor
        refuse_shared_memory(self._given.parameters, self._where)
        self._check_datatype()
        self._shape = self._checked_shape(max_batch_size)
        self._count = math.prod(self._shape)
        self._check_contents()

    def texts(self) -> tuple[str, ...]:
        """The elements of a BYTES tensor as text."""
        if self._raw is None:
            elements: Sequence[bytes] = self._given.contents.bytes_contents
            self._check_typed_count(len(elements))
        else:
            elements = self._raw_elements(self._raw)
        return tuple(self._decoded(element, place) for place, element in enumerate(elements))

    def array(self) -> Array:
        """The elements of a tensor of numbers, in its shape; one dimension where that is a number per entry."""
        dtype = np.dtype(_DTYPES[self._given.datatype])
        if self._raw is None:
            values = getattr(self._given.contents, _TYPED_FIELDS[self._given.datatype])
            self._check_typed_count(len(values))
            found: Array = np.array(values, dtype=dtype)
        else:
            self._check_byte_count(len(self._raw), self._count * dtype.itemsize)
            found = np.frombuffer(self._raw, dtype=dtype)
        return found.reshape(self._shape[:1] if self._tensor.dims == (1,) else self._shape)

    def _refuse(self, part: str, got: object, expected: str) -> InvalidArgumentError:
        field = f"{self._where}.{part}"
        return InvalidArgumentError(
            f"{field} of {self._tensor.name} is {got}, expected {expected}", field=field, value=got
        )

    def _check_datatype(self) -> None:
        if self._given.datatype not in self._tensor.taken:
            raise self._refuse("datatype", shown(self._given.datatype), " or ".join(self._tensor.taken))

    def _checked_shape(self, max_batch_size: int) -> tuple[int, ...]:
        shape, dims = tuple(self._given.shape), self._tensor.dims
        if dims == (1,) and len(shape) == 1:
            shape = (*shape, 1)
        fits = len(shape) == 1 + len(dims) and all(
            size == expected or (expected == ANY and size >= 1) for size, expected in zip(shape[1:], dims, strict=True)
        )
        if not fits or shape[0] < 0:
            expected = ", ".join(["batch", *("any" if dim == ANY else str(dim) for dim in dims)])
            raise self._refuse("shape", str(list(self._given.shape[:8])), f"[{expected}]")
        if shape[0] > max_batch_size:
            raise InvalidArgumentError(
                f"{self._where}.shape of {self._tensor.name} begins with {shape[0]}: "
                f"inference request batch-size must be <= {max_batch_size}",
                field=f"{self._where}.shape",
                limit=max_batch_size,
            )
        return shape

    def _check_contents(self) -> None:
        """Refuse contents in two places, in none, or in the field of another datatype."""
        typed = [field.name for field, _ in self._given.contents.ListFields()]
        if self._raw is not None and typed:
            raise self._refuse("contents", typed[0], f"none, for {self._raw_where} is given")
        if self._raw is None and self._count and typed != [_TYPED_FIELDS[self._given.datatype]]:
            found = " and ".join(typed) or "missing"
            raise self._refuse("contents", found, f"{_TYPED_FIELDS[self._given.datatype]} or raw_input_contents")

    def _check_typed_count(self, count: int) -> None:
        if count != self._count:
            raise self._refuse("contents", f"{count} elements long", f"{self._count} by its shape")

    def _check_byte_count(self, count: int, expected: int) -> None:
        if count != expected:
            raise InvalidArgumentError(
                f"{self._raw_where} of {self._tensor.name} has {count} bytes, expected {expected} by its shape and "
                "datatype",
                field=self._raw_where,
            )

    def _raw_elements(self, raw: bytes) -> list[bytes]:
        """Elements of a BYTES tensor, each after its length in four bytes."""
        elements: list[bytes] = []
        place = 0
        while place < len(raw) and len(elements) <= self._count:
            begin = place + _LENGTH.size
            if begin > len(raw):
                raise self._refuse_bytes(f"ends within the length of element {len(elements)}")
            place = begin + _LENGTH.unpack_from(raw, place)[0]
            if place > len(raw):
                raise self._refuse_bytes(
                    f"ends within element {len(elements)}, which is said to be {place - begin} bytes long"
                )
            elements.append(raw[begin:place])
        if len(elements) != self._count:
            more = "more than " if len(elements) > self._count else ""
            found = min(len(elements), self._count)
            raise self._refuse_bytes(f"has {more}{found} elements, expected {self._count} by its shape")
        return elements

    def _refuse_bytes(self, problem: str) -> InvalidArgumentError:
        where = self._raw_where
        return InvalidArgumentError(f"{where} of {self._tensor.name} {problem}", field=where)

    def _decoded(self, element: bytes, place: int) -> str:
        try:
            return element.decode()
        except UnicodeDecodeError as error:
            raise self._refuse("contents", f"not UTF-8 in element {place}", "text") from error


def of_array(values: npt.ArrayLike, datatype: str) -> OutputTensor:
    """An output of numbers."""
    array = np.ascontiguousarray(values, dtype=_DTYPES[datatype])
    return OutputTensor(datatype, array.shape, array.tobytes())


def of_texts(texts: Iterable[str], shape: tuple[int, ...]) -> OutputTensor:
    """An output of texts, row by row."""
    return OutputTensor("BYTES", shape, b"".join(map(element, texts)))


def element(text: str) -> bytes:
    """A text as an element of a BYTES tensor: its length in four bytes, then its UTF-8."""
    raw = text.encode()
    return _LENGTH.pack(len(raw)) + raw


def to_response(
    request_id: str, model: str, version: int, outputs: Mapping[str, OutputTensor]
) -> protocol.ModelInferResponse:
    """Write a reply: every output in order, its contents raw, an entry for each."""
    return protocol.ModelInferResponse(
        model_name=model,
        model_version=str(version),
        id=request_id,
        outputs=[
            protocol.ModelInferResponse.InferOutputTensor(name=name, datatype=one.datatype, shape=one.shape)
            for name, one in outputs.items()
        ],
        raw_output_contents=[one.raw for one in outputs.values()],
    )
