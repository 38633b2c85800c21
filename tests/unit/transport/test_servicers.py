"""Every RPC over a real channel: answers, errors, deadlines, cancellation."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from service.errors import ModelNotFoundError, QueueFullError, WrongTaskError
from service.serving.api import ModelInfo
from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.sequences import Words
from service.settings import GrpcSettings
from tests.unit.transport.fake_front import FakeFront, Served, detail, eventually, serving

CLASSIFY = inference.ClassifyTextRequest(model="tiny", texts=["a b", "c"])


async def test_a_classification_comes_back_with_model_labels_and_timings(served: Served) -> None:
    answer = await served.inference.ClassifyText(CLASSIFY)
    assert (answer.model_version.name, answer.model_version.version) == ("tiny", 3)
    assert [found.token_count for found in answer.classifications] == [2, 1]
    assert [score.label for score in answer.classifications[0].labels] == ["positive", "negative"]
    assert answer.timings.compute_duration.ToMilliseconds() == 250


async def test_as_many_labels_come_back_as_were_asked_for(served: Served) -> None:
    request = inference.ClassifyTextRequest(model="tiny", texts=["a"], top_label_count=1)
    answer = await served.inference.ClassifyText(request)
    assert [score.label for score in answer.classifications[0].labels] == ["positive"]


async def test_a_labelled_sequence_comes_back_with_model_steps_spans_and_timings(
    served: Served, front: FakeFront
) -> None:
    sequences = [inference.InputSequence(words=["Mary"]), inference.InputSequence(text="Mary")]
    request = inference.LabelSequenceRequest(model="tiny", sequences=sequences, top_label_count=1)
    answer = await served.inference.LabelSequence(request)
    assert front.sequences == [Words(("Mary",)), "Mary"]
    assert (answer.model_version.name, len(answer.sequences)) == ("tiny", 2)
    assert [score.label for score in answer.sequences[0].steps[0].labels] == ["B-PER"]
    assert answer.sequences[0].spans[0].label == "PER"
    assert answer.timings.compute_duration.ToMilliseconds() == 250


async def test_a_generation_streams_and_only_its_last_message_has_a_finish_reason(
    served: Served, front: FakeFront
) -> None:
    request = inference.GenerateTextRequest(model="tiny", prompt="p", max_output_token_count=7)
    messages = [message async for message in served.inference.GenerateText(request)]
    assert "".join(message.text for message in messages) == "p0p1!"
    assert [message.finish_reason for message in messages] == [0, 0, inference.FINISH_REASON_STOP]
    assert [message.HasField("model_version") for message in messages] == [True, False, False]
    (options,) = front.options
    assert isinstance(options, GenerateOptions)
    assert options.max_output_token_count == 7
    assert messages[0].seed == options.sampling.seed


async def test_a_translation_brings_attention_when_asked(served: Served, front: FakeFront) -> None:
    request = inference.TranslateTextRequest(model="tiny", texts=["ab"], include_attention=True)
    answer = await served.inference.TranslateText(request)
    assert answer.translations[0].text == "AB"
    assert answer.translations[0].finish_reason == inference.FINISH_REASON_LENGTH
    assert [list(row.weights) for row in answer.translations[0].attention.rows] == [[0.25, 0.75]]
    assert front.options == [TranslateOptions(None, include_attention=True)]


async def test_models_are_listed_and_described(served: Served, front: FakeFront) -> None:
    front.models = [ModelInfo("a", 1, "active", task="generation"), ModelInfo("b", 1, "failed", failure="broken")]
    listed = await served.models.ListModels(models.ListModelsRequest())
    assert [model.name for model in listed.models] == ["a", "b"]
    found = await served.models.GetModel(models.GetModelRequest(model="b"))
    assert (found.model.state, found.model.failure) == (models.Model.STATE_FAILED, "broken")


async def test_what_the_front_refuses_arrives_with_code_reason_and_field(served: Served, front: FakeFront) -> None:
    front.error = WrongTaskError("does something else", field="model", task="generation")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ClassifyText(CLASSIFY)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    info = detail(caught.value, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (info.reason, info.domain, dict(info.metadata)) == ("WRONG_TASK", "seqserve", {"task": "generation"})
    bad = detail(caught.value, error_details_pb2.BadRequest)
    assert bad is not None
    assert bad.field_violations[0].field == "model"


async def test_a_stream_that_fails_ends_with_a_status(served: Served, front: FakeFront) -> None:
    front.error = ModelNotFoundError("no such model")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [message async for message in served.inference.GenerateText(inference.GenerateTextRequest(model="x"))]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_full_queue_pushes_back(served: Served, front: FakeFront) -> None:
    front.error = QueueFullError("full")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ClassifyText(CLASSIFY)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("grpc-retry-pushback-ms", "100") in tuple(caught.value.trailing_metadata() or ())


async def test_a_request_refused_here_never_reaches_the_front_and_is_counted(served: Served, front: FakeFront) -> None:
    for model in ("tiny", "tiny@3", "made-up"):
        with pytest.raises(grpc.aio.AioRpcError):
            await served.inference.ClassifyText(inference.ClassifyTextRequest(model=model, texts=[""]))
    assert front.deadlines == []
    rejected = "seqserve_requests_rejected_total"
    assert served.sample(rejected, model="tiny", reason="INVALID_ARGUMENT") == 2
    assert served.sample(rejected, model="_unknown", reason="INVALID_ARGUMENT") == 1


async def test_the_shorter_deadline_wins(front: FakeFront) -> None:
    async with serving(front, GrpcSettings(address="127.0.0.1:0", max_request_seconds=5)) as served:
        await served.inference.ClassifyText(CLASSIFY)
        await served.inference.ClassifyText(CLASSIFY, timeout=2)
        await served.inference.ClassifyText(CLASSIFY, timeout=3600)
    assert front.deadlines == [pytest.approx(5, abs=0.5), pytest.approx(2, abs=0.5), pytest.approx(5, abs=0.5)]


async def test_a_client_that_leaves_ends_the_work(served: Served, front: FakeFront) -> None:
    front.gate = asyncio.Event()
    stream = served.inference.GenerateText(inference.GenerateTextRequest(model="tiny"))
    unary = served.inference.ClassifyText(CLASSIFY)
    waiting = asyncio.ensure_future(unary)
    reading = asyncio.ensure_future(stream.read())
    await eventually(lambda: front.working == 2)
    stream.cancel()
    unary.cancel()
    await eventually(lambda: front.working == 0)
    await asyncio.gather(waiting, reading, return_exceptions=True)
    await eventually(lambda: served.handled("ClassifyText", "Canceled") == 1)
    await eventually(lambda: served.handled("GenerateText", "Canceled", grpc_type="server_stream") == 1)


async def test_a_client_that_leaves_while_a_message_waits_to_be_read_ends_the_work(
    served: Served, front: FakeFront
) -> None:
    front.chunk_count = 1_000_000
    stream = served.inference.GenerateText(inference.GenerateTextRequest(model="tiny", prompt="p" * 10_000))
    await stream.read()
    await asyncio.sleep(0.2)  # flow control stops the server in the middle of a write
    assert front.working == 1
    stream.cancel()
    await eventually(lambda: front.working == 0)


async def test_a_deadline_ends_the_work(served: Served, front: FakeFront) -> None:
    front.gate = asyncio.Event()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ClassifyText(CLASSIFY, timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: front.working == 0)
    await eventually(lambda: served.handled("ClassifyText", "DeadlineExceeded") == 1)
