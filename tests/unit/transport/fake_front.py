"""A fake serving layer behind a real grpc.aio server, and a real channel to it."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from seqserve.v1.inference_service_pb2_grpc import InferenceServiceStub
from seqserve.v1.model_service_pb2_grpc import ModelServiceStub
from service.errors import ModelNotFoundError
from service.metrics import Metrics
from service.serving.api import (
    Attention,
    Classification,
    ClassifyResult,
    FinishReason,
    GeneratedChunk,
    Hypothesis,
    LabelledSequence,
    LabelledStep,
    LabelResult,
    LabelScore,
    LabelSpan,
    LogitsResult,
    ModelInfo,
    ScoreResult,
    Timings,
    TokenScore,
    TranslateResult,
    Translation,
    TranslationScore,
)
from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.sequences import InputSequence, SequenceLogits, TextPair
from service.serving.statistics import ModelStatistics
from service.serving.truncation import Truncation
from service.settings import GrpcSettings
from service.state.requests import STATELESS, SequenceStates
from service.transport.open_inference.repository import RepositoryControl
from service.transport.server import open_server
from service.transport.standard.health import HealthBoard

if TYPE_CHECKING:  # these two are known to type checkers only
    from seqserve.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub
    from seqserve.v1.model_service_pb2_grpc import ModelServiceAsyncStub

TIMINGS = Timings(queue_seconds=0.001, compute_seconds=0.25, total_seconds=1.5)


@dataclass
class FakeFront:
    """Answers with what the test can predict. `error` is raised instead; `gate`, where set, is waited for first."""

    models: list[ModelInfo] = field(default_factory=list)
    error: BaseException | None = None
    gate: asyncio.Event | None = None
    chunk_count: int = 3
    deadlines: list[float] = field(default_factory=list)
    options: list[GenerateOptions | TranslateOptions] = field(default_factory=list)
    sequences: list[InputSequence] = field(default_factory=list)
    truncations: list[Truncation] = field(default_factory=list)
    statistics_told: list[ModelStatistics] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    working: int = 0

    def list_models(self) -> Sequence[ModelInfo]:
        return self.models

    def get_model(self, model: str) -> ModelInfo:
        if self.error is not None:
            raise self.error
        name, _, version = model.partition("@")
        found = [one for one in self.models if one.name == name and version in {"", str(one.version)}]
        if not found:
            raise ModelNotFoundError(f"no model is called {model}", field="model")
        return found[-1]

    def statistics(self) -> Sequence[ModelStatistics]:
        return self.statistics_told

    async def logits(self, model: str, sequences: Sequence[InputSequence], *, deadline: float) -> LogitsResult:
        self.references.append(model)
        self.sequences += sequences
        async with self._work(deadline):
            name, _, version = model.partition("@")
            found = SequenceLogits([[0.0, 1.0]], [[0.25, 0.75]], ("Mary",))
            return LogitsResult(name, int(version or 3), tuple(found for _ in sequences), TIMINGS)

    async def classify(
        self, model: str, texts: Sequence[str], *, deadline: float, truncation: Truncation = Truncation.REFUSE
    ) -> ClassifyResult:
        self.truncations.append(truncation)
        async with self._work(deadline):
            labels = (LabelScore("positive", 0.75), LabelScore("negative", 0.25))
            found = tuple(Classification(labels, token_count=len(text.split())) for text in texts)
            return ClassifyResult(model, 3, found, TIMINGS)

    async def label(
        self, model: str, sequences: Sequence[InputSequence], *, top_label_count: int | None, deadline: float,
        states: SequenceStates = STATELESS, truncation: Truncation = Truncation.REFUSE,
    ) -> LabelResult:  # fmt: skip
        self.truncations.append(truncation)
        self.sequences += sequences
        async with self._work(deadline):
            labels = (LabelScore("B-PER", 0.75), LabelScore("O", 0.25))[:top_label_count]
            found = LabelledSequence((LabelledStep(labels, "Mary"),), (LabelSpan("PER", 0, 0, 0.75),), 2)
            return LabelResult(model, 3, tuple(found for _ in sequences), TIMINGS)

    async def generate(
        self, model: str, prompt: str, options: GenerateOptions, *, deadline: float
    ) -> AsyncIterator[GeneratedChunk]:
        self.references.append(model)
        self.options.append(options)
        async with self._work(deadline):
            seeds = itertools.chain([options.sampling.seed], itertools.repeat(None))
            for index in range(self.chunk_count - 1):
                yield GeneratedChunk(model, 2, f"{prompt}{index}", index, 1, seed=next(seeds))
                await asyncio.sleep(0)
            last = self.chunk_count - 1
            yield GeneratedChunk(model, 2, "!", last, 1, FinishReason.STOP, TIMINGS, seed=next(seeds))

    async def translate(
        self, model: str, texts: Sequence[str], options: TranslateOptions, *, deadline: float
    ) -> TranslateResult:
        self.references.append(model)
        self.options.append(options)
        async with self._work(deadline):
            attention = Attention(("a", "b"), ("x",), ((0.25, 0.75),)) if options.include_attention else None
            count = options.hypothesis_count
            found = tuple(
                Translation(2, tuple(self._hypothesis(text, rank, options, attention) for rank in range(count)))
                for text in texts
            )
            seed = None if options.sampling is None else options.sampling.seed
            return TranslateResult(model, 1, found, TIMINGS, seed)

    @staticmethod
    def _hypothesis(text: str, rank: int, options: TranslateOptions, attention: Attention | None) -> Hypothesis:
        scores = (TokenScore("x", -0.5), TokenScore("<eos>", -0.25)) if options.include_token_scores else ()
        score = -0.75 - rank if scores else None
        return Hypothesis(text.upper() + "!" * rank, 1, FinishReason.LENGTH, score, scores, attention)

    async def score(self, model: str, pairs: Sequence[TextPair], *, deadline: float) -> ScoreResult:
        async with self._work(deadline):
            scores = (TokenScore("x", -0.5), TokenScore("<eos>", -0.25))
            found = tuple(TranslationScore(len(pair.source.split()), scores) for pair in pairs)
            return ScoreResult(model, 1, found, TIMINGS)

    @asynccontextmanager
    async def _work(self, deadline: float) -> AsyncIterator[None]:
        self.deadlines.append(deadline - time.monotonic())
        self.working += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
            yield
        finally:
            self.working -= 1


MOST_SECONDS = 5.0
"""How long the channel stays open for calls that outlast the server."""

T = TypeVar("T")


@dataclass
class Served:
    """A server under test and a channel to it."""

    address: str
    channel: grpc.aio.Channel
    health: HealthBoard
    registry: CollectorRegistry
    calls: set["asyncio.Task[Any]"] = field(default_factory=set)

    def begin(self, call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin a call that may outlast the server: the channel stays open until it has read the end."""
        task = asyncio.create_task(call)
        self.calls.add(task)
        return task

    @property
    def inference(self) -> "InferenceServiceAsyncStub":
        return cast("InferenceServiceAsyncStub", InferenceServiceStub(self.channel))

    @property
    def models(self) -> "ModelServiceAsyncStub":
        return cast("ModelServiceAsyncStub", ModelServiceStub(self.channel))

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of a series now."""
        return self.registry.get_sample_value(name, labels)

    def handled(self, method: str, code: str, *, grpc_type: str = "unary", service: str = "InferenceService") -> float:
        """How many calls of a method ended with a code."""
        full_name = service if "." in service or service == "_unknown" else f"seqserve.v1.{service}"
        value = self.sample(
            "grpc_server_handled_total",
            grpc_type=grpc_type,
            grpc_service=full_name,
            grpc_method=method,
            grpc_code=code,
        )
        assert value is not None, f"{method} {code} has no series"
        return value


@asynccontextmanager
async def serving(
    front: FakeFront, settings: GrpcSettings | None = None, *, control: RepositoryControl | None = None
) -> AsyncIterator[Served]:
    """Serve `front` on a free port."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    health = HealthBoard()
    metrics.add_model("tiny")
    settings = settings or GrpcSettings(address="127.0.0.1:0", drain_seconds=0, grace_seconds=2)
    async with AsyncExitStack() as channels, open_server(settings, front, metrics, health, control=control) as address:
        channel = grpc.aio.insecure_channel(address)
        channels.push_async_callback(channel.close)  # after the server, whose drain it sees
        served = Served(address, channel, health, registry)
        channels.push_async_callback(_ended, served.calls)
        yield served


async def _ended(calls: set["asyncio.Task[Any]"]) -> None:
    if calls:
        await asyncio.wait(calls, timeout=MOST_SECONDS)


def details_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status of a failed call."""
    status: status_pb2.Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    return status


MessageT = TypeVar("MessageT", bound=Message)


def detail(error: grpc.aio.AioRpcError, kind: type[MessageT]) -> MessageT | None:
    """The detail of one type, if the status has it."""
    for packed in details_of(error).details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            return message
    return None


async def eventually(fact: Callable[[], object], *, seconds: float = 2.0) -> None:
    """Wait until a callable is true."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)
