"""Requests that nobody should send: odd values in every field, and bytes that were tampered with.

Most begin with a good request: protobuf takes bytes that follow one another as one message, in which the last value of
a field counts and lists grow, so that what is odd gets as far as it can.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from tests.fuzz.exchange import GOOD_REQUESTS, METHODS, MODELS

MOST_BYTES = 4_000_000
ODD_TEXTS = (
    "", " ", "\n", "\0", "a\0b", "a" * 10_240, "../../../etc/passwd", "/proc/self/environ", "..\\con", "%00%2e",
    "\N{COMBINING ACUTE ACCENT}" * 300, "\N{RIGHT-TO-LEFT OVERRIDE}abc", "\N{MAN}\u200d\N{WOMAN}" * 100, "\ufeff",
    "\uffff", "{}", "a@1@2", "<eos>", "a good film", "X:1", "The black dog jumped over the cat",
)  # fmt: skip
TENSORS = ("texts", "token_ids", "lengths", "features", "prompt", "target_prefixes", "labels", "logits", "scores")
ODD_INTEGERS = (0, 1, 2, 16, 17, 32, 33, 256, 257, -1, 2**31 - 1, -(2**31))
ODD_NUMBERS = (0.0, -0.0, 0.5, 1.0, 1e-45, 3e38, -1.0, 100.5, float("inf"), float("-inf"), float("nan"))
ODD_BYTES = (
    b"\xed\xa0\x80",  # a lone surrogate
    b"\xf8\x07\x01",  # an unknown field: a number,
    b"\xfa\x07\x03abc",  # bytes,
    b"\xfb\x07\xfc\x07",  # a group,
    b"\xfb\x07" * 150,  # and groups that do not end
    b"\x00",  # field number 0
    b"\x0a\xff\xff\xff\xff\x07",  # 2 GiB are to follow
    b"\xff" * 11,  # a number of 77 bits
    b"\x0f\x7f",  # no kind of field
)


def odd_requests() -> st.SearchStrategy[tuple[str, bytes]]:
    """A method, and a request for it that can be read but holds whatever its fields can hold."""
    return _for_each_method(_serialized)


def tampered_requests() -> st.SearchStrategy[tuple[str, bytes]]:
    """A method, and bytes that once were a request for it, or never were."""
    return _for_each_method(lambda kind: st.binary(max_size=500) | _serialized(kind).flatmap(_tampered))


def _for_each_method(
    requests: Callable[[Descriptor], st.SearchStrategy[bytes]],
) -> st.SearchStrategy[tuple[str, bytes]]:
    one_of = [st.tuples(st.just(path), requests(method.input_type)) for path, method in METHODS.items()]
    return st.one_of(one_of).filter(lambda pair: len(pair[1]) <= MOST_BYTES)


@st.composite
def _serialized(draw: st.DrawFn, kind: Descriptor) -> bytes:
    """Odd fields, most often one or two after a good request."""
    good = [request.SerializeToString() for request in GOOD_REQUESTS if request.DESCRIPTOR is kind]
    base = draw(st.sampled_from([*good * 3, b""]))
    odd = draw(_few_fields(kind) if base else _messages(kind))
    return base + GetMessageClass(kind)(**odd).SerializeToString()


@st.composite
def _tampered(draw: st.DrawFn, raw: bytes) -> bytes:
    place = draw(st.integers(0, len(raw)))
    piece = draw(st.sampled_from(ODD_BYTES) | st.binary(max_size=20))
    return draw(st.sampled_from([raw[:place], raw[:place] + piece, raw[:place] + piece + raw[place:], raw + piece]))


def _few_fields(kind: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """One or two fields by name."""
    chosen = st.lists(st.sampled_from(list(kind.fields)), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(lambda fields: st.fixed_dictionaries({field.name: _field(field) for field in fields}))


def _messages(kind: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Fields by name, each of them given or not."""
    return st.fixed_dictionaries({}, optional={field.name: _field(field) for field in kind.fields})


def _field(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return st.dictionaries(*(_value(part) for part in entry.fields), max_size=4)
    if not field.is_repeated:
        return _value(field)
    few = st.lists(_value(field), max_size=4)
    return few | few.map(lambda values: values[:1] * 300)


def _value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _messages(field.message_type)
    if field.name in {"model", "model_name", "name"}:
        return st.sampled_from(MODELS) | st.sampled_from([f"{MODELS[0]}@1", f"{MODELS[0]}@2", *TENSORS]) | _texts()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=300)
    return _SCALARS[field.cpp_type]()


def _texts() -> st.SearchStrategy[str]:
    return st.integers(0, len(ODD_TEXTS) - 1).map(ODD_TEXTS.__getitem__) | st.text(max_size=30)


def _integers() -> st.SearchStrategy[int]:
    return st.sampled_from(ODD_INTEGERS)


def _numbers() -> st.SearchStrategy[float]:
    return st.sampled_from(ODD_NUMBERS) | st.floats(width=32)


_SCALARS: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
    FieldDescriptor.CPPTYPE_STRING: _texts,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans,
    FieldDescriptor.CPPTYPE_INT32: _integers,
    FieldDescriptor.CPPTYPE_INT64: _integers,
    FieldDescriptor.CPPTYPE_UINT32: lambda: _integers().map(abs),
    FieldDescriptor.CPPTYPE_UINT64: lambda: _integers().map(abs),
    FieldDescriptor.CPPTYPE_ENUM: _integers,
    FieldDescriptor.CPPTYPE_FLOAT: _numbers,
    FieldDescriptor.CPPTYPE_DOUBLE: _numbers,
}
