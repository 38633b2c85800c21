"""What a load generator asks with, at a server that notes who calls and refuses when told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from seqserve.connection import CHANNEL_OPTIONS
from seqserve.errors import ResourceExhaustedError, UnavailableError
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1.inference_service_pb2_grpc import InferenceServiceServicer, add_InferenceServiceServicer_to_server
from tests.bench.serving.load.askers import Asker, SeqserveAsker
from tests.bench.serving.load.client import LoadClient
from tests.bench.serving.load.generate import Arrivals, Window, call_in_turn
from tests.bench.serving.load.processes import Usage, sample_of, shares
from tests.bench.serving.load.spec import Item, LoadSpec, Report, Task

PAUSE_SECONDS = 0.02


@dataclass
class NotingServer(InferenceServiceServicer):
    """Classifies everything as good, and writes `ab` and loses the stream; notes the address of every caller."""

    refuses: bool = False
    peers: list[str] = field(default_factory=list)

    async def ClassifyText(self, request: Any, context: Any) -> inference.ClassifyTextResponse:  # noqa: N802
        self.peers.append(context.peer())
        if self.refuses:
            await context.abort_with_status(rpc_status.to_status(full_queue()))
        good = inference.Classification(labels=[inference.LabelScore(label="good", probability=1.0)])
        return inference.ClassifyTextResponse(classifications=[good for _ in request.texts])

    async def GenerateText(self, request: Any, context: Any) -> AsyncIterator[inference.GenerateTextResponse]:  # noqa: N802
        self.peers.append(context.peer())
        version = inference.ModelVersion(name="m", version=1)
        yield inference.GenerateTextResponse(text="ab", token_count=2, model_version=version, seed=1)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")


def full_queue() -> status_pb2.Status:
    """A refusal after which AsyncClient would come back at once."""
    found = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="full")
    found.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1_000_000)))
    return found


@asynccontextmanager
async def serving(servicer: NotingServer) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_InferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def load(target: str = "", task: Task = "classification", **more: Any) -> LoadSpec:
    return LoadSpec("seqserve", target, "m", task, [Item("a", "good", 1)], **more)


async def test_every_asker_has_a_connection_of_its_own() -> None:
    servicer = NotingServer()
    async with serving(servicer) as target:
        for asker in [SeqserveAsker(load(target)) for _ in range(4)]:
            assert await asker.ask(["a"]) == [("good", 1)]
    assert len(set(servicer.peers)) == 4


async def test_other_clients_are_left_as_they_were() -> None:
    before = list(CHANNEL_OPTIONS)
    await LoadClient("127.0.0.1:1").close()
    assert before == CHANNEL_OPTIONS


async def test_a_refused_call_is_seen_and_not_repeated() -> None:
    servicer = NotingServer(refuses=True)
    async with serving(servicer) as target:
        with pytest.raises(ResourceExhaustedError):
            await SeqserveAsker(load(target)).ask(["a"])
    assert len(servicer.peers) == 1


async def test_a_stream_that_is_lost_is_seen_and_not_begun_again() -> None:
    servicer = NotingServer()
    async with serving(servicer) as target:
        with pytest.raises(UnavailableError):
            _ = [piece async for piece in SeqserveAsker(load(target, "generation")).stream("a")]
    assert len(servicer.peers) == 1


class NotingAsker:
    """Answers at once, and counts how often; streams a token, and after a pause three together and an empty end."""

    def __init__(self) -> None:
        self.count = 0

    async def ask(self, texts: Any) -> list[tuple[str, int | None]]:
        self.count += 1
        await asyncio.sleep(0)
        return [("good", 1) for _ in texts]

    async def stream(self, text: str) -> AsyncIterator[tuple[str, int]]:
        yield "g", 1
        await asyncio.sleep(PAUSE_SECONDS)
        yield "ood", 3
        yield "", 0


async def test_one_call_in_flight_goes_over_all_connections_in_turn() -> None:
    askers = [NotingAsker() for _ in range(3)]
    in_turn: list[Asker] = [askers[number % 3] for number in range(9)]
    spec = load(warm_seconds=0.0, seconds=60.0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await call_in_turn(iter(in_turn), spec, iter(spec.items * 20), Window(spec), Report())
    assert [asker.count for asker in askers] == [3, 3, 3]


async def test_a_stall_before_several_tokens_is_not_divided_among_them() -> None:
    spec, report = load(task="generation", warm_seconds=0.0, seconds=60.0), Report()
    with pytest.raises(RuntimeError, match="StopIteration"):
        await call_in_turn(iter([NotingAsker()]), spec, iter(spec.items * 2), Window(spec), report)
    assert (report.items, report.tokens, report.different) == (1, 4, 0)
    assert max(report.gaps_ms) >= PAUSE_SECONDS * 1000
    assert sorted(report.gaps_ms)[:2] == [0.0, 0.0]
    assert len(report.gaps_ms) == 3


@pytest.mark.parametrize(("calls", "connections"), [(2, [8, 8]), (33, [8, 8]), (1, [16])])
def test_connections_are_shared_out_however_few_calls_there_are(calls: int, connections: list[int]) -> None:
    found = shares(load(calls_in_flight=calls, connections=16), generators=2)
    assert [one.connections for one in found] == connections
    assert sum(one.calls_in_flight for one in found) == calls


def noted(*messages: tuple[float, int], begin: float = 0.0, end: float = 1000.0) -> Report:
    """What is counted of one stream that was asked for at 0 and brings (moment in seconds, tokens)."""
    window, report = Window(load()), Report()
    window.begin, window.end = begin, end
    arrivals = Arrivals(0.0, window, report)
    for now, token_count in messages:
        arrivals.note(now, token_count)
    return report


def test_the_first_message_is_no_gap_and_an_empty_one_neither_ends_nor_begins_one() -> None:
    report = noted((2.0, 1), (2.5, 1), (3.0, 0), (4.0, 1))
    assert report.firsts_ms == [2000.0]
    assert report.gaps_ms == [500.0, 1500.0]
    assert (report.tokens, report.messages) == (3, 3)


def test_tokens_of_one_message_have_no_time_between_them() -> None:
    report = noted((1.0, 1), (3.0, 3))
    assert sorted(report.gaps_ms) == [0.0, 0.0, 2000.0]
    assert sample_of(report, 1.0, Usage(1.0, 0.0)).tokens_per_message == 2.0


def test_a_gap_counts_where_it_ends_in_the_time_that_counts() -> None:
    assert noted((1.0, 1), (5.0, 1), (7.0, 1), (11.0, 1), begin=4.0, end=10.0).gaps_ms == [4000.0, 2000.0]


def test_the_p99_between_tokens_is_of_all_gaps_of_all_streams() -> None:
    moments = [float(number) for number in range(99)] + [103.0, 110.0]  # 98 gaps of 1 s, one of 5 s and one of 7 s
    report = noted(*((moment, 1) for moment in moments))
    assert sample_of(report, 1.0, Usage(1.0, 0.0)).gap_p99_ms == 5000.0
    report.add(noted((0.0, 1), (9.0, 1)))
    assert sample_of(report, 1.0, Usage(1.0, 0.0)).gap_p99_ms == 7000.0
