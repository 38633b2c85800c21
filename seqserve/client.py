"""The blocking client.   Talks; requests, results and errors are made elsewhere, for both clients."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast

import grpc
from grpc_health.v1 import health_pb2

from seqserve import convert
from seqserve.connection import (
    CHANNEL_OPTIONS,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_S,
    HEALTH_CHECK_METHOD,
    Attempts,
    checked_timeout,
)
from seqserve.credentials import Tls, Token, channel_credentials
from seqserve.errors import from_rpc_error
from seqserve.generation import Generation
from seqserve.many import methods
from seqserve.many.answers import Answer, Pause
from seqserve.many.runs import MAX_IN_FLIGHT, MAX_STREAMS_IN_FLIGHT, OpenCalls, run
from seqserve.options import GenerateOptions, LabelOptions, TranslateManyOptions, TranslateOptions, Truncation
from seqserve.results import (
    Classification,
    ClassifyResult,
    GeneratedChunk,
    GeneratedText,
    LabelledSequence,
    LabelResult,
    Model,
    ScoreResult,
    TranslateResult,
    Translation,
    TranslationScore,
)
from seqserve.streams import GenerationStream
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from seqserve.v1.inference_service_pb2_grpc import InferenceServiceStub
from seqserve.v1.model_service_pb2_grpc import ModelServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client:
    """Client of a seqserve server, for blocking code. Threads may share one; AsyncClient is its twin for asyncio.

    Every call raises a SeqserveError when it fails, and takes `timeout_s` to replace the client's own.

    Args:
        target: address, `host:port` or any gRPC target; of several addresses, as `dns:///name:port` may have, the
            calls go to each in turn.
        timeout_s: seconds until a call fails with DeadlineExceededError, retries included.
        tls: encrypts the connection; None sends plaintext.
        token: who calls, as `authorization: Bearer ...`; needs `tls`.

    Raises:
        ValueError: `timeout_s`, `tls` or `token` cannot be used.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        tls: Tls | None = None,
        token: Token | None = None,
    ) -> None:
        self._timeout_s = checked_timeout(timeout_s)
        credentials = channel_credentials(tls, token)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(target, credentials, CHANNEL_OPTIONS)
        self._inference = InferenceServiceStub(self._channel)
        self._models = ModelServiceStub(self._channel)
        self._check_health = self._channel.unary_unary(
            HEALTH_CHECK_METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    def classify(
        self,
        model: str,
        texts: str | Sequence[str],
        *,
        top_label_count: int | None = None,
        truncation: Truncation | None = None,
        timeout_s: float | None = None,
    ) -> ClassifyResult:
        """Give each text a probability for every label, or for the best `top_label_count`.

        Args:
            model: `name` (newest ready version) or `name@version`.
            texts: one text, or 1 to 256.
            top_label_count: labels to return per text, 1 and up; None means all.
            truncation: which part is read of a text that is too long; None: it is refused.
            timeout_s: as in Client.
        """
        request = convert.classify_request(model, texts, top_label_count, truncation)
        return convert.classify_result(self._call(self._inference.ClassifyText, request, timeout_s))

    def label(
        self,
        model: str,
        sequences: str | Sequence[convert.InputSequence],
        *,
        top_label_count: int | None = None,
        timeout_s: float | None = None,
        **options: Unpack[LabelOptions],
    ) -> LabelResult:
        """Give each word or row of each sequence a probability for every label, or for the best `top_label_count`.

        Args:
            model: `name` (newest ready version) or `name@version`.
            sequences: one text, or 1 to 256 sequences. A sequence is a text, which the server splits into words; a list
                of words, which are taken as they are; or a list of rows, oldest first, each a mapping of the names in
                `Model.features` to numbers.
            top_label_count: labels to return per step, 1 and up; None means all.
            timeout_s: as in Client.
            options: `truncation`, `include_state_token`, `state_tokens` and others; see LabelOptions.

        Raises:
            TypeError: a sequence is none of these.
            ValueError: there are `state_tokens`, but not one per sequence.
        """
        request = convert.label_request(model, sequences, top_label_count, options)
        return convert.label_result(self._call(self._inference.LabelSequence, request, timeout_s))

    def generate(
        self,
        model: str,
        prompt: str = "",
        *,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> GenerationStream:
        """Continue a prompt: a stream of chunks, each with its `text`.

        Args:
            model: `name` (newest ready version) or `name@version`.
            prompt: text to continue; empty means start from nothing.
            timeout_s: as in Client, for the stream as a whole.
            options: `max_output_token_count`, `temperature`, `seed` and others; see GenerateOptions.
        """
        request = convert.generate_request(model, prompt, options)
        return GenerationStream(self._open_generation, Generation(request, self._timeout(timeout_s)))

    def generate_text(
        self,
        model: str,
        prompt: str = "",
        *,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> GeneratedText:
        """Continue a prompt and wait for all of it. Arguments as in `generate`; of several samples, the first."""
        return self.generate_texts(model, prompt, timeout_s=timeout_s, **options)[0]

    def generate_texts(
        self,
        model: str,
        prompt: str = "",
        *,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> tuple[GeneratedText, ...]:
        """Continue a prompt `sample_count` times and wait for all of it. Arguments as in `generate`."""
        with self.generate(model, prompt, timeout_s=timeout_s, **options) as stream:
            return convert.generated_texts(list(stream))

    def translate(
        self,
        model: str,
        texts: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        **options: Unpack[TranslateOptions],
    ) -> TranslateResult:
        """Translate each text: greedily, by beam search, or by sampling.

        Args:
            model: `name` (newest ready version) or `name@version`.
            texts: one text, or 1 to 64.
            timeout_s: as in Client.
            options: `beam_size`, `hypothesis_count`, `include_attention` and others; see TranslateOptions.
        """
        request = convert.translate_request(model, texts, options)
        return convert.translate_result(self._call(self._inference.TranslateText, request, timeout_s))

    def score_translation(
        self, model: str, pairs: Sequence[tuple[str, str]], *, timeout_s: float | None = None
    ) -> ScoreResult:
        """Tell what the model thinks of given translations: the log-probability of each of their tokens.

        Args:
            model: `name` (newest ready version) or `name@version`.
            pairs: 1 to 64 texts, each with its translation.
            timeout_s: as in Client.
        """
        request = convert.score_request(model, pairs)
        return convert.score_result(self._call(self._inference.ScoreTranslation, request, timeout_s))

    def classify_many(
        self,
        model: str,
        texts: Iterable[str | Pause],
        *,
        top_label_count: int | None = None,
        truncation: Truncation | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Iterator[Answer[str, Classification]]:
        """Classify any number of texts, several requests at a time.

        Args:
            model: as in `classify`.
            texts: read only as far ahead as requests are sent; may be endless, and may have `PAUSE` between.
            top_label_count: as in `classify`.
            truncation: as in `classify`.
            max_in_flight: requests at a time, 1 and up.
            timeout_s: as in Client, for each request; a full queue is asked again until then.

        Returns:
            An answer for each text, in order. Its `value` raises if the server refused this text; when iterated, what
            concerns all of them is raised. Leaving the iterator cancels what is in flight.
        """
        ask = self._asking(self._inference.ClassifyText, timeout_s)
        return run(methods.classifying(model, top_label_count, truncation), texts, ask, max_in_flight)

    def label_many(
        self,
        model: str,
        sequences: Iterable[convert.InputSequence | Pause],
        *,
        top_label_count: int | None = None,
        truncation: Truncation | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Iterator[Answer[convert.InputSequence, LabelledSequence]]:
        """Label any number of sequences, each as in `label`; the rest as in `classify_many`."""
        ask = self._asking(self._inference.LabelSequence, timeout_s)
        return run(methods.labelling(model, top_label_count, truncation), sequences, ask, max_in_flight)

    def generate_many(
        self,
        model: str,
        prompts: Iterable[str | Pause],
        *,
        max_in_flight: int = MAX_STREAMS_IN_FLIGHT,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Iterator[Answer[str, tuple[GeneratedText, ...]]]:
        """Continue any number of prompts, each as in `generate_texts`; the rest as in `classify_many`."""
        timeout_s = self._timeout(timeout_s)

        def ask(request: inference.GenerateTextRequest, calls: OpenCalls) -> list[GeneratedChunk]:
            generation = Generation(request, timeout_s, max_attempts=None)
            with GenerationStream(self._open_generation, generation) as stream, calls.holding(stream.close):
                return list(stream)

        return run(methods.generating(model, options), prompts, ask, max_in_flight)

    def translate_many(
        self,
        model: str,
        texts: Iterable[str | Pause],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
        **options: Unpack[TranslateManyOptions],
    ) -> Iterator[Answer[str, Translation]]:
        """Translate any number of texts, each as in `translate`; the rest as in `classify_many`."""
        ask = self._asking(self._inference.TranslateText, timeout_s)
        return run(methods.translating(model, options), texts, ask, max_in_flight)

    def score_translation_many(
        self,
        model: str,
        pairs: Iterable[tuple[str, str] | Pause],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Iterator[Answer[tuple[str, str], TranslationScore]]:
        """Score any number of translations, each as in `score_translation`; the rest as in `classify_many`."""
        ask = self._asking(self._inference.ScoreTranslation, timeout_s)
        return run(methods.scoring(model), pairs, ask, max_in_flight)

    def list_models(self, *, timeout_s: float | None = None) -> tuple[Model, ...]:
        """Every version that the server knows, by name, then by version. `timeout_s` is for each page of 100."""
        found: list[Model] = []
        request = models.ListModelsRequest()
        while True:
            page = self._call(self._models.ListModels, request, timeout_s)
            found += map(convert.model, page.models)
            if not page.next_page_token:
                return tuple(found)
            request = models.ListModelsRequest(page_token=page.next_page_token)

    def get_model(self, model: str, *, timeout_s: float | None = None) -> Model:
        """One version of a model: of `name` the newest ready one, else the newest; or `name@version`."""
        request = models.GetModelRequest(model=model)
        return convert.model(self._call(self._models.GetModel, request, timeout_s).model)

    def health(self, service: str = "", *, timeout_s: float | None = None) -> bool:
        """Whether the server, or the part of it that `service` names, is serving.

        Raises:
            NotFoundError: the server knows no `service` of this name.
        """
        request = health_pb2.HealthCheckRequest(service=service)
        answer = self._call(self._check_health, request, timeout_s)
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _timeout(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else checked_timeout(timeout_s)

    def _open_generation(self, generation: Generation) -> "grpc._CallIterator[inference.GenerateTextResponse]":
        return self._inference.GenerateText(generation.request, timeout=generation.seconds_left())

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float | None,
    ) -> Response:
        def call(seconds: float) -> Response:
            return method(request, timeout=seconds)

        return _repeated(call, Attempts(self._timeout(timeout_s)), time.sleep)

    def _asking(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", timeout_s: float | None
    ) -> Callable[[Request, OpenCalls], Response]:
        """How a run of many inputs sends one of its requests."""
        timeout_s = self._timeout(timeout_s)

        def ask(request: Request, calls: OpenCalls) -> Response:
            def call(seconds: float) -> Response:
                future = method.future(request, timeout=seconds)
                with calls.holding(future.cancel):
                    return _result(future)

            return _repeated(call, Attempts(timeout_s, max_attempts=None), calls.wait)

        return ask


def _repeated(call: Callable[[float], Response], attempts: Attempts, wait: Callable[[float], object]) -> Response:
    """The response of a call that takes its timeout, made again while a full queue says when to come back."""
    while True:
        try:
            return call(attempts.seconds_left())
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
            delay = attempts.delay_after(failure)
            if delay is None:
                raise failure from error
        wait(delay)


def _result(future: "grpc._CallFuture[Response]") -> Response:
    """The response of a call; one that was cancelled raises itself, as every other that failed does."""
    try:
        return future.result()
    except grpc.FutureCancelledError:
        raise cast(grpc.RpcError, future) from None
