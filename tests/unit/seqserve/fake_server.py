"""A server whose answers are made of the request, and which fails where it is told to.   Starts nothing."""

# ruff: noqa: N802 - handlers are named by the proto

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from seqserve.v1.inference_service_pb2_grpc import InferenceServiceServicer
from seqserve.v1.model_service_pb2_grpc import ModelServiceServicer

MODEL_VERSION = inference.ModelVersion(name="fake", version=3)
TIMINGS = inference.ServerTimings(
    queue_duration=Duration(nanos=250_000_000), compute_duration=Duration(seconds=1), total_duration=Duration(seconds=2)
)
TOKEN_SCORES = [
    inference.TokenScore(token="c", log_probability=-0.5),
    inference.TokenScore(token="<eos>", log_probability=-0.25),
]
MODELS = [
    models.Model(
        name="fake-classifier",
        version=2,
        state=models.Model.STATE_ACTIVE,
        task=models.TASK_CLASSIFICATION,
        digest="ab12",
        precision="fp32",
        provider="CPUExecutionProvider",
        labels=["bad", "good"],
        max_token_count=512,
        load_duration=Duration(nanos=500_000_000),
    ),
    models.Model(name="fake-broken", version=1, state=models.Model.STATE_FAILED, failure="no [such] graph"),
    models.Model(
        name="fake-translator",
        version=1,
        state=models.Model.STATE_ACTIVE,
        task=models.TASK_TRANSLATION,
        source_language="en",
        target_language="it",
        has_attention=True,
    ),
    models.Model(
        name="fake-labeller",
        version=1,
        state=models.Model.STATE_ACTIVE,
        task=models.TASK_LABELLING,
        labels=["dry", "rain"],
        features=[models.Feature(name="humidity", unit="%", imputed_value=70.0), models.Feature(name="wind")],
        label_scheme=models.LABEL_SCHEME_PLAIN,
        carries_state=True,
        numerics_class="fp32/cpu",
        exact=True,
    ),
]


@dataclass(frozen=True)
class Received:
    """A call as the server saw it. `seconds` is the monotonic clock's."""

    method: str
    request: Any
    seconds_left: float | None
    seconds: float


def status(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    """A google.rpc.Status with its details packed."""
    packed = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed.details.add().Pack(detail)
    return packed


@dataclass
class FakeServer(InferenceServiceServicer, ModelServiceServicer):
    """Answers from the request alone; fails with `failures`, one per call, before it answers.

    Refuses an input that is or begins with `bad`, by its place, and more than `most_inputs` together.
    """

    target: str = ""
    delay_seconds: float = 0.0
    most_inputs: int = 256
    lost_after: list[int] = field(default_factory=list)
    otherwise: str = ""
    delayed: int = 0
    most_delayed: int = 0
    slow_begun: int = 0
    slow_left: int = 0
    failures: list[status_pb2.Status] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    endless_stream_left: asyncio.Event = field(default_factory=asyncio.Event)

    async def ClassifyText(
        self, request: inference.ClassifyTextRequest, context: Any
    ) -> inference.ClassifyTextResponse:
        await self._receive("ClassifyText", request, context)
        await self._refuse("texts", request.texts, context)
        scores = [
            inference.LabelScore(label="good", probability=0.75),
            inference.LabelScore(label="bad", probability=0.25),
        ]
        count = request.top_label_count if request.HasField("top_label_count") else 2
        return inference.ClassifyTextResponse(
            model_version=MODEL_VERSION,
            classifications=[
                inference.Classification(
                    labels=scores[:count], token_count=len(text.split()), truncated=request.truncation > 1
                )
                for text in request.texts
            ],
            timings=TIMINGS,
        )

    async def LabelSequence(
        self, request: inference.LabelSequenceRequest, context: Any
    ) -> inference.LabelSequenceResponse:
        """Every step is a person, and each sequence one span."""
        await self._receive("LabelSequence", request, context)
        await self._refuse("sequences", [given.text for given in request.sequences], context)
        scores = [
            inference.LabelScore(label="B-PER", probability=0.75),
            inference.LabelScore(label="O", probability=0.25),
        ]
        count = request.top_label_count if request.HasField("top_label_count") else 2
        sequences = []
        for given in request.sequences:
            words = given.text.split() or list(given.words) or [""] * len(given.rows)
            steps = [inference.LabelledStep(labels=scores[:count], word=word) for word in words]
            span = inference.LabelSpan(label="PER", first_step_index=0, last_step_index=len(words) - 1, score=0.75)
            sequence = inference.LabelledSequence(steps=steps, spans=[] if given.rows else [span])
            sequence.token_count = 2 * len(words)
            sequence.truncated = request.truncation > 1
            sequence.state_token = given.state_token + b"+" if request.include_state_token else b""
            sequences.append(sequence)
        return inference.LabelSequenceResponse(model_version=MODEL_VERSION, sequences=sequences, timings=TIMINGS)

    async def GenerateText(
        self, request: inference.GenerateTextRequest, context: Any
    ) -> AsyncIterator[inference.GenerateTextResponse]:
        """Echoes the prompt word by word; the prompt `endless` never ends, `lost` counts, `broken` fails midway."""
        await self._receive("GenerateText", request, context)
        if request.prompt.startswith("bad"):
            await context.abort_with_status(rpc_status.to_status(refusal("prompt")))
        if request.prompt == "lost" or request.state_token.isdigit():
            messages = self._counted(request, context)
        elif request.prompt == "endless":
            messages = self._endless()
        else:
            messages = samples_of(request) if request.sample_count > 1 else self._echoed(request, context)
        async for message in messages:
            yield message

    async def _echoed(
        self, request: inference.GenerateTextRequest, context: Any
    ) -> AsyncIterator[inference.GenerateTextResponse]:
        words = request.prompt.split()
        for index, word in enumerate(words):
            yield inference.GenerateTextResponse(
                text=f"{word} ",
                first_token_index=index,
                token_count=1,
                model_version=MODEL_VERSION if index == 0 else None,
                seed=request.seed or 77 if index == 0 else 0,
            )
            if request.prompt == "broken":
                await context.abort(grpc.StatusCode.INTERNAL, "no more")
        if request.prompt != "unfinished":
            yield inference.GenerateTextResponse(
                first_token_index=len(words),
                model_version=None if words else MODEL_VERSION,
                finish_reason=inference.FINISH_REASON_DEADLINE
                if request.prompt == "late"
                else inference.FINISH_REASON_STOP,
                timings=TIMINGS,
                state_token=request.state_token + b"+" if request.include_state_token else b"",
                held_back_text="..." if request.include_state_token else "",
            )

    async def _endless(self) -> AsyncIterator[inference.GenerateTextResponse]:
        try:
            while True:
                yield inference.GenerateTextResponse(text="la ", token_count=1, model_version=MODEL_VERSION)
                await asyncio.sleep(0.01)
        finally:
            self.endless_stream_left.set()

    async def _counted(
        self, request: inference.GenerateTextRequest, context: Any
    ) -> AsyncIterator[inference.GenerateTextResponse]:
        """Counts to 20, a token and a message for each number; the server is lost after `lost_after` messages.

        A text that goes on has two tokens in a message. At a state token the blank after the number is held back.
        """
        first = int(request.state_token or 0)
        width = 2 if request.state_token else 1
        held = " " if request.state_token else ""
        lost_after = self.lost_after.pop(0) if self.lost_after else 99
        for number, start in enumerate(range(first, 20, width)):
            if number == lost_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
            end = min(start + width, 20)
            text = held + "".join(f"{word} " for word in range(start, end)) + self.otherwise * bool(request.state_token)
            has_token = request.include_state_token and end % request.state_token_interval == 0
            held = " " if has_token else ""
            yield inference.GenerateTextResponse(
                text=text.removesuffix(held), first_token_index=start, token_count=end - start,
                token_scores=[inference.TokenScore(token=str(word)) for word in range(start, end)],
                state_token=str(end).encode() if has_token else b"", held_back_text=held,
                finish_reason=inference.FINISH_REASON_LENGTH if end == 20 else inference.FINISH_REASON_UNSPECIFIED,
                model_version=MODEL_VERSION if start == first else None, seed=77 if start == first else 0,
                timings=TIMINGS if end == 20 else None,
            )  # fmt: skip

    async def TranslateText(
        self, request: inference.TranslateTextRequest, context: Any
    ) -> inference.TranslateTextResponse:
        """Writes each text backwards.

        Takes a minute where the first text is `slow`; where it is `fast`, until two such have begun.
        """
        await self._receive("TranslateText", request, context)
        while request.texts[0] == "fast" and self.slow_begun < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if request.texts[0] == "slow":
            self.slow_begun += 1
            try:
                await asyncio.sleep(60)
            finally:
                self.slow_left += 1
        await self._refuse("texts", request.texts, context)
        attention = inference.Attention(
            source_tokens=["a", "b"], target_tokens=["c"], rows=[inference.AttentionRow(weights=[0.5, 0.5])]
        )
        return inference.TranslateTextResponse(
            model_version=MODEL_VERSION,
            translations=[
                inference.Translation(
                    text=text[::-1],
                    source_token_count=2,
                    truncated=request.truncation > 1,
                    token_count=1,
                    finish_reason=inference.FINISH_REASON_LENGTH,
                    attention=attention if request.include_attention else None,
                    score=-0.5 if request.beam_size > 1 else None,
                    token_scores=TOKEN_SCORES if request.include_token_scores else [],
                    alternatives=[
                        inference.Hypothesis(
                            text=f"{text[::-1]}{rank}",
                            token_count=2,
                            finish_reason=inference.FINISH_REASON_STOP,
                            score=-0.5 - rank,
                        )
                        for rank in range(1, request.hypothesis_count)
                    ],
                )
                for text in request.texts
            ],
            timings=TIMINGS,
            seed=request.seed or None,
        )

    async def ScoreTranslation(
        self, request: inference.ScoreTranslationRequest, context: Any
    ) -> inference.ScoreTranslationResponse:
        """Every translation is as probable as the next."""
        await self._receive("ScoreTranslation", request, context)
        await self._refuse("pairs", [pair.source for pair in request.pairs], context)
        score = inference.TranslationScore(log_probability=-0.75, token_scores=TOKEN_SCORES, source_token_count=2)
        return inference.ScoreTranslationResponse(
            model_version=MODEL_VERSION, scores=[score for _ in request.pairs], timings=TIMINGS
        )

    async def ListModels(self, request: models.ListModelsRequest, context: Any) -> models.ListModelsResponse:
        """Pages of two."""
        await self._receive("ListModels", request, context)
        start = int(request.page_token or 0)
        more = str(start + 2) if start + 2 < len(MODELS) else ""
        return models.ListModelsResponse(models=MODELS[start : start + 2], next_page_token=more)

    async def GetModel(self, request: models.GetModelRequest, context: Any) -> models.GetModelResponse:
        await self._receive("GetModel", request, context)
        return models.GetModelResponse(model=next(model for model in MODELS if model.name == request.model))

    async def _receive(self, method: str, request: Message, context: Any) -> None:
        self.received.append(Received(method, request, context.time_remaining(), time.monotonic()))
        self.delayed += 1
        self.most_delayed = max(self.most_delayed, self.delayed)
        try:
            await asyncio.sleep(self.delay_seconds)
        finally:
            self.delayed -= 1
        if self.failures:
            await context.abort_with_status(rpc_status.to_status(self.failures.pop(0)))

    async def _refuse(self, field: str, inputs: Sequence[str], context: Any) -> None:
        if len(inputs) > self.most_inputs:
            await context.abort_with_status(rpc_status.to_status(refusal(field)))
        for place, text in enumerate(inputs):
            if text.startswith("bad"):
                await context.abort_with_status(rpc_status.to_status(refusal(f"{field}[{place}]")))


def refusal(field: str) -> status_pb2.Status:
    """How a server refuses a field."""
    info = error_details_pb2.ErrorInfo(reason="INVALID_ARGUMENT", domain="seqserve", metadata={"field": "x"})
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description="is bad")
    details = (info, error_details_pb2.BadRequest(field_violations=[violation]))
    return status(grpc.StatusCode.INVALID_ARGUMENT, f"{field} is bad", *details)


async def samples_of(request: inference.GenerateTextRequest) -> AsyncIterator[inference.GenerateTextResponse]:
    """The words of the prompt with the number of the sample, the samples taking turns."""
    words, count = request.prompt.split(), request.sample_count
    scores = [
        inference.TokenScore(
            token=words[0],
            log_probability=-0.5,
            alternatives=[inference.TokenAlternative(token="uno", log_probability=-1.5)],
        )
    ]
    for index, word in enumerate(words):
        for sample in range(count):
            last = index == len(words) - 1
            yield inference.GenerateTextResponse(
                text=f"{word} {sample} ",
                first_token_index=index,
                token_count=1,
                sample_index=sample,
                token_scores=scores,
                model_version=MODEL_VERSION if (index, sample) == (0, 0) else None,
                seed=77 if (index, sample) == (0, 0) else 0,
                prompt_token_count=7 if (index, sample) == (0, 0) else None,
                finish_reason=inference.FINISH_REASON_STOP if last else inference.FINISH_REASON_UNSPECIFIED,
                timings=TIMINGS if last and sample == count - 1 else None,
            )
