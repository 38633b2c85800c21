"""What the repository holds, models let in and taken out, and what they have done, over a real channel."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

from service.errors import BundleError, DeadlineExceededError, ModelNotFoundError
from service.serving.statistics import ModelStatistics, RequestTally, Spent
from service.settings import GrpcSettings
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol
from tests.unit.transport.fake_front import FakeFront, Served, detail, eventually, serving
from tests.unit.transport.open_inference.asking import Control, failure, stub


async def test_the_index_shows_every_version_with_its_state(served: Served) -> None:
    index = await stub(served).RepositoryIndex(protocol.RepositoryIndexRequest())
    assert [(one.name, one.version, one.state, one.reason) for one in index.models] == [
        ("failed", "1", "UNAVAILABLE", "why"),
        ("generator", "1", "READY", ""),
        ("loading", "1", "LOADING", ""),
        ("tagger", "1", "READY", ""),
        ("tiny", "2", "READY", ""),
        ("tiny", "3", "READY", ""),
        ("translator", "1", "READY", ""),
    ]
    ready = await stub(served).RepositoryIndex(protocol.RepositoryIndexRequest(ready=True))
    assert {one.state for one in ready.models} == {"READY"}
    assert len(ready.models) == 5


async def test_the_index_shows_what_was_taken_out(controlled: Served) -> None:
    index = await stub(controlled).RepositoryIndex(protocol.RepositoryIndexRequest())
    assert (index.models[-1].name, index.models[-1].state, index.models[-1].reason) == (
        "out",
        "UNAVAILABLE",
        "unloaded",
    )


async def test_what_was_taken_out_is_not_ready_and_no_error(controlled: Served) -> None:
    assert not (await stub(controlled).ModelReady(protocol.ModelReadyRequest(name="out"))).ready


async def test_a_repository_of_another_name_is_refused(controlled: Served) -> None:
    for call in (
        lambda: stub(controlled).RepositoryIndex(protocol.RepositoryIndexRequest(repository_name="x")),
        lambda: stub(controlled).RepositoryModelLoad(
            protocol.RepositoryModelLoadRequest(repository_name="x", model_name="tiny")
        ),
    ):
        assert (await failure(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_models_are_loaded_and_unloaded_where_clients_may(controlled: Served, control: Control) -> None:
    await stub(controlled).RepositoryModelLoad(protocol.RepositoryModelLoadRequest(model_name="tiny"))
    unload = protocol.RepositoryModelUnloadRequest(model_name="tiny")
    unload.parameters["unload_dependents"].bool_param = False
    await stub(controlled).RepositoryModelUnload(unload)
    assert control.done == ["load tiny", "unload tiny"]


async def test_elsewhere_they_are_not_and_the_setting_is_named(served: Served) -> None:
    for call in (
        lambda: stub(served).RepositoryModelLoad(protocol.RepositoryModelLoadRequest(model_name="tiny")),
        lambda: stub(served).RepositoryModelUnload(protocol.RepositoryModelUnloadRequest(model_name="tiny")),
    ):
        error = await failure(call)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "repository_control" in (error.details() or "")


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx", "x" * 10_000])
async def test_a_model_is_loaded_as_it_lies_there_and_not_as_the_caller_has_it(controlled: Served, name: str) -> None:
    request = protocol.RepositoryModelLoadRequest(model_name="tiny")
    request.parameters[name].bytes_param = b"{}"
    error = await failure(lambda: stub(controlled).RepositoryModelLoad(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BundleError("it is broken"), grpc.StatusCode.INTERNAL),
        (ModelNotFoundError("nobody"), grpc.StatusCode.NOT_FOUND),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_load_that_fails_says_why(
    controlled: Served, control: Control, error: Exception, code: grpc.StatusCode
) -> None:
    control.error = error
    found = await failure(
        lambda: stub(controlled).RepositoryModelLoad(protocol.RepositoryModelLoadRequest(model_name="tiny"))
    )
    assert (found.code(), found.details()) == (code, str(error))


@pytest.mark.parametrize("name", ["", "tiny@3"])
async def test_a_name_that_is_none_is_not_loaded(controlled: Served, control: Control, name: str) -> None:
    await failure(lambda: stub(controlled).RepositoryModelLoad(protocol.RepositoryModelLoadRequest(model_name=name)))
    assert control.done == []


async def test_a_load_goes_on_when_its_caller_has_no_more_time(front: FakeFront, control: Control) -> None:
    control.gate = asyncio.Event()
    settings = GrpcSettings(address="127.0.0.1:0", drain_seconds=0, grace_seconds=2, max_request_seconds=0.1)
    async with serving(front, settings, control=control) as served:
        error = await failure(
            lambda: stub(served).RepositoryModelLoad(protocol.RepositoryModelLoadRequest(model_name="tiny"))
        )
        info = detail(error, error_details_pb2.ErrorInfo)
        assert info is not None
        assert info.reason == DeadlineExceededError.reason
        control.gate.set()
        await eventually(lambda: control.done == ["load tiny"])


def statistics(name: str, version: int, count: int) -> ModelStatistics:
    tally = RequestTally()
    for _ in range(count):
        tally.answered(2, reading=0.125, queue=0.25, compute=0.5, total=1.0)
    tally.fail.add(0.75)
    return ModelStatistics(name, version, tally, {8: Spent(3, 0.5), 2: Spent(1, 0.25)})


async def test_statistics_are_told_in_nanoseconds(served: Served, front: FakeFront) -> None:
    front.statistics_told = [statistics("tiny", 3, 4)]
    (found,) = (await stub(served).ModelStatistics(protocol.ModelStatisticsRequest(name="tiny"))).model_stats
    assert (found.name, found.version, found.inference_count, found.execution_count) == ("tiny", "3", 8, 4)
    assert found.last_inference > 1_700_000_000_000
    stats = found.inference_stats
    assert [(one.count, one.ns) for one in (stats.success, stats.fail, stats.queue)] == [
        (4, 4_000_000_000),
        (1, 750_000_000),
        (4, 1_000_000_000),
    ]
    assert [one.ns for one in (stats.compute_input, stats.compute_infer, stats.compute_output)] == [
        500_000_000,
        2_000_000_000,
        500_000_000,
    ]
    assert [(one.batch_size, one.compute_infer.count, one.compute_infer.ns) for one in found.batch_stats] == [
        (2, 1, 250_000_000),
        (8, 3, 500_000_000),
    ]


async def test_statistics_are_told_of_all_or_of_those_that_are_named(served: Served, front: FakeFront) -> None:
    front.statistics_told = [statistics("tiny", 2, 1), statistics("tiny", 3, 1), statistics("translator", 1, 1)]

    async def told(name: str, version: str = "") -> list[str]:
        answer = await stub(served).ModelStatistics(protocol.ModelStatisticsRequest(name=name, version=version))
        return [f"{one.name}@{one.version}" for one in answer.model_stats]

    assert await told("") == ["tiny@2", "tiny@3", "translator@1"]
    assert await told("tiny") == ["tiny@2", "tiny@3"]
    assert await told("tiny", "2") == ["tiny@2"]
    assert (await failure(lambda: told("nobody"))).code() is grpc.StatusCode.NOT_FOUND
