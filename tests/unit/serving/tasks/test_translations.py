"""Translations through front and engine: what a caller asks for, on a tiny model with real graphs."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.engine.requests import Ending
from service.engine.sampling import Sampling
from service.errors import AttentionNotAvailableError, InvalidArgumentError, ServiceError, TextTooLongError
from service.metrics import Metrics
from service.serving.api import FinishReason, Hypothesis, Translation
from service.serving.catalog import Catalog
from service.serving.engines.engine_loop import EngineLimits
from service.serving.engines.hosts import InlineHost
from service.serving.engines.messages import DecodedHypothesis
from service.serving.engines.pool import EnginePool
from service.serving.front import Front
from service.serving.options import TranslateOptions
from service.serving.sequences import TextPair
from service.serving.tasks.translating import MOST_BEAM_TOKENS, TranslationWriter, check_forced, decode_options
from service.serving.truncation import Truncation
from service.text.tokenizer import Tokenizer
from tests.bundles import ENGLISH, PAD, UNK, publish_tiny, tiny_bundle, words_tokenizer

MODEL, PLAIN = "tiny-translation", "plain-translation"
SLOTS = 16


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    publish_tiny(tmp_path, "translation")
    publish_tiny(tmp_path, "translation", name=PLAIN, plain=True)
    metrics = Metrics(CollectorRegistry())
    limits = EngineLimits(max_batch_size=8, decode_slots=SLOTS, padding_budget=0.25)
    pool = EnginePool(lambda: InlineHost(limits), count=1, metrics=metrics, on_change=lambda up: None)
    await pool.start()
    catalog = Catalog(tmp_path, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
    await catalog.refresh()
    yield Front(catalog, pool, metrics, queue_capacity=64, decode_slots=SLOTS, max_text_characters=1_000)
    await pool.close()


async def translated(front: Front, *texts: str, model: str = MODEL, **fields: Any) -> tuple[Translation, ...]:
    options = TranslateOptions(**{"max_output_token_count": 8, **fields})
    result = await front.translate(model, texts, options, deadline=time.monotonic() + 20)
    return result.translations


async def best(front: Front, text: str, **fields: Any) -> Hypothesis:
    (translation,) = await translated(front, text, **fields)
    return translation.hypotheses[0]


async def test_several_hypotheses_come_best_first_with_scores_that_are_those_of_their_tokens(front: Front) -> None:
    (translation,) = await translated(
        front, "the dog", beam_size=6, hypothesis_count=4, length_penalty=1.0, include_token_scores=True
    )
    assert len(translation.hypotheses) == 4
    scores = [one.score or 0.0 for one in translation.hypotheses]
    assert scores == sorted(scores, reverse=True)
    for one in translation.hypotheses:
        total = sum(token.log_probability for token in one.token_scores)
        assert one.score == pytest.approx(total / ((5 + len(one.token_scores)) / 6))
        ended = one.finish_reason is FinishReason.STOP
        assert len(one.token_scores) == one.token_count + ended
        assert (one.token_scores[-1].token == "<eos>") is ended


@pytest.mark.parametrize("truncation", [Truncation.KEEP_BEGINNING, Truncation.KEEP_END])
async def test_a_text_that_is_truncated_is_translated_as_its_part(front: Front, truncation: Truncation) -> None:
    text, longest = "0123456789" * 7, 63  # each is a token, and so is the end of the sequence
    part = text[:longest] if truncation is Truncation.KEEP_BEGINNING else text[-longest:]
    cut, whole = await translated(
        front, text, part, include_attention=True, replace_unknowns=True, truncation=truncation
    )
    assert (cut.hypotheses, cut.source_token_count, cut.truncated) == (whole.hypotheses, longest, True)
    assert not whole.truncated


async def test_a_wider_beam_finds_what_the_model_likes_better(front: Front) -> None:
    greedy = await best(front, "the black dog", include_token_scores=True, length_penalty=0.0)
    searched = await best(front, "the black dog", beam_size=16, length_penalty=0.0)
    assert greedy.score is not None
    assert searched.score is not None
    assert searched.score > greedy.score


async def test_a_translation_that_is_given_is_scored_as_one_that_is_written(front: Front) -> None:
    written = await best(front, "the dog", target_prefixes=("Il gatto",), include_token_scores=True)
    result = await front.score(
        MODEL, [TextPair("a cat", "Il"), TextPair("the dog", "Il gatto")], deadline=time.monotonic() + 20
    )
    *given, end = result.scores[1].token_scores
    assert tuple(given) == written.token_scores[:2]
    assert (end.token, result.scores[1].source_token_count) == ("<eos>", 4)
    assert all(token.log_probability < 0 for score in result.scores for token in score.token_scores)


async def test_a_translation_begins_with_its_prefix_and_others_with_theirs(front: Front) -> None:
    fields: dict[str, Any] = {"target_prefixes": ("Il gatto", ""), "include_token_scores": True, "beam_size": 4}
    forced, free = await translated(front, "the dog", "the dog", **fields)
    assert forced.hypotheses[0].text.startswith("Il gatto")
    assert [score.token for score in forced.hypotheses[0].token_scores[:2]] == ["Il", " gatto"]
    assert free == (await translated(front, "the dog", beam_size=4, include_token_scores=True))[0]


async def test_a_prefix_that_leaves_no_room_is_refused_by_its_place(front: Front) -> None:
    with pytest.raises(TextTooLongError) as refused:
        await translated(front, "the dog", "the cat", target_prefixes=("Il", "Il gatto bianco Il gatto"))
    assert (refused.value.field, refused.value.facts["limit"]) == ("target_prefixes[1]", "7")


async def test_a_prefix_that_the_length_factor_leaves_no_room_for_is_refused_by_its_place(front: Front) -> None:
    fields: dict[str, Any] = {"target_prefixes": ("", "Il gatto"), "max_length_factor": 0.5}
    with pytest.raises(InvalidArgumentError, match=r"target_prefixes\[1\] is 2 tokens long") as refused:
        await translated(front, "the dog", "the dog", **fields)
    assert (refused.value.field, refused.value.facts["limit"]) == ("max_length_factor", "1")
    first, second = await translated(front, "the dog", "the dog", **fields | {"max_length_factor": 1.5})
    assert second.hypotheses[0].text.startswith("Il gatto")
    assert first.hypotheses[0].token_count <= 6


def test_a_special_token_is_no_part_of_a_translation_and_is_refused_by_its_place() -> None:
    spec = tiny_bundle("translation")[0].spec
    tokenizer = Tokenizer.from_bytes(words_tokenizer(ENGLISH)[0])
    texts = [("pairs[0].target", "the dog"), ("pairs[1].target", "the <pad>")]
    allowed, forbidden = tokenizer.encode("the dog"), [*tokenizer.encode("the"), PAD]
    check_forced(spec, tokenizer, texts, [allowed, allowed])  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"^pairs\[1\]\.target has the special token '<pad>'") as refused:
        check_forced(spec, tokenizer, texts, [allowed, forbidden])  # type: ignore[arg-type]
    assert refused.value.field == "pairs[1].target"


async def test_special_tokens_in_what_must_be_written_are_refused(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda self, text: [PAD] if text == "nothing" else encode(self, text))
    with pytest.raises(InvalidArgumentError, match=r"^target_prefixes\[1\] has the special token"):
        await translated(front, "the dog", "the dog", target_prefixes=("Il", "nothing"))
    with pytest.raises(InvalidArgumentError, match=r"^pairs\[0\]\.target has the special token"):
        await front.score(MODEL, [TextPair("the dog", "nothing")], deadline=time.monotonic() + 20)


async def test_a_sample_does_not_depend_on_the_other_texts_or_on_how_many_are_drawn(front: Front) -> None:
    fields: dict[str, Any] = {"sampling": Sampling(5.0, seed=4), "include_token_scores": True}
    (alone,) = await translated(front, "the dog", hypothesis_count=1, **fields)
    first, second = await translated(front, "a red apple", "the dog", hypothesis_count=3, **fields)
    assert second.hypotheses[0] == alone.hypotheses[0]
    assert len({one.text for one in (*first.hypotheses, *second.hypotheses)}) == 6


async def test_every_mode_answers_alike_alone_and_in_a_crowd(front: Front) -> None:
    modes: Sequence[dict[str, Any]] = (
        {},
        {"beam_size": 2, "hypothesis_count": 2, "include_attention": True},
        {"beam_size": 5, "hypothesis_count": 3, "length_penalty": 1.0, "coverage_penalty": 0.5},
        {"sampling": Sampling(1.5, top_p=0.9, seed=1), "hypothesis_count": 3, "include_token_scores": True},
        {"sampling": Sampling(0.7, top_k=5, min_p=0.01, seed=2), "target_prefixes": ("Il",)},
    )
    asked = [(text, mode) for text in ENGLISH for mode in modes]
    alone = [await translated(front, text, **mode) for text, mode in asked]
    crowd = await asyncio.gather(*(translated(front, text, **mode) for text, mode in asked))
    assert crowd == alone


async def test_the_longest_translation_may_depend_on_its_source(front: Front) -> None:
    short, long = await translated(front, "dog", "the black dog jumped", max_length_factor=0.5, beam_size=2)
    assert max(one.token_count for one in short.hypotheses) <= 2
    assert max(one.token_count for one in long.hypotheses) <= 8


@pytest.mark.parametrize(
    "fields",
    [{"include_attention": True}, {"replace_unknowns": True}, {"coverage_penalty": 0.5, "beam_size": 2}],
    ids=["attention", "unknowns", "coverage"],
)
async def test_what_needs_attention_is_refused_by_a_model_without(front: Front, fields: dict[str, Any]) -> None:
    with pytest.raises(AttentionNotAvailableError) as refused:
        await translated(front, "the dog", model=PLAIN, **fields)
    assert refused.value.field == next(iter(fields))
    assert (await translated(front, "the dog", model=PLAIN, beam_size=3))[0].hypotheses[0].score is not None


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        pytest.param({"beam_size": SLOTS + 1}, "beam_size", SLOTS, id="wider than the engine"),
        pytest.param(
            {"hypothesis_count": SLOTS + 1, "sampling": Sampling(1.0)}, "hypothesis_count", SLOTS, id="samples"
        ),
        pytest.param({"max_output_token_count": 49}, "max_output_token_count", 48, id="longer than the model"),
    ],
)
async def test_more_than_the_server_takes_is_refused_by_field_with_the_limit(
    front: Front, fields: dict[str, Any], field: str, limit: int
) -> None:
    with pytest.raises(ServiceError) as refused:
        await translated(front, "the dog", **fields)
    assert (type(refused.value), refused.value.field) == (InvalidArgumentError, field)
    assert refused.value.facts["limit"] == str(limit)


def test_beam_times_hypotheses_times_length_has_a_limit() -> None:
    spec = tiny_bundle("translation")[0].spec
    options = TranslateOptions(beam_size=32, hypothesis_count=32)
    assert decode_options(options, spec, limit=97, slots=32).beam_size == 32  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="32 x 32 x 98, at most 100000") as refused:
        decode_options(options, spec, limit=98, slots=32)  # type: ignore[arg-type]
    assert (refused.value.field, refused.value.facts["limit"]) == ("beam_size", str(MOST_BEAM_TOKENS))


def test_an_unknown_token_is_replaced_by_the_source_word_it_attends_to() -> None:
    spec = tiny_bundle("translation")[0].spec
    tokenizers = tuple(Tokenizer.from_bytes(words_tokenizer(texts)[0]) for texts in (ENGLISH, ["il ha visto"]))
    writer = TranslationWriter(spec, tokenizers, TranslateOptions(replace_unknowns=True))  # type: ignore[arg-type]
    text = "Zaphod saw Trillian!"
    target = tokenizers[1].encode("il ha visto")
    found = DecodedHypothesis([UNK, target[1], target[2], UNK, UNK], Ending.STOP, aligned=[0, 1, 1, 2, 3])
    translation = writer.translation(text, tokenizers[0].encode(text), [found])
    assert translation.hypotheses[0].text == "Zaphod ha visto Trillian !"


@pytest.mark.parametrize(
    ("truncation", "text"),
    [
        pytest.param(Truncation.KEEP_BEGINNING, "Zaphod il ha visto", id="the beginning"),
        pytest.param(Truncation.KEEP_END, "Trillian il ha visto", id="the end"),
    ],
)
def test_an_unknown_token_is_replaced_by_a_word_of_the_part_that_was_translated(
    truncation: Truncation, text: str
) -> None:
    spec = tiny_bundle("translation")[0].spec.model_copy(update={"max_token_count": 3})  # two words and the end
    tokenizers = tuple(Tokenizer.from_bytes(words_tokenizer(texts)[0]) for texts in (ENGLISH, ["il ha visto"]))
    options = TranslateOptions(replace_unknowns=True, truncation=truncation)
    writer = TranslationWriter(spec, tokenizers, options)  # type: ignore[arg-type]
    found = DecodedHypothesis([UNK, *tokenizers[1].encode("il ha visto")], Ending.STOP, aligned=[0, 1, 1, 1])
    source = "Zaphod saw Trillian twice"
    translation = writer.translation(source, tokenizers[0].encode(source), [found])
    assert translation.hypotheses[0].text == text
    assert (translation.source_token_count, translation.truncated) == (2, True)


def test_the_words_of_tokens_are_those_of_the_text() -> None:
    _, files = tiny_bundle("translation")
    source = Tokenizer.from_bytes(files["source.tokenizer.json"])
    text = "The grey dog"
    assert len(source.token_words(text)) == len(source.encode(text))
    words = Tokenizer.from_bytes(words_tokenizer(ENGLISH)[0])
    assert words.token_words("The grey dog") == ["The", "grey", "dog"]
    assert words.unknown_id == UNK
