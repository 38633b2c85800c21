"""State tokens through front and engine: a text or a sequence goes on elsewhere as if it had not been interrupted."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.engine.sampling import GREEDY, Sampling
from service.errors import (
    InvalidArgumentError,
    ServiceError,
    StateKeysMissingError,
    StateNotCarriedError,
    StateTokenInvalidError,
    StateTokenModelError,
    StateTokenNumericsError,
    WrongTaskError,
)
from service.metrics import Metrics
from service.serving.api import FinishReason, GeneratedChunk, LabelledSequence
from service.serving.catalog import Catalog
from service.serving.engines.engine_loop import EngineLimits, EngineLoop
from service.serving.engines.hosts import InlineHost
from service.serving.engines.messages import Event
from service.serving.engines.pool import EnginePool
from service.serving.front import Front
from service.serving.options import GenerateOptions
from service.serving.sequences import FeatureRows
from service.serving.tasks.carrying import ModelStates
from service.state.keys import Key
from service.state.requests import Resumption, SequenceStates
from service.state.tokens import Origin, StateTokens
from tests.bundles import publish_tiny

GENERATOR, FORECASTER = "tiny-generation", "tiny-labelling-features"
PROMPT = "X:1\nK:G\n"
COUNT = 24
LIMITS = EngineLimits(max_batch_size=8, decode_slots=8, padding_budget=0.25)
TOKENS = StateTokens([Key("a", b"1" * 32)], lifetime_seconds=60)
DAYS = [{"temperature": 4.0 + 3 * day, "humidity": 60.0 + day, "wind": 1.0 * day} for day in range(9)]

MODES: Mapping[str, dict[str, Any]] = {
    "greedy": {"sampling": GREEDY},
    "sampled": {"sampling": Sampling(1.0, seed=3)},
    "with cuts": {"sampling": Sampling(0.9, top_k=6, top_p=0.9, min_p=0.01, seed=4)},
    "penalties": {
        "sampling": Sampling(1.0, seed=5),
        "repetition_penalty": 1.5,
        "no_repeat_ngram_size": 3,
        "banned_tokens": ("|",),
        "token_biases": {"2": 1.5},
    },
    "a minimum": {"sampling": Sampling(1.0, seed=6), "min_output_token_count": 15, "token_biases": {"<eos>": 4.0}},
    "stops": {"sampling": Sampling(1.0, seed=7), "stop_sequences": ("Gd\N{SNOWMAN}", "no such text")},
}


class SlowEngine(EngineLoop):
    """A turn takes 3 ms."""

    def turn(self) -> list[Event]:
        time.sleep(0.003)
        return super().turn()


class HostOf(InlineHost):
    """Runs a given engine."""

    def __init__(self, engine: EngineLoop) -> None:
        super().__init__(LIMITS)
        self._engine = engine


@asynccontextmanager
async def serving(
    folder: Path, tokens: StateTokens | None = TOKENS, engine: type[EngineLoop] = EngineLoop
) -> AsyncIterator[Front]:
    metrics = Metrics(CollectorRegistry())
    pool = EnginePool(lambda: HostOf(engine(LIMITS)), count=1, metrics=metrics, on_change=lambda up: None)
    await pool.start()
    catalog = Catalog(folder, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
    await catalog.refresh()
    yield Front(
        catalog, pool, metrics, queue_capacity=64, decode_slots=8, max_text_characters=1_000, tokens=tokens
    )  # fmt: skip
    await pool.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for task in ("generation", "labelling-features", "translation"):
        publish_tiny(models, task)
    publish_tiny(models, "generation", name="other-generation", seed=1)
    publish_tiny(models, "labelling-features", name="both-directions", plain=True)
    return models


@pytest.fixture
async def front(folder: Path) -> AsyncIterator[Front]:
    async with serving(folder) as running:
        yield running


async def begin(
    front: Front, prompt: str = PROMPT, *, model: str = GENERATOR, seconds: float = 20, **fields: Any
) -> list[GeneratedChunk]:
    """A text that brings a state after every token."""
    chosen: dict[str, Any] = {"max_output_token_count": COUNT, "min_output_token_count": COUNT}
    chosen |= {"include_state_token": True, "state_token_interval": 1} | fields
    stream = front.generate(model, prompt, GenerateOptions(**chosen), deadline=time.monotonic() + seconds)
    return [chunk async for chunk in stream]


async def go_on(
    front: Front, token: bytes, prompt: str = "", *, model: str = GENERATOR, allow_inexact: bool = False, **fields: Any
) -> list[GeneratedChunk]:
    """What a request brings that sets `fields`, and nothing else, beside the token."""
    sampling = fields.pop("sampling", {})
    resumption = Resumption(token, frozenset([*fields, *sampling]), allow_inexact)
    options = GenerateOptions(
        sampling=Sampling(**{"temperature": 1.0, "seed": 999, **sampling}), resumption=resumption, **fields
    )
    stream = front.generate(model, prompt, options, deadline=time.monotonic() + 20)
    return [chunk async for chunk in stream]


def text_of(found: Sequence[GeneratedChunk], sample: int = 0) -> str:
    return "".join(chunk.text for chunk in found if chunk.sample_index == sample)


def token_after(found: Sequence[GeneratedChunk], count: int, sample: int = 0) -> tuple[bytes, str]:
    """The token that stands after so many tokens, and the text until there."""
    own = [chunk for chunk in found if chunk.sample_index == sample]
    index = next(i for i, one in enumerate(own) if one.first_token_index + one.token_count == count)
    return own[index].state_token, text_of(own[: index + 1], sample)


@pytest.mark.parametrize("mode", MODES)
async def test_a_text_goes_on_from_every_token_as_if_it_had_not_been_interrupted(front: Front, mode: str) -> None:
    whole = await begin(front, **MODES[mode])
    written = sum(chunk.token_count for chunk in whole)
    assert written > 14
    asked = [token_after(whole, count) for count in range(1, written)]
    found = await asyncio.gather(*(go_on(front, token) for token, _ in asked))
    for count, ((_, before), after) in enumerate(zip(asked, found, strict=True), start=1):
        assert before + text_of(after) == text_of(whole)
        assert after[0].first_token_index == count
        assert after[-1].finish_reason is whole[-1].finish_reason
        assert (after[0].seed, after[0].prompt_token_count) == (whole[0].seed, 0)


async def test_a_stop_sequence_is_found_across_the_place_where_a_text_went_on(front: Front) -> None:
    free = text_of(await begin(front, sampling=Sampling(1.0, seed=3)))
    stop = free[9:15]
    whole = await begin(front, sampling=Sampling(1.0, seed=3), stop_sequences=(stop,))
    assert whole[-1].finish_reason is FinishReason.STOP
    assert not whole[-1].state_token
    token, before = token_after(whole, 12)  # three of its characters are written
    after = await go_on(front, token)
    assert before + text_of(after) == text_of(whole) == free[: free.index(stop)]
    assert after[-1].finish_reason is FinishReason.STOP


async def test_texts_that_follow_one_another_are_one_text(front: Front) -> None:
    mode = MODES["penalties"] | {"min_output_token_count": 0, "banned_tokens": ("<eos>",)}
    whole = text_of(await begin(front, **mode))
    found = await begin(front, **mode, max_output_token_count=5)
    text = text_of(found)
    while len(text) < COUNT:
        assert found[-1].finish_reason is FinishReason.LENGTH
        most = min(5, COUNT - len(text))
        found = await go_on(front, found[-1].state_token, max_output_token_count=most, include_state_token=True)
        text += text_of(found)
    assert text == whole


async def test_a_text_goes_on_as_if_not_interrupted_when_it_is_longer_than_what_penalties_look_back_at(
    front: Front,
) -> None:
    """They look back at 128 + 256 tokens of this model, and no state token holds more; the text is of two times 256."""
    ngrams: dict[str, Any] = {
        "no_repeat_ngram_size": 2,
        "banned_tokens": ("<eos>",),
        "sampling": Sampling(1.0, seed=3),
    }
    long: dict[str, Any] = {"max_output_token_count": 256, "min_output_token_count": 0}
    first = await begin(front, state_token_interval=0, **long, **ngrams)
    states: dict[str, Any] = {"include_state_token": True, "state_token_interval": 50}
    second = await go_on(front, first[-1].state_token, **long, **states)
    token, before = token_after(second, 256 + 200)
    rest = await go_on(front, token, max_output_token_count=56)
    assert before + text_of(rest) == text_of(second)
    earlier, _ = token_after(second, 256 + 150)
    assert abs(len(token) - len(earlier)) < 8


async def test_of_no_tokens_left_the_models_own_limit_goes_on(front: Front) -> None:
    found = await begin(front, min_output_token_count=0, banned_tokens=("<eos>",))
    after = await go_on(front, found[-1].state_token)
    assert (sum(chunk.token_count for chunk in after), after[-1].finish_reason) == (256, FinishReason.LENGTH)


async def test_each_of_several_samples_goes_on_by_itself(front: Front) -> None:
    whole = await begin(front, sampling=Sampling(1.0, seed=3), sample_count=3)
    for sample in range(3):
        token, before = token_after(whole, 10, sample)
        assert before + text_of(await go_on(front, token)) == text_of(whole, sample)


async def test_one_token_goes_on_alike_twice_and_differently_under_another_seed(front: Front) -> None:
    token, _ = token_after(await begin(front, sampling=Sampling(1.0, seed=3)), 6)
    first, again = await go_on(front, token), await go_on(front, token)
    other = await go_on(front, token, sampling={"seed": 4})
    assert text_of(first) == text_of(again) != text_of(other)
    assert other[0].seed == 4
    forks = await go_on(front, token, sample_count=3)
    assert text_of(forks) == text_of(first)
    assert len({text_of(forks, sample) for sample in range(3)}) == 3


async def test_an_option_that_is_set_replaces_the_tokens_own(front: Front) -> None:
    token, _ = token_after(await begin(front, **MODES["sampled"]), 6)
    greedy = await go_on(front, token, sampling={"temperature": 0.0}, max_output_token_count=4)
    assert sum(chunk.token_count for chunk in greedy) == 4
    assert text_of(greedy) == text_of(await go_on(front, token, sampling={"temperature": 0.0}))[:4]
    assert text_of(greedy) != text_of(await go_on(front, token))[:4]


@pytest.mark.parametrize("field", ["top_k", "top_p", "min_p", "seed"])
async def test_a_greedy_text_does_not_go_on_with_what_samples_unless_it_gets_a_temperature(
    front: Front, field: str
) -> None:
    token, _ = token_after(await begin(front, sampling=GREEDY), 6)
    value = {"top_k": 3, "seed": 5}.get(field, 0.5)
    with pytest.raises(InvalidArgumentError, match=f"^{field} samples, which needs a temperature above 0") as refused:
        await go_on(front, token, sampling={field: value})
    assert refused.value.field == field
    assert text_of(await go_on(front, token, sampling={field: value, "temperature": 1.0}))


async def test_a_token_that_the_text_biases_may_be_banned_from_here_on(front: Front) -> None:
    token, _ = token_after(await begin(front, token_biases={"2": 100.0}), 6)
    assert "2" in text_of(await go_on(front, token))
    assert "2" not in text_of(await go_on(front, token, banned_tokens=("2",)))
    with pytest.raises(InvalidArgumentError, match="ban or bias it"):
        await go_on(front, token, banned_tokens=("2",), token_biases={"2": 1.0})


async def test_a_prompt_is_read_after_the_text_and_nothing_of_it_is_told_twice(front: Front) -> None:
    first = await begin(front, sampling=GREEDY, max_output_token_count=8, min_output_token_count=8)
    more = "GAB|"
    after = await go_on(front, first[-1].state_token, more, max_output_token_count=9, echo=True)
    fresh = await begin(
        front, PROMPT + text_of(first) + more, sampling=GREEDY, max_output_token_count=9,
        min_output_token_count=0,
    )  # fmt: skip
    assert text_of(after) == more + text_of(fresh)
    assert (after[0].prompt_token_count, after[0].first_token_index) == (4, 8)


async def test_a_token_is_good_on_another_server_with_the_same_key(front: Front, folder: Path) -> None:
    whole = await begin(front, **MODES["penalties"])
    token, before = token_after(whole, 7)
    async with serving(folder) as other:
        assert before + text_of(await go_on(other, token)) == text_of(whole)
    async with serving(folder, StateTokens([Key("a", b"2" * 32)], lifetime_seconds=60)) as stranger:
        with pytest.raises(StateTokenInvalidError):
            await go_on(stranger, token)


async def test_a_token_of_another_model_or_method_is_refused(front: Front) -> None:
    text_token = (await begin(front, max_output_token_count=3, min_output_token_count=0))[-1].state_token
    (labelled,) = await label(front, DAYS)
    for token, model in ((text_token, "other-generation"), (labelled.state_token, GENERATOR)):
        with pytest.raises(StateTokenModelError):
            await go_on(front, token, model=model, allow_inexact=True)
    with pytest.raises(StateTokenModelError) as refused:
        await label(front, DAYS, DAYS, tokens=(b"", text_token))
    assert refused.value.field == "sequences[1].state_token"
    with pytest.raises(WrongTaskError):
        await go_on(front, text_token, model=FORECASTER)


async def test_another_numerics_class_is_refused_unless_the_request_allows_it(front: Front) -> None:
    whole = await begin(front, **MODES["sampled"])
    token, before = token_after(whole, 7)
    info = front.get_model(GENERATOR)
    content = TOKENS.open(token, Origin(info.digest, info.numerics_class), field="", allow_inexact=False)
    foreign = TOKENS.issue(Origin(info.digest, "int8/cpu/aarch64"), content)
    with pytest.raises(StateTokenNumericsError):
        await go_on(front, foreign)
    assert before + text_of(await go_on(front, foreign, allow_inexact=True)) == text_of(whole)


async def label(
    front: Front, *sequences: Sequence[Mapping[str, float]], model: str = FORECASTER, **states: Any
) -> tuple[LabelledSequence, ...]:
    asked = SequenceStates(**{"include": True, **states})
    given = [FeatureRows(tuple(rows)) for rows in sequences]
    result = await front.label(model, given, top_label_count=None, deadline=time.monotonic() + 20, states=asked)
    return result.sequences


async def test_a_sequence_that_came_in_parts_is_labelled_as_one(front: Front) -> None:
    (whole,) = await label(front, DAYS)
    for cut in range(1, len(DAYS)):
        (first,) = await label(front, DAYS[:cut])
        (second,) = await label(front, DAYS[cut:], tokens=(first.state_token,))
        assert first.steps + second.steps == whole.steps


async def test_sequences_go_on_each_from_its_own_state_in_one_request(front: Front) -> None:
    wholes = await label(front, DAYS, DAYS[::-1], DAYS[2:])
    starts = await label(front, DAYS[:4], DAYS[::-1][:7])
    tokens = (starts[0].state_token, starts[1].state_token, b"")
    ends = await label(front, DAYS[4:], DAYS[::-1][7:], DAYS[2:], tokens=tokens)
    assert starts[0].steps + ends[0].steps == wholes[0].steps
    assert starts[1].steps + ends[1].steps == wholes[1].steps
    assert ends[2].steps == wholes[2].steps


async def test_states_come_only_where_they_are_asked_for(front: Front) -> None:
    (labelled,) = await label(front, DAYS, include=False)
    assert labelled.state_token == b""
    found = await begin(front, include_state_token=False, state_token_interval=0)
    assert {chunk.state_token for chunk in found} == {b""}


async def test_a_model_of_both_directions_refuses_and_says_why(front: Front) -> None:
    for states in ({}, {"include": False, "tokens": (b"x",)}):
        with pytest.raises(StateNotCarriedError, match="reads sequences in both directions"):
            await label(front, DAYS, model="both-directions", **states)
    assert [front.get_model(model).carries_state for model in (GENERATOR, FORECASTER, "both-directions")] == [
        True, True, False,
    ]  # fmt: skip


async def test_a_server_without_keys_refuses_and_says_which_setting(folder: Path) -> None:
    async with serving(folder, None) as front:
        for asking in (begin(front), go_on(front, b"x"), label(front, DAYS)):
            with pytest.raises(StateKeysMissingError, match=r"state_keys \(--state-keys FILE\)"):
                await asking
        assert text_of(await begin(front, include_state_token=False, state_token_interval=0))


async def test_a_text_that_the_deadline_cut_goes_on(front: Front, folder: Path) -> None:
    mode: dict[str, Any] = {"sampling": Sampling(1.0, seed=3)}
    mode |= {"max_output_token_count": 256, "min_output_token_count": 256}
    whole = text_of(await begin(front, **mode))
    async with serving(folder, engine=SlowEngine) as slow:  # 256 tokens take three times as long as is allowed
        found = await begin(slow, **mode, seconds=0.25, allow_partial=True, state_token_interval=0)
    assert found[-1].finish_reason is FinishReason.DEADLINE
    assert 0 < len(text_of(found)) < 256
    assert text_of(found) + text_of(await go_on(front, found[-1].state_token)) == whole


def test_more_states_than_a_client_could_receive_are_refused() -> None:
    states = ModelStates(TOKENS, Origin("", ""), state_size=250_000, vocabulary_size=0)
    states.check_size(2, "include_state_token")
    with pytest.raises(InvalidArgumentError, match="at most 2 of them are sent") as refused:
        states.check_size(3, "include_state_token")
    assert (refused.value.field, refused.value.facts["limit"]) == ("include_state_token", "2")


async def test_junk_in_the_place_of_a_token_is_refused_and_the_next_request_answered(front: Front) -> None:
    token, _ = token_after(await begin(front), 3)
    for junk in (b"\0", token[:-1], token + b"\0", bytes(len(token))):
        with pytest.raises(ServiceError) as refused:
            await go_on(front, junk)
        assert refused.value.field == "state_token"
    assert text_of(await go_on(front, token))
