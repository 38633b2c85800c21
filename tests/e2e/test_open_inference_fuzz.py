"""ModelInfer requests that are wrong in every way: a status and a reason each time, and the next good one unharmed."""

import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psutil
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from demo.server import ServerProcess
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from service.transport.open_inference.v2.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.e2e.calls import CLASSIFIER, FORECASTER, GENERATOR, TAGGER, TRANSLATOR, Client, refusal_of, refused

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
MOST_GROWTH_BYTES = 48 * 1024 * 1024

NAMES = st.sampled_from(
    ["texts", "token_ids", "lengths", "features", "prompt", "target_prefixes", "labels", "logits", "text", "",
     "x" * 10_000, "../../etc/passwd", "a\0b", "/", "texts\n", "\N{RIGHT-TO-LEFT OVERRIDE}", "\U0001f600" * 3_000]
) | st.text(max_size=20)  # fmt: skip
MODELS = st.sampled_from(
    [
        CLASSIFIER,
        TAGGER,
        FORECASTER,
        GENERATOR,
        TRANSLATOR,
        f"{CLASSIFIER}@1",
        "nobody",
        "",
        "../x",
        "a\0",
        "x" * 10_000,
    ]
)
SIZES = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 255, 257, 2**31, 2**62])
DATATYPES = st.sampled_from(["BYTES", "INT64", "INT32", "FP64", "FP32", "FP16", "BF16", "BOOL", "UINT8", "", "x" * 500])
ELEMENTS = st.sampled_from([b"a good film", b"", b" ", b"\xff", b"\xed\xa0\x80", b"a\0b", b"x" * 3_000, b"X:1\n"])
PARAMETERS = st.sampled_from(
    ["beam_size", "temperature", "top_k", "seed", "stop_sequences", "token_biases", "top_label_count", "timeout",
     "priority", "sequence_id", "classification", "shared_memory_region", "triton_x", "echo", "a\0b", "x" * 10_000]
)  # fmt: skip
JSON = st.sampled_from(["[]", "{}", '["a"]', '{"G": 1e999}', '["\\ud800"]', "[" * 5_000, "nonsense", "NaN"])


def packed(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in elements)


@st.composite
def values(draw: st.DrawFn) -> protocol.InferParameter:
    integer = st.sampled_from([-1, 0, 1, 2, 33, 2**31, 2**63 - 1])
    number = st.sampled_from([0.0, 0.5, -1.0, 1e300, float("nan"), float("inf")])
    return draw(
        st.builds(protocol.InferParameter, bool_param=st.booleans())
        | st.builds(protocol.InferParameter, int64_param=integer)
        | st.builds(protocol.InferParameter, double_param=number)
        | st.builds(protocol.InferParameter, string_param=JSON)
        | st.builds(protocol.InferParameter, uint64_param=st.sampled_from([0, 1, 2**64 - 1]))
        | st.just(protocol.InferParameter())
    )


@st.composite
def contents(draw: st.DrawFn) -> protocol.InferTensorContents:
    found = protocol.InferTensorContents()
    if draw(st.booleans()):
        found.bytes_contents.extend(draw(st.lists(ELEMENTS, max_size=3)))
    if draw(st.booleans()):
        found.int64_contents.extend(draw(st.lists(st.sampled_from([-1, 0, 4, 2**62]), max_size=4)))
    if draw(st.booleans()):
        found.fp64_contents.extend(draw(st.lists(st.floats(), max_size=4)))
    return found


@st.composite
def raw_contents(draw: st.DrawFn) -> bytes:
    """Whole elements, numbers, junk; sometimes cut short."""
    elements = st.lists(ELEMENTS, max_size=3).map(packed)
    numbers = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6).map(
        lambda some: struct.pack(f"<{len(some)}q", *some)
    )
    whole = draw(elements | numbers | st.binary(max_size=40))
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


@st.composite
def requests(draw: st.DrawFn) -> protocol.ModelInferRequest:
    """Any request; every part may be right by chance."""
    request = protocol.ModelInferRequest(model_name=draw(MODELS), id=draw(st.text(max_size=10)))
    request.model_version = draw(st.sampled_from(["", "", "", "1", "2", "-1", "x", "9" * 30, "a\0"]))
    for _ in range(draw(st.integers(0, 3))):
        one = request.inputs.add(name=draw(NAMES), datatype=draw(DATATYPES), shape=draw(st.lists(SIZES, max_size=4)))
        if draw(st.integers(0, 3)) == 0:
            one.contents.CopyFrom(draw(contents()))
        if draw(st.integers(0, 5)) == 0:
            one.parameters[draw(PARAMETERS)].CopyFrom(draw(values()))
    count = draw(st.sampled_from([len(request.inputs)] * 3 + [0, 1]))
    request.raw_input_contents.extend(draw(raw_contents()) for _ in range(count))
    _draw_rest(draw, request)
    return request


@st.composite
def nearly_good_requests(draw: st.DrawFn) -> protocol.ModelInferRequest:
    """A good request with wrong parameters, outputs or contents, which gets further than any that is all wrong."""
    request = protocol.ModelInferRequest(model_name=draw(st.sampled_from([CLASSIFIER, TAGGER, TRANSLATOR])))
    elements = draw(st.lists(ELEMENTS, min_size=1, max_size=4))
    raw = packed(elements)
    request.inputs.add(name="texts", datatype="BYTES", shape=[draw(st.sampled_from([len(elements)] * 4 + [1, 5]))])
    request.raw_input_contents.append(raw[: len(raw) - draw(st.sampled_from([0, 0, 0, 1, 5]))])
    _draw_rest(draw, request)
    return request


def _draw_rest(draw: st.DrawFn, request: protocol.ModelInferRequest) -> None:
    for name in draw(st.lists(NAMES, max_size=2)):
        wanted = request.outputs.add(name=name)
        if draw(st.booleans()):
            wanted.parameters[draw(PARAMETERS)].CopyFrom(draw(values()))
    for name in draw(st.lists(PARAMETERS, max_size=2)):
        request.parameters[name].CopyFrom(draw(values()))


class OpenInference:
    """Stubs over a channel, and a good request with its answer."""

    def __init__(self, server: ServerProcess, channel: grpc.Channel) -> None:
        self.server = server
        self.stub = GRPCInferenceServiceStub(channel)
        self.good = protocol.ModelInferRequest(model_name=CLASSIFIER)
        self.good.inputs.add(name="texts", datatype="BYTES", shape=[2])
        self.good.raw_input_contents.append(packed([b"a good film", b"bad"]))
        self.answer = self._ask_good()

    def check_good(self) -> None:
        """The good request is answered as before, bit for bit."""
        assert self._ask_good() == self.answer

    def infer(self, request: protocol.ModelInferRequest) -> protocol.ModelInferResponse:
        return self.stub.ModelInfer(request, timeout=10)

    def _ask_good(self) -> list[bytes]:
        return list(self.infer(self.good).raw_output_contents)


@pytest.fixture(scope="module")
def fuzzed(server: ServerProcess) -> Iterator[OpenInference]:
    with grpc.insecure_channel(server.target) as channel:
        fuzzed = OpenInference(server, channel)
        for _ in range(200):  # so that what is allocated once has been
            fuzzed.check_good()
        process, lines, begun = psutil.Process(server.process.pid), len(server.log), time.monotonic()
        before = process.memory_info().rss
        yield fuzzed
        assert process.memory_info().rss - before < MOST_GROWTH_BYTES
        assert len(server.log) - lines <= 1 + time.monotonic() - begun, "more than a line per second"
        assert "Traceback" not in "".join(server.log)


def is_told_why(call: Callable[[], object]) -> None:
    """A call succeeds, or ends with a status of those expected, a reason of ours and a message of bounded length."""
    try:
        call()
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        assert refusal.code in EXPECTED, refusal
        assert refusal.reason, refusal
        assert 0 < len(refusal.message) <= 800


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples,
        phases=[Phase.explicit, Phase.generate],  # what fails at a distance does not shrink
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@fuzz(400)
@given(requests())
@example(protocol.ModelInferRequest())
def test_any_request_is_answered_or_told_why(fuzzed: OpenInference, request: protocol.ModelInferRequest) -> None:
    is_told_why(lambda: fuzzed.infer(request))
    fuzzed.check_good()


@fuzz(300)
@given(nearly_good_requests())
def test_a_request_that_is_nearly_good_is_answered_or_told_why(
    fuzzed: OpenInference, request: protocol.ModelInferRequest
) -> None:
    is_told_why(lambda: fuzzed.infer(request))
    fuzzed.check_good()


@fuzz(150)
@given(st.lists(requests() | nearly_good_requests(), max_size=4))
def test_any_stream_goes_on_after_a_request_that_cannot_be(
    fuzzed: OpenInference, some: list[protocol.ModelInferRequest]
) -> None:
    replies = list(fuzzed.stub.ModelStreamInfer(iter([*some, fuzzed.good]), timeout=20))
    finals = [one for one in replies if one.infer_response.parameters["triton_final_response"].bool_param]
    assert len(finals) == len(some) + 1
    assert fuzzed.answer in [list(one.infer_response.raw_output_contents) for one in replies]
    assert all(len(one.error_message.encode()) <= 800 for one in replies)


@fuzz(60)
@given(requests(), st.binary(min_size=1, max_size=60), st.integers(0, 2**31))
@example(protocol.ModelInferRequest(), b"\x0a\x02\xed\xa0", 0)
def test_bytes_that_were_changed_are_answered_or_told_why(
    fuzzed: OpenInference, client: Client, request: protocol.ModelInferRequest, junk: bytes, place: int
) -> None:
    whole = request.SerializeToString()
    cut = place % (len(whole) + 1)
    is_told_why(lambda: client.raw(MODEL_INFER, whole[:cut] + junk + whole[cut + len(junk) :]))
    fuzzed.check_good()


def test_a_name_that_is_half_a_surrogate_pair_is_no_message(client: Client) -> None:
    refusal = refused(lambda: client.raw(MODEL_INFER, b"\x0a\x03\xed\xa0\x80"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE_MESSAGE")


def test_fields_of_a_later_version_are_passed_over(fuzzed: OpenInference, client: Client) -> None:
    reply = protocol.ModelInferResponse.FromString(
        client.raw(MODEL_INFER, fuzzed.good.SerializeToString() + b"\xf8\x07\x01")
    )
    assert list(reply.raw_output_contents) == fuzzed.answer


@pytest.mark.parametrize("count", [1, 100_000, 1_000_000], ids=str)
def test_elements_by_the_million_are_refused_at_once(fuzzed: OpenInference, count: int) -> None:
    """Empty elements take four bytes each on the wire, and would take more in memory."""
    request: Any = protocol.ModelInferRequest(model_name=CLASSIFIER)
    request.inputs.add(name="texts", datatype="BYTES", shape=[2])
    request.raw_input_contents.append(b"\0\0\0\0" * count)
    refusal = refused(lambda: fuzzed.infer(request))
    assert refusal.fields == ("raw_input_contents[0]",)
    fuzzed.check_good()


def test_what_gets_through_the_fuzz_is_no_accident(fuzzed: OpenInference) -> None:
    """The strategies make good requests too, else they would test nothing behind the first check."""
    codes = {"ok": 0, "refused": 0}

    @fuzz(100)
    @given(nearly_good_requests())
    def count(request: protocol.ModelInferRequest) -> None:
        try:
            fuzzed.infer(request)
            codes["ok"] += 1
        except grpc.RpcError:
            codes["refused"] += 1

    count()
    assert codes["ok"] >= 5
    assert codes["refused"] >= 20
