"""Requests as text into work for the engines, and back.   Knows tokenizers, limits, deadlines; no tensors, no gRPC."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TypeVar

from service.bundle.manifest import Classification as ClassificationSpec
from service.bundle.manifest import Generation as GenerationSpec
from service.bundle.manifest import Labelling as LabellingSpec
from service.bundle.manifest import Translation as TranslationSpec
from service.engine.requests import DecodeOptions
from service.engine.steps import Step
from service.errors import WrongTaskError
from service.metrics import Metrics
from service.serving.api import (
    Classification,
    ClassifyResult,
    GeneratedChunk,
    LabelledSequence,
    LabelResult,
    LogitsResult,
    ModelInfo,
    ScoreResult,
    TranslateResult,
)
from service.serving.catalog import Catalog, ReadyModel
from service.serving.engines.messages import Classified, ClassifyWork, Decoded, DecodeWork, Work
from service.serving.engines.pool import EnginePool
from service.serving.engines.ticket import Ticket
from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.place import Place, Places
from service.serving.sequences import InputSequence, TextPair
from service.serving.statistics import ModelStatistics
from service.serving.tasks.carrying import StateDesk
from service.serving.tasks.chunks import Generation, GenerationWriter, StreamPace
from service.serving.tasks.generating import generate_decoding, going_on
from service.serving.tasks.labelling import (
    SequenceReader,
    character_counts,
    labelled_sequence,
    ranked_labels,
    reading_count,
)
from service.serving.tasks.logits import read_rows, sequence_logits, spec_with_logits
from service.serving.tasks.reading import TextLimits, in_turn, output_limit
from service.serving.tasks.translating import (
    TranslationWriter,
    check_attention_size,
    check_forced,
    check_prefixes,
    decode_options,
    translation_score,
)
from service.serving.truncation import Truncation
from service.settings import MAX_REQUEST_CHARACTERS, STREAM_INTERVAL_SECONDS
from service.state.requests import STATELESS, SequenceStates
from service.state.tokens import StateTokens


class Front:
    """The `InferenceFront` that the transport talks to.

    Args:
        catalog: which models answer.
        pool: the engines that do the work.
        metrics: receives queue times, refusals and tokens.
        queue_capacity: most sequences per model version that wait or run; more are refused at once.
        decode_slots: rows that an engine decodes side by side; no beam is wider.
        max_text_characters: longest text that is looked at at all.
        max_request_characters: longest texts of one request, in sum, that are looked at at all.
        stream_interval_seconds: longest time that a token waits for more to share a message.
        tokens: signs and opens state tokens; None: this server has no keys.
    """

    def __init__(
        self, catalog: Catalog, pool: EnginePool, metrics: Metrics, *, queue_capacity: int, decode_slots: int,
        max_text_characters: int, max_request_characters: int = MAX_REQUEST_CHARACTERS,
        stream_interval_seconds: float = STREAM_INTERVAL_SECONDS, tokens: StateTokens | None = None,
    ) -> None:  # fmt: skip
        self._catalog = catalog
        self._pool = pool
        self._places = Places(pool, metrics, queue_capacity=queue_capacity)
        self._decode_slots = decode_slots
        self._limits = TextLimits(max_text_characters, max_request_characters)
        self._pace = StreamPace(stream_interval_seconds)
        self._desk = StateDesk(tokens)

    def list_models(self) -> Sequence[ModelInfo]:
        """Every known version, by name, then by version."""
        return self._catalog.infos()

    def get_model(self, model: str) -> ModelInfo:
        """One version: the newest ready one, else the newest, or the one named by `name@version`."""
        return self._catalog.info(model)

    def statistics(self) -> Sequence[ModelStatistics]:
        """What every version that answers has done."""
        return [
            ModelStatistics(ready.info.name, ready.info.version, ready.requests, self._pool.runs(ready.model_id))
            for ready in self._catalog.ready_models()
        ]

    async def classify(
        self, model: str, texts: Sequence[str], *, deadline: float, truncation: Truncation = Truncation.REFUSE
    ) -> ClassifyResult:
        """All labels of every text."""
        arrival = time.monotonic()
        with self._places.counting_refusals(model, deadline), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, ClassificationSpec, "classification")
            with self._places.take(ready, len(texts), arrival, deadline) as place:
                limit = spec.max_token_count
                whole = await self._encode(place, 0, _fields("texts", texts), truncation.accepted(limit))
                answer = await self._classified(place, [truncation.kept(row, limit) for row in whole])
                timings = self._places.timings(place, answer)
            found = tuple(
                Classification(ranked_labels(spec.labels, shares), min(len(row), limit), len(row) > limit)
                for (shares,), row in zip(answer.probabilities, whole, strict=True)
            )
            return ClassifyResult(ready.info.name, ready.info.version, found, timings)

    async def label(
        self, model: str, sequences: Sequence[InputSequence], *, top_label_count: int | None, deadline: float,
        states: SequenceStates = STATELESS, truncation: Truncation = Truncation.REFUSE,
    ) -> LabelResult:  # fmt: skip
        """The best labels of every step of every sequence."""
        arrival = time.monotonic()
        with self._places.counting_refusals(model, deadline), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, LabellingSpec, "labelling")
            with self._places.take(ready, len(sequences), arrival, deadline) as place:
                character_count = self._limits.checked_character_count(character_counts(sequences), "sequences")
                carried = self._desk.sequences(ready.info, spec, states, len(sequences))
                reader = SequenceReader(spec, ready.tokenizers, truncation)
                size = character_count + reading_count(sequences)
                read = await in_turn(place.deadline, size, lambda: reader.read(sequences))
                answer = await self._classified(
                    place, [one.row for one in read], carried.begin, keep_states=states.include
                )

                def labelled() -> tuple[LabelledSequence, ...]:
                    pairs = zip(read, answer.probabilities, strict=True)
                    return tuple(labelled_sequence(spec, *pair, top_label_count) for pair in pairs)

                found = await in_turn(
                    place.deadline, len(spec.labels) * sum(len(one.positions) for one in read), labelled
                )
                timings = self._places.timings(place, answer)
            return LabelResult(ready.info.name, ready.info.version, carried.added(found, answer.states), timings)

    async def logits(self, model: str, sequences: Sequence[InputSequence], *, deadline: float) -> LogitsResult:
        """Logits and probabilities of whole sequences from a classifier, of their steps from a labeller."""
        arrival = time.monotonic()
        with self._places.counting_refusals(model, deadline), self._catalog.lend(model) as ready:
            spec = spec_with_logits(ready.spec, ready.reference)
            with self._places.take(ready, len(sequences), arrival, deadline) as place:
                count = self._limits.checked_character_count(character_counts(sequences), "sequences")
                size = count + reading_count(sequences)
                read = await in_turn(deadline, size, lambda: read_rows(spec, ready.tokenizers, sequences))
                answer = await self._classified(place, [one.row for one in read], keep_logits=True)
                timings = self._places.timings(place, answer)
            return LogitsResult(ready.info.name, ready.info.version, sequence_logits(read, answer), timings)

    async def generate(
        self, model: str, prompt: str, options: GenerateOptions, *, deadline: float
    ) -> AsyncIterator[GeneratedChunk]:
        """Chunks as they come; several tokens share one when the reader is slow."""
        arrival = time.monotonic()
        with self._places.counting_refusals(model, deadline), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, GenerationSpec, "generation")
            tokenizer = ready.tokenizers[0]
            resumed, issue = self._desk.text(ready.info, spec, options)
            if resumed is not None:
                options = going_on(options, resumed, model_limit=spec.max_output_token_count)
            limit = output_limit(options.max_output_token_count, spec.max_output_token_count)
            look_back = spec.max_token_count + spec.max_output_token_count  # what one request may read and write
            decoding = generate_decoding(options, tokenizer, limit=limit, slots=self._decode_slots, look_back=look_back)
            with self._places.take(ready, 1, arrival, deadline) as place, self._pace.stream():
                rows = await self._encode(place, 0, [("prompt", prompt)], spec.max_token_count, may_be_empty=not prompt)

                def make_work(work_id: int) -> Work:
                    return DecodeWork(
                        work_id, ready.model_id, rows, arrival, deadline, decoding, streams=True,
                        allow_partial=options.allow_partial, carried=[] if resumed is None else [resumed.row],
                    )  # fmt: skip

                ticket = self._places.submit(place, make_work)
                eos_id = spec.text.eos_id or 0
                generation = Generation(ready.info, tokenizer, eos_id, options, limit, prompt, rows[0], resumed, issue)
                async for chunk in self._chunks(place, ticket, GenerationWriter(generation)):
                    yield chunk

    async def translate(
        self, model: str, texts: Sequence[str], options: TranslateOptions, *, deadline: float
    ) -> TranslateResult:
        """The best translations of every text."""
        arrival = time.monotonic()
        with self._places.counting_refusals(model, deadline), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, TranslationSpec, "translation")
            limit = output_limit(options.max_output_token_count, spec.max_output_token_count)
            decoding = decode_options(options, spec, limit=limit, slots=self._decode_slots)
            with self._places.take(ready, len(texts), arrival, deadline) as place:
                longest, cut = spec.max_token_count - 1, options.truncation  # the end-of-sequence token takes one place
                whole = await self._encode(place, 0, _fields("texts", texts), cut.accepted(longest))
                rows = [list(cut.kept(row, longest)) for row in whole]
                check_attention_size(options, [len(row) for row in rows], limit)
                prefixes = _fields("target_prefixes", options.target_prefixes)
                forced = await self._encode(place, 1, prefixes, limit - 1, may_be_empty=True)
                check_forced(spec, ready.tokenizers[1], prefixes, forced)
                check_prefixes(decoding, rows, forced)
                partial = options.allow_partial
                answer = await self._decoded(place, rows, decoding, forced, allow_partial=partial)
                writer = TranslationWriter(spec, ready.tokenizers, options)
                found = tuple(map(writer.translation, texts, whole, answer.rows))
                timings = self._places.timings(place, answer)
            seed = None if options.sampling is None else options.sampling.seed
            return TranslateResult(ready.info.name, ready.info.version, found, timings, seed)

    async def score(self, model: str, pairs: Sequence[TextPair], *, deadline: float) -> ScoreResult:
        """What the model thinks of given translations."""
        arrival = time.monotonic()
        with self._places.counting_refusals(model, deadline), self._catalog.lend(model) as ready:
            spec = _spec_of(ready, TranslationSpec, "translation")
            limit = spec.max_output_token_count
            with self._places.take(ready, len(pairs), arrival, deadline) as place:
                sources = [(f"pairs[{index}].source", pair.source) for index, pair in enumerate(pairs)]
                targets = [(f"pairs[{index}].target", pair.target) for index, pair in enumerate(pairs)]
                rows = await self._encode(place, 0, sources, spec.max_token_count - 1)
                forced = await self._encode(place, 1, targets, limit)
                check_forced(spec, ready.tokenizers[1], targets, forced)
                ends = [] if spec.target.eos_id is None else [spec.target.eos_id]
                options = DecodeOptions(limit + 1, keep_scores=True)
                answer = await self._decoded(place, rows, options, [row + ends for row in forced])
                timings = self._places.timings(place, answer)
            target = ready.tokenizers[1]
            scores = tuple(
                translation_score(target, spec, row, hypotheses[0])
                for row, hypotheses in zip(rows, answer.rows, strict=True)
            )
            return ScoreResult(ready.info.name, ready.info.version, scores, timings)

    async def _decoded(
        self, place: Place, rows: list[list[int]], options: DecodeOptions, forced: list[list[int]], *,
        allow_partial: bool = False,
    ) -> Decoded:  # fmt: skip
        """Hypotheses of every row, once all of them have ended."""

        def make_work(work_id: int) -> Work:
            return DecodeWork(
                work_id, place.ready.model_id, rows, place.arrival, place.deadline, options, forced,
                allow_partial=allow_partial,
            )  # fmt: skip

        answer = await self._places.submit(place, make_work).answer()
        if not isinstance(answer, Decoded):
            raise TypeError(f"a translation was answered by {type(answer).__name__}")
        name = place.ready.info.name
        written = sum(len(hypothesis.token_ids) for hypotheses in answer.rows for hypothesis in hypotheses)
        self._places.count_tokens(name, written)
        if answer.first_token_seconds is not None:
            self._places.note_first_token(name, answer.first_token_seconds)
        return answer

    async def _encode(
        self,
        place: Place,
        side: int,
        texts: Sequence[tuple[str, str]],
        limit: int,
        *,
        may_be_empty: bool = False,
    ) -> list[list[int]]:
        """Token ids of texts by field, of the source (0) or the target (1)."""
        return await self._limits.encode(
            place.ready.tokenizers[side], texts, together=texts[0][0].partition("[")[0] if texts else "",
            limit=limit, deadline=place.deadline, may_be_empty=may_be_empty,
        )  # fmt: skip

    async def _classified(
        self, place: Place, rows: Sequence[Sequence[Step]], states: Sequence[bytes] = (), *, keep_states: bool = False,
        keep_logits: bool = False,
    ) -> Classified:  # fmt: skip
        """Probabilities of every row, from a classifier or a labeller, which may go on from states and keep them."""

        def make_work(work_id: int) -> Work:
            return ClassifyWork(
                work_id, place.ready.model_id, rows, place.arrival, place.deadline, list(states), keep_states,
                keep_logits,
            )  # fmt: skip

        answer = await self._places.submit(place, make_work).answer()
        if not isinstance(answer, Classified):
            raise TypeError(f"a classification was answered by {type(answer).__name__}")
        return answer

    async def _chunks(self, place: Place, ticket: Ticket, writer: GenerationWriter) -> AsyncIterator[GeneratedChunk]:
        name = place.ready.info.name
        while True:
            told, end = await ticket.news(self._pace.gather_seconds)
            if told and not place.begun:
                place.begun = True
                self._places.note_first_token(name, time.monotonic() - place.arrival)
            before, chunks = writer.token_count, writer.write(told)
            if isinstance(end, Decoded):
                chunks += writer.end(end.rows[0][0].ending)
            for sample in writer.stopped:
                self._pool.stop_sample(ticket, sample)
            writer.stopped.clear()
            self._places.count_tokens(name, writer.token_count - before)
            if writer.finished:
                answer = end if isinstance(end, Decoded) else place.stopped(told[-1])
                chunks[-1] = replace(chunks[-1], timings=self._places.timings(place, answer))
            for chunk in chunks:
                yield chunk
            if writer.finished:
                return


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


def _fields(name: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Texts with the fields that they are from."""
    return [(f"{name}[{index}]", text) for index, text in enumerate(texts)]
