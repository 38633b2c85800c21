"""Generation through front and engine: what a caller asks for, on a tiny model of characters with real graphs."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.engine.sampling import GREEDY, Sampling
from service.errors import DeadlineExceededError, InvalidArgumentError
from service.metrics import Metrics
from service.serving.api import FinishReason, GeneratedChunk
from service.serving.catalog import Catalog
from service.serving.engines.engine_loop import EngineLimits, EngineLoop
from service.serving.engines.hosts import InlineHost
from service.serving.engines.messages import Command, Event, StopSample
from service.serving.engines.pool import EnginePool
from service.serving.front import Front
from service.serving.options import GenerateOptions, TranslateOptions
from tests.bundles import publish_tiny

MODEL = "tiny-generation"
PROMPT = "X:1\nK:G\n"
SLOTS = 8
LIMITS = EngineLimits(max_batch_size=8, decode_slots=SLOTS, padding_budget=0.25)


class SlowEngine(EngineLoop):
    """A turn takes 20 ms, so that two of them are long beside what a busy machine delays."""

    def turn(self) -> list[Event]:
        time.sleep(0.02)
        return super().turn()


class NotingHost(InlineHost):
    """Notes what the engine is sent."""

    def __init__(self, engine: EngineLoop, sent: list[Command]) -> None:
        super().__init__(LIMITS)
        self._engine = engine
        self._sent = sent

    def send(self, command: Command) -> None:
        self._sent.append(command)
        super().send(command)


@asynccontextmanager
async def serving(
    folder: Path, sent: list[Command], engine: type[EngineLoop], registry: CollectorRegistry | None = None
) -> AsyncIterator[Front]:
    metrics = Metrics(registry or CollectorRegistry())
    pool = EnginePool(lambda: NotingHost(engine(LIMITS), sent), count=1, metrics=metrics, on_change=lambda up: None)
    await pool.start()
    catalog = Catalog(folder, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
    await catalog.refresh()
    yield Front(catalog, pool, metrics, queue_capacity=64, decode_slots=SLOTS, max_text_characters=1_000)
    await pool.close()


@pytest.fixture
def sent() -> list[Command]:
    return []


@pytest.fixture
async def front(tmp_path: Path, sent: list[Command]) -> AsyncIterator[Front]:
    for task in ("generation", "translation"):
        publish_tiny(tmp_path, task)
    async with serving(tmp_path, sent, EngineLoop) as running:
        yield running


async def chunks(front: Front, prompt: str = PROMPT, *, seconds: float = 20.0, **fields: Any) -> list[GeneratedChunk]:
    """Generate so many tokens, for the model would end early: it is made of random numbers."""
    count = fields.get("max_output_token_count", 24)
    defaults = {"max_output_token_count": count, "min_output_token_count": count, "sampling": Sampling(1.0, seed=3)}
    fields = defaults | fields
    stream = front.generate(MODEL, prompt, GenerateOptions(**fields), deadline=time.monotonic() + seconds)
    return [chunk async for chunk in stream]


def text_of(found: Sequence[GeneratedChunk], sample: int = 0) -> str:
    return "".join(chunk.text for chunk in found if chunk.sample_index == sample)


def tokens_of(found: Sequence[GeneratedChunk]) -> list[str]:
    return [score.token for chunk in found for score in chunk.token_scores]


async def test_a_stream_tells_the_prompts_length_first_and_reason_and_timings_last(front: Front) -> None:
    found = await chunks(front)
    assert [chunk.prompt_token_count for chunk in found] == [len(PROMPT)] + [None] * (len(found) - 1)
    assert [chunk.finish_reason for chunk in found[:-1]] == [None] * (len(found) - 1)
    assert found[-1].finish_reason is FinishReason.LENGTH
    assert found[-1].timings is not None
    assert sum(chunk.token_count for chunk in found) == 24
    assert [chunk.first_token_index for chunk in found] == [
        sum(chunk.token_count for chunk in found[:index]) for index in range(len(found))
    ]


async def test_tokens_of_many_streams_share_messages_and_the_texts_are_the_same(front: Front) -> None:
    alone = text_of(await chunks(front))
    crowd = await asyncio.gather(*(chunks(front) for _ in range(16)))
    assert {text_of(found) for found in crowd} == {alone}
    assert sum(map(len, crowd)) < 16 * 24 / 2  # messages, and tokens


async def test_a_stop_sequence_ends_the_text_before_itself_and_the_engine_too(
    front: Front, sent: list[Command]
) -> None:
    whole = text_of(await chunks(front))
    stop = whole[9:12]
    found = await chunks(front, stop_sequences=(stop, "never there"))
    assert text_of(found) == whole[: whole.index(stop)]
    assert found[-1].finish_reason is FinishReason.STOP
    assert found[-1].timings is not None
    assert sum(chunk.token_count for chunk in found) == whole.index(stop) + len(stop)
    assert any(isinstance(command, StopSample) for command in sent)


async def test_nothing_of_a_stop_sequence_is_told_before_it_is_decided(front: Front) -> None:
    whole = text_of(await chunks(front))
    found = await chunks(front, stop_sequences=(whole[5:9] + "\N{SNOWMAN}", whole[10:15]))
    told = ""
    for chunk in found:
        told += chunk.text
        assert whole[: whole.index(whole[10:15])].startswith(told)
    assert whole[5:9] in told  # decided not to be one


async def test_several_samples_share_a_prompt_and_each_has_its_own_end(front: Front) -> None:
    found = await chunks(front, sample_count=4)
    texts = [text_of(found, sample) for sample in range(4)]
    assert len(set(texts)) == 4
    ends = [chunk.sample_index for chunk in found if chunk.finish_reason is not None]
    assert sorted(ends) == [0, 1, 2, 3]
    assert [chunk.timings is not None for chunk in found] == [False] * (len(found) - 1) + [True]
    alone = await chunks(front)
    assert texts[0] == text_of(alone)
    fewer = await chunks(front, sample_count=2)
    assert [text_of(fewer, sample) for sample in range(2)] == texts[:2]


async def test_a_sample_that_stops_does_not_stop_the_others(front: Front) -> None:
    free = await chunks(front, sample_count=3)
    texts = [text_of(free, sample) for sample in range(3)]
    stop = next(texts[1][i : i + 3] for i in range(20) if texts[1][i : i + 3] not in texts[0] + "\0" + texts[2])
    found = await chunks(front, sample_count=3, stop_sequences=(stop,))
    reasons = {chunk.sample_index: chunk.finish_reason for chunk in found if chunk.finish_reason is not None}
    assert reasons == {0: FinishReason.LENGTH, 1: FinishReason.STOP, 2: FinishReason.LENGTH}
    assert [text_of(found, sample) for sample in (0, 2)] == [texts[0], texts[2]]
    assert text_of(found, 1) == texts[1][: texts[1].index(stop)]


async def test_token_scores_and_alternatives_stand_beside_every_token(front: Front) -> None:
    found = await chunks(front, sampling=GREEDY, include_token_scores=True, alternative_count=3)
    scores = [score for chunk in found for score in chunk.token_scores]
    assert "".join(score.token for score in scores) == text_of(found)
    for score in scores:
        assert score.log_probability < 0
        assert len(score.alternatives) == 3
        ranked = [other.log_probability for other in score.alternatives]
        assert ranked == sorted(ranked, reverse=True)
        shares = sum(math.exp(value) for value in ranked)
        assert 0 < shares < 1
    assert text_of(found) == text_of(await chunks(front, sampling=GREEDY))


async def test_the_score_of_the_end_comes_last_and_not_where_a_stop_sequence_ended_the_text(front: Front) -> None:
    biases = {"<eos>": 100.0}
    found = await chunks(front, token_biases=biases, min_output_token_count=5, include_token_scores=True)
    assert (len(tokens_of(found)), tokens_of(found)[-1], found[-1].finish_reason) == (6, "<eos>", FinishReason.STOP)
    assert sum(chunk.token_count for chunk in found) == 5
    text = text_of(found)
    stopped = await chunks(front, stop_sequences=(text[3],), include_token_scores=True)
    assert "".join(tokens_of(stopped)) == text[: text.index(text[3]) + 1]


async def test_a_banned_token_is_not_written_and_a_biased_one_more_often(front: Front) -> None:
    common = max("ABcdefg23|2", key=text_of(await chunks(front, max_output_token_count=120)).count)
    free = text_of(await chunks(front, max_output_token_count=120))
    assert common in free
    assert common not in text_of(await chunks(front, max_output_token_count=120, banned_tokens=(common,)))
    biased = text_of(await chunks(front, max_output_token_count=120, token_biases={common: 3.0}))
    assert biased.count(common) > free.count(common)


async def test_a_token_that_the_model_does_not_have_is_refused_by_its_place(front: Front) -> None:
    for fields, field in (
        ({"banned_tokens": ("|", "GA")}, "banned_tokens[1]"),
        ({"token_biases": {"\N{SNOWMAN}": 1.0}}, "token_biases[\N{SNOWMAN}]"),
    ):
        with pytest.raises(InvalidArgumentError) as refused:
            await chunks(front, **fields)
        assert refused.value.field == field


async def test_no_ngram_comes_twice(front: Front) -> None:
    greedy: dict[str, Any] = {"sampling": GREEDY, "max_output_token_count": 60}
    free = PROMPT + text_of(await chunks(front, **greedy))
    assert len({free[i : i + 2] for i in range(len(free) - 1)}) < len(free) - 1
    found = PROMPT + text_of(await chunks(front, no_repeat_ngram_size=2, **greedy))
    written = [found[i : i + 2] for i in range(len(found) - 1)]
    assert len(set(written)) == len(written)


async def test_a_repetition_penalty_brings_more_kinds_of_tokens(front: Front) -> None:
    greedy: dict[str, Any] = {"sampling": GREEDY, "max_output_token_count": 60}
    free = text_of(await chunks(front, **greedy))
    assert len(set(text_of(await chunks(front, repetition_penalty=5.0, **greedy)))) > len(set(free))


async def test_an_echo_begins_every_sample_with_the_prompt(front: Front) -> None:
    found = await chunks(front, echo=True, sample_count=2)
    silent = await chunks(front, sample_count=2)
    assert [text_of(found, sample) for sample in (0, 1)] == [PROMPT + text_of(silent, sample) for sample in (0, 1)]
    stopped = await chunks(front, echo=True, stop_sequences=("X",))
    assert text_of(stopped).startswith(PROMPT)


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({"sample_count": SLOTS + 1}, "sample_count", SLOTS),
        ({"min_output_token_count": 25}, "min_output_token_count", 24),
        ({"max_output_token_count": 257}, "max_output_token_count", 256),
    ],
)
async def test_more_than_the_server_takes_is_refused_by_field_with_the_limit(
    front: Front, fields: dict[str, Any], field: str, limit: int
) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        await chunks(front, **fields)
    assert (refused.value.field, refused.value.facts["limit"]) == (field, str(limit))


async def test_several_samples_without_sampling_are_refused(front: Front) -> None:
    with pytest.raises(InvalidArgumentError, match="with temperature 0 all samples are the same") as refused:
        await chunks(front, sample_count=2, sampling=GREEDY)
    assert refused.value.field == "sample_count"


async def test_a_token_is_banned_or_biased_and_not_both(front: Front) -> None:
    with pytest.raises(InvalidArgumentError, match="ban or bias it") as refused:
        await chunks(front, banned_tokens=("2", "|"), token_biases={"X": 1.0, "2": 1.0})
    assert refused.value.field == "token_biases[2]"


async def test_every_mode_answers_alike_alone_and_in_a_crowd(front: Front) -> None:
    modes: Sequence[dict[str, Any]] = (
        {},
        {"sampling": Sampling(0.8, top_k=5, top_p=0.9, min_p=0.01, seed=9), "sample_count": 3},
        {"repetition_penalty": 1.5, "no_repeat_ngram_size": 3, "banned_tokens": ("|",), "token_biases": {"2": 1.0}},
        {"stop_sequences": ("A", "2"), "min_output_token_count": 9},
        {"min_output_token_count": 0, "sample_count": 2},
        {"include_token_scores": True, "alternative_count": 4, "echo": True},
    )
    asked = [(prompt, mode) for prompt in ("", "X", PROMPT, PROMPT + "GABc") for mode in modes]

    def answer(found: list[GeneratedChunk]) -> list[object]:
        scores = [(chunk.sample_index, score) for chunk in found for score in chunk.token_scores]
        ends = sorted((chunk.sample_index, chunk.finish_reason) for chunk in found if chunk.finish_reason is not None)
        return [[text_of(found, sample) for sample in range(3)], scores, [str(end) for end in ends]]

    alone = [answer(await chunks(front, prompt, **mode)) for prompt, mode in asked]
    crowd = await asyncio.gather(*(chunks(front, prompt, **mode) for prompt, mode in asked))
    assert [answer(found) for found in crowd] == alone


async def test_the_best_so_far_comes_before_the_deadline_where_it_is_asked_for(
    front: Front, sent: list[Command], tmp_path: Path
) -> None:
    whole = text_of(await chunks(front, max_output_token_count=256), 0)
    async with serving(tmp_path, sent, SlowEngine) as slow:  # 256 tokens take five times as long as is allowed
        with pytest.raises(DeadlineExceededError):
            await chunks(slow, max_output_token_count=256, seconds=1.0)
        begun = time.monotonic()
        found = await chunks(slow, max_output_token_count=256, seconds=1.0, allow_partial=True)
        assert time.monotonic() - begun < 1.0
        assert found[-1].finish_reason is FinishReason.DEADLINE
        assert found[-1].timings is not None
        assert 0 < len(text_of(found)) < 256
        assert whole.startswith(text_of(found))


async def test_tokens_that_a_stop_held_back_to_the_end_are_counted(
    front: Front, sent: list[Command], tmp_path: Path
) -> None:
    whole, registry = text_of(await chunks(front, max_output_token_count=256)), CollectorRegistry()
    async with serving(tmp_path, sent, SlowEngine, registry) as slow:
        with pytest.raises(DeadlineExceededError):  # nothing was told before
            await chunks(slow, max_output_token_count=256, seconds=0.5, stop_sequences=(whole[:199] + "\N{SNOWMAN}",))
    counted = registry.get_sample_value("seqserve_generated_tokens_total", {"model": MODEL})
    assert counted is not None
    assert 0 < counted < 199


async def test_a_partial_translation_is_the_best_so_far(front: Front, sent: list[Command], tmp_path: Path) -> None:
    texts, prefixes = ["The black dog jumped over the cat"] * 6, ("Il gatto",) * 6
    options = TranslateOptions(48, beam_size=8, target_prefixes=prefixes, length_penalty=10.0, allow_partial=True)
    async with serving(tmp_path, sent, SlowEngine) as slow:
        result = await slow.translate("tiny-translation", texts, options, deadline=time.monotonic() + 1.5)
    first, *_, last = [translation.hypotheses[0] for translation in result.translations]
    assert first.text.startswith("Il gatto")  # it ran alone, for a beam takes every row
    assert (last.text, last.finish_reason) == ("", FinishReason.DEADLINE)  # it never began
