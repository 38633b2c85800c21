"""Prompts that are read by the step: the same texts as after a prefill, beside rows that write, joining at any time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Ending, News
from service.engine.rows import GenerationRows
from service.engine.sampling import Sampling
from service.engine.steps import Carried
from tests.fakes import Remembering, ids
from tests.unit.engine.test_carrying import MODES

CAPACITY = 7


def texts(model: Remembering, requests: Sequence[DecodeRequest], seed: int) -> dict[int, list[object]]:
    """What each request finds; they join at random times, as others leave."""
    random, loop, waiting = (
        np.random.default_rng(seed),
        DecodeLoop(GenerationRows(model), capacity=CAPACITY),
        [*requests],
    )
    found: dict[int, list[object]] = {}
    while waiting or loop.count:
        finished = []
        for _ in range(int(random.integers(0, 3))):
            if waiting and waiting[0].options.row_count <= loop.free:
                finished += loop.join([waiting.pop(0)])
        for one in finished + loop.step():
            found[one.key] = [(text.token_ids, text.ending, text.log_probabilities) for text in one.hypotheses or ()]
    return found


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    prompts=st.lists(st.lists(st.integers(3, 11), max_size=15), min_size=1, max_size=9),
    goes_on=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_text_is_the_one_that_comes_after_a_prefill(prompts: list[list[int]], goes_on: bool, seed: int) -> None:
    options = [*MODES.values(), DecodeOptions(6, beam_size=3, hypothesis_count=2), DecodeOptions(1)]
    options.append(DecodeOptions(5, Sampling(1.0, seed=8), sample_count=3))
    carried = Carried(np.array([3, 4], dtype=np.float32), 7, 5, known_ids=(3, 7)) if goes_on else None
    requests = [
        DecodeRequest(key, ids(*prompt), options[(seed + key) % len(options)], carried=carried)
        for key, prompt in enumerate(prompts)
    ]
    by_prefill = texts(Remembering(ends=True), requests, seed)
    assert texts(Remembering(ends=True, reads_by_step=True), requests, seed) == by_prefill


def loop_with(*requests: DecodeRequest) -> DecodeLoop:
    loop = DecodeLoop(GenerationRows(Remembering(reads_by_step=True)), capacity=CAPACITY)
    loop.join(requests)
    return loop


def test_a_row_that_reads_writes_nothing_and_holds_up_nobody() -> None:
    loop = loop_with(
        DecodeRequest(1, ids(3, 4, 5, 6), DecodeOptions(9), streams=True),
        DecodeRequest(2, ids(), DecodeOptions(9), streams=True),
    )
    told: list[News] = []
    for _ in range(5):
        loop.step()
        told += loop.news()
        assert loop.unwritten() == ({1} if len(told) < 5 else set())
    assert [news.key for news in told] == [2, 2, 2, 2, 1, 2]


@pytest.mark.parametrize("steps", [0, 2])
def test_a_text_that_is_cut_in_its_prompt_is_empty_and_stands_nowhere(steps: int) -> None:
    options = replace(DecodeOptions(9), keep_state=True)
    loop = loop_with(DecodeRequest(1, ids(3, 4, 5, 6), options, streams=True))
    for _ in range(steps):
        loop.step()
    (finished,) = loop.cut(1)
    (news,) = loop.news()
    assert finished.hypotheses is not None
    assert (finished.hypotheses[0].token_ids, news.ending, news.carried) == ([], Ending.DEADLINE, None)
    assert loop.count == 0
