"""The RPCs of the Open Inference Protocol over a real channel, on a serving layer of a few lines."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from service.errors import QueueFullError
from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.sequences import TokenIds
from service.settings import GrpcSettings
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from tests.infer_messages import infer_request, tensors
from tests.unit.transport.fake_front import FakeFront, Served, detail, eventually, serving
from tests.unit.transport.open_inference.asking import SERVICE, failure, stub

CLASSIFY = infer_request("tiny", {"texts": ["a b"]}, request_id="id 1")


async def sent(*requests: protocol.ModelInferRequest) -> AsyncIterator[protocol.ModelInferRequest]:
    for request in requests:
        yield request


# Server and models


async def test_a_server_is_live_at_once_and_ready_when_it_says_so(served: Served) -> None:
    assert (await stub(served).ServerLive(protocol.ServerLiveRequest())).live
    assert not (await stub(served).ServerReady(protocol.ServerReadyRequest())).ready
    served.health.set_ready(True)
    assert (await stub(served).ServerReady(protocol.ServerReadyRequest())).ready
    served.health.drain()
    assert (await stub(served).ServerLive(protocol.ServerLiveRequest())).live
    assert not (await stub(served).ServerReady(protocol.ServerReadyRequest())).ready


async def test_a_model_is_ready_or_not_and_only_an_unknown_one_is_an_error(served: Served) -> None:
    served.health.set_models({"tiny": True, "failed": False, "loading": False})

    async def ready(name: str, version: str = "") -> bool:
        return (await stub(served).ModelReady(protocol.ModelReadyRequest(name=name, version=version))).ready

    assert [await ready("tiny"), await ready("tiny", "2"), await ready("failed"), await ready("loading", "1")] == [
        True, True, False, False,
    ]  # fmt: skip
    for name, version, code in (
        ("nobody", "", grpc.StatusCode.NOT_FOUND),
        ("tiny", "4", grpc.StatusCode.NOT_FOUND),
        ("tiny", "-1", grpc.StatusCode.INVALID_ARGUMENT),
        ("", "", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        assert (await failure(lambda name=name, version=version: ready(name, version))).code() is code  # type: ignore[misc]


async def test_the_server_tells_what_it_has_beyond_the_core_protocol(served: Served, controlled: Served) -> None:
    plain = await stub(served).ServerMetadata(protocol.ServerMetadataRequest())
    more = await stub(controlled).ServerMetadata(protocol.ServerMetadataRequest())
    assert (plain.name, plain.version) == ("seqserve", "0.1.0")
    assert set(plain.extensions) == {
        "classification", "model_repository", "model_configuration", "parameters", "statistics",
    }  # fmt: skip
    assert set(more.extensions) - set(plain.extensions) == {"model_repository(unload_dependents)"}


async def test_metadata_tells_the_tensors_with_the_batch_and_the_versions_that_answer(served: Served) -> None:
    found = await stub(served).ModelMetadata(protocol.ModelMetadataRequest(name="tiny"))
    assert (found.name, list(found.versions), found.platform) == ("tiny", ["2", "3"], "onnxruntime_onnx")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("texts", "BYTES", [-1, 1]),
        ("token_ids", "INT64", [-1, -1]),
        ("lengths", "INT64", [-1, 1]),
    ]
    assert [(one.name, one.datatype, list(one.shape)) for one in found.outputs] == [
        ("labels", "BYTES", [-1, -1]),
        ("scores", "FP32", [-1, -1]),
        ("logits", "FP32", [-1, 2]),
        ("probabilities", "FP32", [-1, 2]),
    ]
    assert dict(found.properties) == {"task": "classification", "digest": "cd", "precision": "fp32"}
    older = await stub(served).ModelMetadata(protocol.ModelMetadataRequest(name="tiny", version="2"))
    assert older.properties["precision"] == "int8"


@pytest.mark.parametrize(
    ("name", "inputs", "most", "decoupled"),
    [
        ("tiny", {"texts": [1], "token_ids": [-1], "lengths": [1]}, 256, False),
        ("tagger", {"features": [-1, 1], "lengths": [1]}, 256, False),
        ("generator", {"prompt": [1]}, 1, True),
        ("translator", {"texts": [1], "target_prefixes": [1]}, 64, False),
    ],
)
async def test_a_configuration_tells_sizes_without_the_batch(
    served: Served, name: str, inputs: dict[str, list[int]], most: int, decoupled: bool
) -> None:
    config = (await stub(served).ModelConfig(protocol.ModelConfigRequest(name=name))).config
    metadata = await stub(served).ModelMetadata(protocol.ModelMetadataRequest(name=name))
    assert {one.name: list(one.dims) for one in config.input} == inputs
    assert (config.max_batch_size, config.model_transaction_policy.decoupled) == (most, decoupled)
    for configured, described in ((config.input, metadata.inputs), (config.output, metadata.outputs)):
        assert [(one.name, [-1, *one.dims]) for one in configured] == [(one.name, list(one.shape)) for one in described]
        types = [protocol.DataType.Name(one.data_type).replace("STRING", "BYTES") for one in configured]
        assert types == [f"TYPE_{one.datatype}" for one in described]
    assert (config.name, config.platform, config.backend) == (name, metadata.platform, "onnxruntime")
    assert config.HasField("dynamic_batching")
    assert config.parameters["task"].string_value == metadata.properties["task"]


async def test_only_inputs_that_may_be_left_out_are_optional(served: Served) -> None:
    for name, needed in (("tiny", []), ("tagger", ["features"]), ("generator", ["prompt"]), ("translator", ["texts"])):
        config = (await stub(served).ModelConfig(protocol.ModelConfigRequest(name=name))).config
        assert [one.name for one in config.input if not one.optional] == needed


async def test_a_model_that_does_not_answer_is_unavailable_with_the_reason(served: Served) -> None:
    for call in (
        lambda: stub(served).ModelMetadata(protocol.ModelMetadataRequest(name="failed")),
        lambda: stub(served).ModelConfig(protocol.ModelConfigRequest(name="failed")),
        lambda: stub(served).ModelInfer(infer_request("failed", {"texts": ["a"]})),
    ):
        error = await failure(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "model failed@1 is not at ready state, it is failed: why"


# Inference


async def test_a_classification_comes_back_with_id_version_and_timings(served: Served, front: FakeFront) -> None:
    reply = await stub(served).ModelInfer(CLASSIFY)
    assert (reply.id, reply.model_name, reply.model_version) == ("id 1", "tiny", "3")
    assert front.sequences == ["a b"]
    assert tensors(reply)["labels"].tolist() == [["positive", "negative"]]
    assert reply.parameters["compute_seconds"].double_param == 0.25
    assert set(reply.parameters) == {"queue_seconds", "compute_seconds", "total_seconds"}


async def test_the_named_version_answers_and_only_what_was_asked_for_comes(served: Served, front: FakeFront) -> None:
    request = infer_request("tiny", {"token_ids": np.array([[4, 5]])}, {"logits": None})
    request.model_version = "2"
    reply = await stub(served).ModelInfer(request)
    assert (reply.model_version, [one.name for one in reply.outputs]) == ("2", ["logits"])
    assert front.sequences == [TokenIds([4, 5])]


async def test_the_version_that_the_reply_names_is_the_one_that_is_asked(served: Served, front: FakeFront) -> None:
    """Else a version that comes meanwhile would answer under the name of another."""
    await stub(served).ModelInfer(CLASSIFY)
    await stub(served).ModelInfer(infer_request("translator", {"texts": ["a"]}))
    generation = infer_request("generator", {"prompt": ["p"]})
    [reply async for reply in stub(served).ModelStreamInfer(sent(generation))]
    assert front.references == ["tiny@3", "translator@1", "generator@1"]


async def test_a_request_with_typed_contents_gets_a_raw_reply_like_any_other(served: Served) -> None:
    request = protocol.ModelInferRequest(model_name="tiny", id="id 1")
    request.inputs.add(name="texts", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"a b")
    assert await stub(served).ModelInfer(request) == await stub(served).ModelInfer(CLASSIFY)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("tiny", {"texts": ["a", "b"]}),
        ("tagger", {"features": np.array([[[1.0]], [[2.0]]])}),
        ("translator", {"texts": ["a", "b"]}),
        ("generator", {"prompt": ["p"]}),
    ],
)
async def test_replies_have_the_outputs_that_the_metadata_tells(
    served: Served, name: str, inputs: dict[str, Any]
) -> None:
    metadata = await stub(served).ModelMetadata(protocol.ModelMetadataRequest(name=name))
    async for reply in stub(served).ModelStreamInfer(sent(infer_request(name, inputs))):
        outputs = reply.infer_response.outputs
        assert [(one.name, one.datatype) for one in outputs] == [(one.name, one.datatype) for one in metadata.outputs]
        for output, told in zip(outputs, metadata.outputs, strict=True):
            assert len(output.shape) == len(told.shape)
            assert all(size in {got, -1} for got, size in zip(output.shape, told.shape, strict=True))
            assert output.shape[0] == len(next(iter(inputs.values())))


async def test_a_translation_that_samples_tells_its_seed(served: Served, front: FakeFront) -> None:
    reply = await stub(served).ModelInfer(
        infer_request("translator", {"texts": ["ab", "c"]}, temperature=0.5, hypothesis_count=2)
    )
    assert tensors(reply)["translations"].tolist() == [["AB", "AB!"], ["C", "C!"]]
    (options,) = front.options
    assert isinstance(options, TranslateOptions)
    assert options.sampling is not None
    assert reply.parameters["seed"].int64_param == options.sampling.seed


async def test_a_generator_is_asked_by_a_stream_alone(served: Served) -> None:
    error = await failure(lambda: stub(served).ModelInfer(infer_request("generator", {"prompt": ["p"]})))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "ModelStreamInfer" in (error.details() or "")


async def test_a_generation_streams_and_only_its_last_reply_is_final(served: Served, front: FakeFront) -> None:
    request = infer_request("generator", {"prompt": ["p"]}, request_id="g", seed=7)
    replies = [reply async for reply in stub(served).ModelStreamInfer(sent(request))]
    assert not any(reply.error_message for reply in replies)
    found = [reply.infer_response for reply in replies]
    assert [reply.id for reply in found] == ["g"] * 3
    assert "".join(tensors(reply)["text"].item() for reply in found) == "p0p1!"
    assert [tensors(reply)["finish_reason"].item() for reply in found] == ["", "", "stop"]
    assert [reply.parameters["triton_final_response"].bool_param for reply in found] == [False, False, True]
    assert ["seed" in reply.parameters for reply in found] == [True, False, False]
    assert ["total_seconds" in reply.parameters for reply in found] == [False, False, True]
    (options,) = front.options
    assert isinstance(options, GenerateOptions)
    assert options.sampling.seed == found[0].parameters["seed"].int64_param == 7


async def test_a_stream_answers_models_of_one_reply_too_which_is_final(served: Served) -> None:
    (reply,) = [reply async for reply in stub(served).ModelStreamInfer(sent(CLASSIFY))]
    assert reply.infer_response.parameters["triton_final_response"].bool_param
    alone = await stub(served).ModelInfer(CLASSIFY)
    del reply.infer_response.parameters["triton_final_response"]
    assert reply.infer_response == alone


async def test_a_failure_is_told_in_the_stream_or_by_its_status_where_that_was_asked_for(served: Served) -> None:
    unknown = infer_request("nobody", {"texts": ["a"]}, request_id="x")
    replies = [reply async for reply in stub(served).ModelStreamInfer(sent(unknown, CLASSIFY))]
    assert [reply.error_message for reply in replies] == ["no model is called nobody", ""]
    assert replies[0].infer_response.id == "x"
    metadata = (("triton_grpc_error", "true"),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [reply async for reply in stub(served).ModelStreamInfer(sent(unknown, CLASSIFY), metadata=metadata)]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_is_refused_arrives_with_code_reason_and_field(served: Served, front: FakeFront) -> None:
    error = await failure(lambda: stub(served).ModelInfer(infer_request("tiny", {"texts": ["a", " "]})))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    info, bad = detail(error, error_details_pb2.ErrorInfo), detail(error, error_details_pb2.BadRequest)
    assert info is not None
    assert bad is not None
    assert (info.reason, bad.field_violations[0].field) == ("INVALID_ARGUMENT", "texts[1]")
    front.error = QueueFullError("full")
    assert (await failure(lambda: stub(served).ModelInfer(CLASSIFY))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_timeout_of_the_request_is_a_deadline_like_the_clients(served: Served, front: FakeFront) -> None:
    await stub(served).ModelInfer(infer_request("tiny", {"texts": ["a"]}, timeout=1_500_000))
    await stub(served).ModelInfer(infer_request("tiny", {"texts": ["a"]}, timeout=3600_000_000))
    await stub(served).ModelInfer(CLASSIFY, timeout=5)
    assert front.deadlines == pytest.approx([1.5, 60, 5], abs=0.5)


async def test_a_deadline_in_a_stream_is_told_and_frees_the_place(served: Served, front: FakeFront) -> None:
    front.gate = asyncio.Event()
    request = infer_request("tiny", {"texts": ["a"]}, timeout=50_000)
    (reply,) = [reply async for reply in stub(served).ModelStreamInfer(sent(request))]
    assert "deadline" in reply.error_message
    assert front.working == 0


async def test_a_stream_that_is_left_frees_its_places(served: Served, front: FakeFront) -> None:
    front.gate = asyncio.Event()
    call = stub(served).ModelStreamInfer(sent(CLASSIFY, infer_request("generator", {"prompt": ["p"]})))
    reading = asyncio.ensure_future(call.read())
    await eventually(lambda: front.working == 2)
    call.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await eventually(lambda: front.working == 0)


async def test_an_idle_stream_does_not_hold_up_a_drain(front: FakeFront) -> None:
    settings = GrpcSettings(address="127.0.0.1:0", drain_seconds=0, grace_seconds=20)
    async with serving(front, settings) as served:
        call = stub(served).ModelStreamInfer()
        await call.write(CLASSIFY)
        await call.read()
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 5
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert "shutting down" in await call.details()


async def test_calls_and_refusals_are_counted_as_those_of_the_own_api(served: Served) -> None:
    await stub(served).ModelInfer(CLASSIFY)
    for model in ("tiny", "made-up"):
        await failure(lambda model=model: stub(served).ModelInfer(infer_request(model, {"texts": [" "]})))  # type: ignore[misc]
    [reply async for reply in stub(served).ModelStreamInfer(sent(CLASSIFY, CLASSIFY))]
    assert served.handled("ModelInfer", "OK", service=SERVICE) == 1
    assert served.handled("ModelInfer", "InvalidArgument", service=SERVICE) == 1
    assert served.handled("ModelStreamInfer", "OK", service=SERVICE, grpc_type="bidi_stream") == 1
    labels = {"grpc_service": SERVICE, "grpc_method": "ModelStreamInfer", "grpc_type": "bidi_stream"}
    assert served.sample("grpc_server_msg_received_total", **labels) == 2
    assert served.sample("grpc_server_msg_sent_total", **labels) == 2
    rejected = "seqserve_requests_rejected_total"
    assert served.sample(rejected, model="tiny", reason="INVALID_ARGUMENT") == 1
    assert served.sample(rejected, model="_unknown", reason="MODEL_NOT_FOUND") == 1


@pytest.mark.parametrize(
    "method",
    [
        *(f"{kind}SharedMemory{what}" for kind in ("System", "Cuda") for what in ("Status", "Register", "Unregister")),
        "TraceSetting",
        "LogSettings",
    ],
)
async def test_what_this_server_does_not_have_is_unimplemented(served: Served, method: str) -> None:
    call: Any = served.channel.unary_unary(f"/{SERVICE}/{method}")
    assert (await failure(lambda: call(b""))).code() is grpc.StatusCode.UNIMPLEMENTED
