"""Requests as text into work for the engines, and back.   Knows tokenizers, limits, deadlines; no tensors, no gRPC."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from service.bundle.manifest import Classification as ClassificationSpec
from service.bundle.manifest import Generation as GenerationSpec
from service.bundle.manifest import Labelling as LabellingSpec
from service.bundle.manifest import Translation as TranslationSpec
from service.engine.steps import Step
from service.errors import (
    AttentionNotAvailableError,
    InvalidArgumentError,
    ModelNotFoundError,
    ModelNotReadyError,
    QueueFullError,
    SequenceTooLongError,
    ServiceError,
    TextTooLongError,
    WrongInputError,
    WrongTaskError,
)
from service.metrics import Metrics
from service.serving.api import (
    Attention,
    Classification,
    ClassifyResult,
    FinishReason,
    GeneratedChunk,
    GenerateOptions,
    InputSequence,
    LabelResult,
    ModelInfo,
    Timings,
    TranslateOptions,
    TranslateResult,
    Translation,
)
from service.serving.catalog import Catalog, ReadyModel
from service.serving.labelling import SequenceReader, labelled_sequence, ranked_labels
from service.serving.messages import Classified, ClassifyWork, Decoded, DecodedRow, DecodeWork, Work
from service.serving.pool import EnginePool, Ticket
from service.text.tokenizer import TextStream, Tokenizer

REFUSALS = {
    error.reason
    for error in (
        AttentionNotAvailableError, InvalidArgumentError, ModelNotFoundError, ModelNotReadyError, QueueFullError,
        SequenceTooLongError, TextTooLongError, WrongInputError, WrongTaskError,
    )
}  # fmt: skip
"""Reasons of what is refused before it costs an engine anything."""


class Front:
    """The `InferenceFront` that the transport talks to.

    Args:
        catalog: which models answer.
        pool: the engines that do the work.
        metrics: receives queue times, refusals and tokens.
        queue_capacity: most sequences per model version that wait or run; more are refused at once.
        max_text_characters: longest text that is looked at at all.
    """

    def __init__(
        self, catalog: Catalog, pool: EnginePool, metrics: Metrics, *, queue_capacity: int, max_text_characters: int
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._metrics = metrics
        self._queue_capacity = queue_capacity
        self._max_text_characters = max_text_characters

    def list_models(self) -> Sequence[ModelInfo]:
        """Every known version, by name, then by version."""
        return self._catalog.infos()

    def get_model(self, model: str) -> ModelInfo:
        """One version: the newest ready one, else the newest, or the one named by `name@version`."""
        return self._catalog.info(model)

    async def classify(self, model: str, texts: Sequence[str], *, deadline: float) -> ClassifyResult:
        """All labels of every text."""
        arrival = time.monotonic()
        with self._counting_refusals(model), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, ClassificationSpec, "classification")
            rows = [
                self._encode(ready.tokenizers[0], text, spec.max_token_count, f"texts[{index}]")
                for index, text in enumerate(texts)
            ]
            answer = await self._classified(ready, rows, arrival, deadline)
            found = tuple(
                Classification(ranked_labels(spec.labels, shares), len(row))
                for (shares,), row in zip(answer.probabilities, rows, strict=True)
            )
            timings = self._timings(ready, arrival, answer)
            return ClassifyResult(ready.info.name, ready.info.version, found, timings)

    async def label(
        self, model: str, sequences: Sequence[InputSequence], *, top_label_count: int | None, deadline: float
    ) -> LabelResult:
        """The best labels of every step of every sequence."""
        arrival = time.monotonic()
        with self._counting_refusals(model), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, LabellingSpec, "labelling")
            read = SequenceReader(spec, ready.tokenizers, self._max_text_characters).read(sequences)
            answer = await self._classified(ready, [one.row for one in read], arrival, deadline)
            found = tuple(
                labelled_sequence(spec, one, probabilities, top_label_count)
                for one, probabilities in zip(read, answer.probabilities, strict=True)
            )
            timings = self._timings(ready, arrival, answer)
            return LabelResult(ready.info.name, ready.info.version, found, timings)

    async def generate(
        self, model: str, prompt: str, options: GenerateOptions, *, deadline: float
    ) -> AsyncIterator[GeneratedChunk]:
        """Chunks as they come; several tokens share one when the reader is slow."""
        arrival = time.monotonic()
        with self._counting_refusals(model), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, GenerationSpec, "generation")
            tokenizer = ready.tokenizers[0]
            row = self._encode(tokenizer, prompt, spec.max_token_count, "prompt") if prompt else []
            limit = _output_limit(options.max_output_token_count, spec.max_output_token_count)
            sampling = options.sampling

            def make_work(work_id: int) -> Work:
                return DecodeWork(
                    work_id,
                    ready.model_id,
                    [row],
                    arrival,
                    deadline,
                    limit,
                    temperature=sampling.temperature,
                    top_k=sampling.top_k,
                    top_p=sampling.top_p,
                    seed=sampling.seed,
                    streams=True,
                )

            with self._working(ready, 1, deadline, make_work) as ticket:
                async for chunk in self._chunks(ready, ticket, TextStream(tokenizer), arrival):
                    yield chunk

    async def translate(
        self, model: str, texts: Sequence[str], options: TranslateOptions, *, deadline: float
    ) -> TranslateResult:
        """A translation of every text, greedy."""
        arrival = time.monotonic()
        with self._counting_refusals(model), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, TranslationSpec, "translation")
            if options.include_attention and spec.key_size is None:
                raise AttentionNotAvailableError(
                    f"model {ready.reference} has no attention", field="include_attention", model=ready.info.name
                )
            limit = _output_limit(options.max_output_token_count, spec.max_output_token_count)
            rows = [  # the end-of-sequence token takes one place
                self._encode(ready.tokenizers[0], text, spec.max_token_count - 1, f"texts[{index}]")
                for index, text in enumerate(texts)
            ]

            def make_work(work_id: int) -> Work:
                keep = options.include_attention
                return DecodeWork(work_id, ready.model_id, rows, arrival, deadline, limit, keep_attention=keep)

            with self._working(ready, len(rows), deadline, make_work) as ticket:
                answer = await ticket.answer()
            if not isinstance(answer, Decoded):
                raise TypeError(f"a translation was answered by {type(answer).__name__}")
            self._metrics.generated_tokens.labels(ready.info.name).inc(sum(len(row.token_ids) for row in answer.rows))
            found = tuple(
                _translation(ready.tokenizers, spec, source, row, options.include_attention)
                for source, row in zip(rows, answer.rows, strict=True)
            )
            timings = self._timings(ready, arrival, answer)
            return TranslateResult(ready.info.name, ready.info.version, found, timings)

    async def _classified(
        self, ready: ReadyModel, rows: Sequence[Sequence[Step]], arrival: float, deadline: float
    ) -> Classified:
        """Probabilities of every row, from a classifier or a labeller."""

        def make_work(work_id: int) -> Work:
            return ClassifyWork(work_id, ready.model_id, rows, arrival, deadline)

        with self._working(ready, len(rows), deadline, make_work) as ticket:
            answer = await ticket.answer()
        if not isinstance(answer, Classified):
            raise TypeError(f"a classification was answered by {type(answer).__name__}")
        return answer

    async def _chunks(
        self, ready: ReadyModel, ticket: Ticket, stream: TextStream, arrival: float
    ) -> AsyncIterator[GeneratedChunk]:
        name, version = ready.info.name, ready.info.version
        told = 0
        while True:
            token_ids, end = await ticket.news()
            if token_ids:
                self._metrics.generated_tokens.labels(name).inc(len(token_ids))
                if not told:
                    self._metrics.time_to_first_token_seconds.labels(name).observe(time.monotonic() - arrival)
            text = stream.push(token_ids)
            if isinstance(end, Decoded):
                reason = FinishReason.STOP if end.rows[0].stopped else FinishReason.LENGTH
                timings = self._timings(ready, arrival, end)
                yield GeneratedChunk(name, version, text + stream.finish(), told, len(token_ids), reason, timings)
                return
            if token_ids:
                yield GeneratedChunk(name, version, text, told, len(token_ids))
            told += len(token_ids)

    @contextmanager
    def _working(
        self, ready: ReadyModel, row_count: int, deadline: float, make_work: Callable[[int], Work]
    ) -> Iterator[Ticket]:
        """Take places in the model's queue, submit the work, give both back, whatever happens."""
        name = ready.info.name
        if ready.outstanding + row_count > self._queue_capacity:
            raise QueueFullError(
                f"model {ready.reference} has {ready.outstanding} sequences waiting or running and takes at most "
                f"{self._queue_capacity}; this request brings {row_count} more",
                model=name,
                capacity=self._queue_capacity,
            )
        self._metrics.queue_capacity.labels(name).set(self._queue_capacity)
        gauge = self._metrics.requests_in_flight.labels(name)
        ready.outstanding += row_count
        gauge.inc(row_count)
        ticket: Ticket | None = None
        try:
            ticket = self._pool.submit(make_work, deadline)
            yield ticket
        finally:
            if ticket is not None:
                self._pool.release(ticket)
            ready.outstanding -= row_count
            gauge.dec(row_count)

    @contextmanager
    def _counting_refusals(self, reference: str) -> Iterator[None]:
        """Count what is refused before it reaches an engine, by reason."""
        try:
            yield
        except ServiceError as error:
            if error.reason in REFUSALS:
                name = self._metrics.model_label(reference)
                self._metrics.requests_rejected.labels(name, error.reason).inc()
            raise

    def _encode(self, tokenizer: Tokenizer, text: str, limit: int, field: str) -> list[int]:
        if len(text) > self._max_text_characters:
            raise TextTooLongError(
                f"{field} has {len(text)} characters, at most {self._max_text_characters} are looked at",
                field=field,
                character_count=len(text),
                limit=self._max_text_characters,
            )
        token_ids = tokenizer.encode(text)
        if not token_ids:
            raise InvalidArgumentError(f"{field} holds no token that the model knows", field=field)
        if len(token_ids) > limit:
            raise TextTooLongError(
                f"{field} has {len(token_ids)} tokens, the model takes {limit}",
                field=field,
                token_count=len(token_ids),
                limit=limit,
            )
        return token_ids

    def _timings(self, ready: ReadyModel, arrival: float, answer: Classified | Decoded) -> Timings:
        self._metrics.queue_seconds.labels(ready.info.name).observe(answer.queue_seconds)
        return Timings(answer.queue_seconds, answer.compute_seconds, time.monotonic() - arrival)


_Spec = TypeVar("_Spec", ClassificationSpec, LabellingSpec, GenerationSpec, TranslationSpec)


def _spec_of(ready: ReadyModel, kind: type[_Spec], task: str) -> _Spec:
    if not isinstance(ready.spec, kind):
        raise WrongTaskError(
            f"model {ready.reference} does {ready.spec.task}, this method asks for {task}",
            field="model",
            model=ready.info.name,
            task=ready.spec.task,
        )
    return ready.spec


def _output_limit(wanted: int | None, limit: int) -> int:
    if wanted is not None and wanted > limit:
        field = "max_output_token_count"
        raise InvalidArgumentError(f"{field} is {wanted}, the model produces at most {limit}", field=field, limit=limit)
    return limit if wanted is None else wanted


def _translation(
    tokenizers: tuple[Tokenizer, ...], spec: TranslationSpec, source: list[int], row: DecodedRow, with_attention: bool
) -> Translation:
    source_tokenizer, target_tokenizer = tokenizers
    attention = None
    if with_attention:
        ends = [] if spec.source.eos_id is None else [spec.source.eos_id]
        attention = Attention(
            tuple(source_tokenizer.tokens(source + ends)),
            tuple(target_tokenizer.tokens(row.token_ids)),
            tuple(tuple(weights) for weights in row.attention or []),
        )
    reason = FinishReason.STOP if row.stopped else FinishReason.LENGTH
    text = target_tokenizer.decode(row.token_ids)
    return Translation(text, len(source), len(row.token_ids), reason, attention)
