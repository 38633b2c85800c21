"""Tensors off the wire and onto it: every datatype, every shape, and everything that does not agree with itself."""

import struct
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidArgumentError, NotOfferedError, ServiceError
from service.transport.open_inference.infer.tensors import (
    Inputs,
    check_output_names,
    of_array,
    of_texts,
    read_inputs,
    to_response,
)
from service.transport.open_inference.signature import ANY, Signature, Tensor
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

SIGNATURE = Signature(
    (
        Tensor("texts", "BYTES", (1,), optional=True),
        Tensor("ids", "INT64", (ANY,), optional=True),
        Tensor("table", "FP64", (ANY, 3), optional=True),
    ),
    (Tensor("labels", "BYTES", (ANY,)), Tensor("logits", "FP32", (2,))),
    max_batch_size=4,
)
TYPED = {"BYTES": "bytes_contents", "INT32": "int_contents", "INT64": "int64_contents", "FP32": "fp32_contents",
         "FP64": "fp64_contents", "BOOL": "bool_contents"}  # fmt: skip


def raw(name: str, datatype: str, shape: list[int], contents: bytes, **more: Any) -> protocol.ModelInferRequest:
    """A request with one raw input."""
    given = protocol.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, **more)
    return protocol.ModelInferRequest(inputs=[given], raw_input_contents=[contents])


def typed(name: str, datatype: str, shape: list[int], values: list[Any], field: str = "") -> protocol.ModelInferRequest:
    """A request with one input in the field of its datatype."""
    contents = protocol.InferTensorContents(**{field or TYPED[datatype]: values})
    given = protocol.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=contents)
    return protocol.ModelInferRequest(inputs=[given])


def joined(*requests: protocol.ModelInferRequest) -> protocol.ModelInferRequest:
    together = protocol.ModelInferRequest()
    for request in requests:
        together.MergeFrom(request)
    return together


def elements(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def read(request: protocol.ModelInferRequest) -> Inputs:
    return read_inputs(request, SIGNATURE)


def refused(request: protocol.ModelInferRequest) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        read(request)
    assert isinstance(caught.value, InvalidArgumentError)
    return caught.value


# What is taken


@pytest.mark.parametrize("shape", [[2], [2, 1]], ids=["flat", "column"])
def test_texts_come_raw_or_typed_in_one_column_or_none(shape: list[int]) -> None:
    contents = b"\x03\x00\x00\x00h\xc3\xa9\x00\x00\x00\x00"
    for request in (raw("texts", "BYTES", shape, contents), typed("texts", "BYTES", shape, ["hé".encode(), b""])):
        assert read(request) == Inputs({"texts": ("hé", "")}, {}, 2)


@pytest.mark.parametrize("datatype", ["INT64", "INT32"])
def test_integers_come_raw_or_typed_in_the_announced_datatype_or_a_narrower_one(datatype: str) -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]])
    dtype = {"INT64": "<i8", "INT32": "<i4"}[datatype]
    requests = (
        raw("ids", datatype, [2, 3], values.astype(dtype).tobytes()),
        typed("ids", datatype, [2, 3], values.ravel().tolist()),
    )
    for request in requests:
        assert read(request).arrays["ids"].tolist() == values.tolist()


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_numbers_come_raw_or_typed_and_keep_what_is_not_a_number(datatype: str) -> None:
    values = np.array([[[0.5, np.nan, -1.0]]])
    dtype = {"FP64": "<f8", "FP32": "<f4"}[datatype]
    requests = (
        raw("table", datatype, [1, 1, 3], values.astype(dtype).tobytes()),
        typed("table", datatype, [1, 1, 3], values.ravel().tolist()),
    )
    for request in requests:
        np.testing.assert_array_equal(read(request).arrays["table"], values)


def test_raw_contents_belong_to_the_inputs_in_their_order() -> None:
    ids, texts = raw("ids", "INT64", [1, 1], struct.pack("<q", 7)), raw("texts", "BYTES", [1], elements(b"a"))
    for request in (joined(ids, texts), joined(texts, ids)):
        found = read(request)
        assert (found.texts["texts"], found.arrays["ids"].tolist()) == (("a",), [[7]])


@pytest.mark.parametrize("request_", [raw("texts", "BYTES", [0, 1], b""), typed("texts", "BYTES", [0], [])])
def test_an_empty_tensor_is_no_bytes(request_: protocol.ModelInferRequest) -> None:
    assert read(request_) == Inputs({"texts": ()}, {}, 0)


def test_unknown_fields_and_parameters_of_an_input_are_passed_over() -> None:
    request = raw("texts", "BYTES", [1], elements(b"a"))
    request.inputs[0].parameters["content_type"].string_param = "str"
    again = protocol.ModelInferRequest.FromString(request.SerializeToString() + b"\xf8\x07\x01")
    assert read(again).texts == {"texts": ("a",)}


# What is not


@pytest.mark.parametrize("datatype", ["INT64", "FP32", "UINT8", "BOOL", "BF16", "bytes", "", "x" * 10_000, "BYTES\0"])
def test_another_datatype_is_refused_with_what_was_got_and_expected(datatype: str) -> None:
    error = refused(raw("texts", datatype, [1], b"\0" * 8))
    assert error.field == "inputs[0].datatype"
    assert "expected BYTES" in error.message
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [
        ("texts", "BYTES", []),
        ("texts", "BYTES", [1, 2]),
        ("texts", "BYTES", [1, 1, 1]),
        ("texts", "BYTES", [-1]),
        ("ids", "INT64", [2]),
        ("ids", "INT64", [2, 0]),
        ("ids", "INT64", [2, -3]),
        ("ids", "INT64", [-2, 3]),
        ("table", "FP64", [1, 1, 2]),
        ("table", "FP64", [1, 0, 3]),
        ("table", "FP64", [1] * 1000),
    ],
    ids=str,
)
def test_another_shape_is_refused_with_what_was_got_and_expected(name: str, datatype: str, shape: list[int]) -> None:
    error = refused(raw(name, datatype, shape, b""))
    assert error.field == "inputs[0].shape"
    assert "expected [batch, " in error.message


def test_a_batch_larger_than_the_model_takes_is_refused_before_it_is_read() -> None:
    error = refused(raw("texts", "BYTES", [5], b"\xff"))
    assert "inference request batch-size must be <= 4" in error.message


@pytest.mark.parametrize("count", [0, 15, 17, 16_000])
def test_a_byte_count_that_is_not_that_of_the_shape_is_refused(count: int) -> None:
    error = refused(raw("ids", "INT64", [1, 2], b"\0" * count))
    assert error.field == "raw_input_contents[0]"
    assert f"has {count} bytes, expected 16" in error.message


def test_a_shape_of_more_elements_than_numbers_hold_is_refused() -> None:
    error = refused(raw("ids", "INT64", [4, 2**62], b"\0" * 8))
    assert f"expected {4 * 2**62 * 8}" in error.message


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"\x01\0\0", "ends within the length of element 0"),
        (b"\x05\0\0\0a", "ends within element 0, which is said to be 5 bytes long"),
        (b"\xff\xff\xff\xffa", "ends within element 0, which is said to be 4294967295 bytes long"),
        (elements(b"a", b"b") + b"\x01", "ends within the length of element 2"),
        (elements(b"a"), "has 1 elements, expected 2"),
        (elements(b"a", b"b", b"c"), "has more than 2 elements, expected 2"),
        (elements(b"a", b"b", b"c") + b"\x01 is not looked at", "has more than 2 elements, expected 2"),
        (b"", "has 0 elements, expected 2"),
    ],
)
def test_bytes_that_are_not_whole_elements_are_refused(contents: bytes, problem: str) -> None:
    error = refused(raw("texts", "BYTES", [2], contents))
    assert error.field == "raw_input_contents[0]"
    assert problem in error.message


@pytest.mark.parametrize("element", [b"\xff", b"\xed\xa0\x80", b"a\xc3"], ids=["no UTF-8", "surrogate", "cut"])
def test_text_that_is_not_utf8_is_refused_by_its_place(element: bytes) -> None:
    for request in (
        raw("texts", "BYTES", [2], elements(b"a", element)),
        typed("texts", "BYTES", [2], [b"a", element]),
    ):
        assert "not UTF-8 in element 1" in refused(request).message


def test_contents_in_two_places_are_refused() -> None:
    both = typed("texts", "BYTES", [1], [b"a"])
    both.raw_input_contents.append(elements(b"a"))
    assert "bytes_contents, expected none" in refused(both).message


def test_missing_contents_are_refused() -> None:
    request = typed("texts", "BYTES", [1], [])
    error = refused(request)
    assert (error.field, "is missing" in error.message) == ("inputs[0].contents", True)


@pytest.mark.parametrize("field", ["int64_contents", "int_contents", "fp32_contents"])
def test_contents_in_the_field_of_another_datatype_are_refused(field: str) -> None:
    assert f"is {field}, expected fp64_contents" in refused(typed("table", "FP64", [1, 1, 3], [1] * 3, field)).message


def test_contents_of_another_length_than_the_shape_are_refused() -> None:
    assert "1 elements long, expected 2" in refused(typed("texts", "BYTES", [2], [b"a"])).message
    assert "3 elements long, expected 2" in refused(typed("ids", "INT64", [1, 2], [1, 2, 3])).message


@pytest.mark.parametrize("count", [1, 3])
def test_raw_contents_for_some_inputs_alone_are_refused(count: int) -> None:
    request = joined(raw("texts", "BYTES", [1], elements(b"a")), raw("ids", "INT64", [1, 1], b"\0" * 8))
    del request.raw_input_contents[:]
    request.raw_input_contents.extend([b""] * count)
    assert f"has {count} entries, expected none or one per input, which are 2" in refused(request).message


@pytest.mark.parametrize("name", ["", "Texts", "texts\0", "../texts", "x" * 10_000, "\N{RIGHT-TO-LEFT OVERRIDE}"])
def test_an_unknown_input_is_refused_with_the_known_ones(name: str) -> None:
    error = refused(raw(name, "BYTES", [1], elements(b"a")))
    assert error.field == "inputs[0].name"
    assert "it has texts, ids, table" in error.message
    assert len(error.message) < 600
    assert "\0" not in error.message


def test_an_input_that_is_there_twice_is_refused() -> None:
    request = raw("texts", "BYTES", [1], elements(b"a"))
    assert "twice" in refused(joined(request, request)).message


def test_a_missing_input_is_refused_by_its_name() -> None:
    needs = Signature((Tensor("prompt", "BYTES", (1,)),), (), 1)
    with pytest.raises(InvalidArgumentError, match="input prompt is missing"):
        read_inputs(protocol.ModelInferRequest(), needs)


def test_batches_of_different_sizes_are_refused() -> None:
    request = joined(raw("texts", "BYTES", [2], elements(b"a", b"b")), raw("ids", "INT64", [1, 1], b"\0" * 8))
    assert "{'texts': 2, 'ids': 1}" in refused(request).message


def test_shared_memory_is_not_offered() -> None:
    region = {"shared_memory_region": protocol.InferParameter(string_param="mine")}
    with pytest.raises(NotOfferedError, match="inputs"):
        read(raw("texts", "BYTES", [1], b"", parameters=region))
    wanted = protocol.ModelInferRequest.InferRequestedOutputTensor(name="labels", parameters=region)
    with pytest.raises(NotOfferedError, match="outputs"):
        check_output_names(protocol.ModelInferRequest(outputs=[wanted]), SIGNATURE)


@pytest.mark.parametrize(
    ("names", "problem"), [(["labels", "nothing"], "has no such output"), (["labels", "labels"], "twice")]
)
def test_outputs_that_cannot_be_given_are_refused(names: list[str], problem: str) -> None:
    wanted = [protocol.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]
    with pytest.raises(InvalidArgumentError, match=problem) as caught:
        check_output_names(protocol.ModelInferRequest(outputs=wanted), SIGNATURE)
    assert caught.value.field == "outputs[1].name"


# What is given


def test_a_reply_is_raw_with_an_entry_for_each_output() -> None:
    outputs = {
        "labels": of_texts(["hé", ""], (1, 2)),
        "logits": of_array([[0.5, -1.0]], "FP32"),
        "lengths": of_array([[2]], "INT64"),
        "none": of_texts([], (0,)),
    }
    reply = to_response("id 1", "m", 3, outputs)
    assert (reply.id, reply.model_name, reply.model_version) == ("id 1", "m", "3")
    assert [(one.name, one.datatype, list(one.shape)) for one in reply.outputs] == [
        ("labels", "BYTES", [1, 2]),
        ("logits", "FP32", [1, 2]),
        ("lengths", "INT64", [1, 1]),
        ("none", "BYTES", [0]),
    ]
    assert not any(one.HasField("contents") for one in reply.outputs)
    assert list(reply.raw_output_contents) == [
        b"\x03\x00\x00\x00h\xc3\xa9\x00\x00\x00\x00",
        struct.pack("<2f", 0.5, -1.0),
        struct.pack("<q", 2),
        b"",
    ]
