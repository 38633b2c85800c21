"""State that is told and given back: a text goes on as if it had never been interrupted, alone or among others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.constraints import FREE, Constraints
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Ending, News
from service.engine.rows import GenerationRows
from service.engine.sampling import Sampling
from service.engine.steps import Carried
from tests.fakes import Remembering, ids

MODES: Mapping[str, DecodeOptions] = {
    "greedy": DecodeOptions(20),
    "sampled": DecodeOptions(20, Sampling(1.0, seed=3)),
    "with cuts": DecodeOptions(20, Sampling(0.9, top_k=6, top_p=0.9, min_p=0.01, seed=4), keep_scores=True),
    "penalties": DecodeOptions(20, Sampling(1.0, seed=5), constraints=Constraints(0, 1.7, 3, ((5, 1.5),))),
    "penalties for a while": DecodeOptions(20, Sampling(1.0, seed=5), constraints=Constraints(0, 1.7, 2, (), 6)),
    "greedy n-grams": DecodeOptions(20, constraints=Constraints(no_repeat_ngram_size=2)),
    "a minimum": DecodeOptions(20, Sampling(1.0, seed=6), constraints=Constraints(15)),
}


def stream(*requests: DecodeRequest, model: Remembering | None = None) -> dict[int, list[News]]:
    """All that is told of each request, joined at once."""
    loop = DecodeLoop(GenerationRows(model or Remembering()), capacity=64)
    told: dict[int, list[News]] = {request.key: [] for request in requests}
    loop.join(requests)
    while True:
        for news in loop.news():
            told[news.key].append(news)
        if not loop.count:
            return told
        loop.step()


def request(options: DecodeOptions, *prompt: int, key: int = 0, carried: Carried | None = None) -> DecodeRequest:
    kept = replace(options, keep_state=True, state_interval=options.state_interval or 1)
    return DecodeRequest(key, ids(*prompt), kept, streams=True, carried=carried)


def written(told: Sequence[News], sample: int = 0) -> list[int]:
    return [token for news in told if news.sample == sample for token in news.token_ids]


def rest(options: DecodeOptions, after: int) -> DecodeOptions:
    """What is left to do after so many tokens."""
    least = max(0, options.constraints.min_output_token_count - after)
    limit = options.max_output_token_count - after
    return replace(
        options,
        max_output_token_count=limit,
        constraints=replace(options.constraints, min_output_token_count=least),
    )


def carried_after(told: Sequence[News], count: int, sample: int = 0) -> Carried:
    found = [news.carried for news in told if news.sample == sample and news.carried is not None]
    return next(carried for carried in found if carried.token_count == count)


@pytest.mark.parametrize("mode", MODES)
def test_a_text_that_was_cut_anywhere_goes_on_as_if_it_had_not_been(mode: str) -> None:
    options = MODES[mode]
    whole = stream(request(options, 4, 5))[0]
    assert len(written(whole)) == 20
    for cut in range(1, 20):
        carried = carried_after(whole, cut)
        assert written(stream(request(rest(options, cut), carried=carried))[0]) == written(whole)[cut:]


@settings(max_examples=15)
@given(st.data())
def test_a_text_that_goes_on_among_others_is_what_it_would_be_alone(data: st.DataObject) -> None:
    cuts = [data.draw(st.integers(1, 19)) for _ in MODES]
    wholes = [stream(request(options, 4, 5 + place))[0] for place, options in enumerate(MODES.values())]
    resumed = [
        request(rest(options, cut), key=key, carried=carried_after(whole, cut))
        for key, (options, cut, whole) in enumerate(zip(MODES.values(), cuts, wholes, strict=True))
    ]
    others = [request(DecodeOptions(9, Sampling(1.0, seed=key)), 3, 8, key=key) for key in range(90, 95)]
    told = stream(*data.draw(st.permutations([*resumed, *others])))
    assert [written(told[one.key]) for one in resumed] == [
        written(whole)[cut:] for cut, whole in zip(cuts, wholes, strict=True)
    ]


def test_a_text_may_be_cut_again_and_again() -> None:
    options = MODES["penalties"]
    whole = written(stream(request(options, 4, 5))[0])
    found, told = [], stream(request(replace(options, max_output_token_count=3), 4, 5))[0]
    found += written(told)
    while len(found) < len(whole):
        last = told[-1].carried
        assert last is not None
        told = stream(request(replace(rest(options, len(found)), max_output_token_count=1), carried=last))[0]
        found += written(told)
    assert found == whole


def test_each_of_several_samples_goes_on_by_itself() -> None:
    options = DecodeOptions(20, Sampling(1.0, seed=3), sample_count=3)
    whole = stream(request(options, 4))[0]
    for sample in range(3):
        carried = carried_after(whole, 7, sample)
        alone = stream(request(replace(rest(options, 7), sample_count=1), carried=carried))[0]
        assert written(alone) == written(whole, sample)[7:]


def test_a_state_goes_on_twice_alike_and_differently_under_another_seed() -> None:
    options = MODES["sampled"]
    carried = carried_after(stream(request(options, 4))[0], 8)
    again = [request(rest(options, 8), key=key, carried=carried) for key in (0, 1)]
    other = request(replace(rest(options, 8), sampling=Sampling(1.0, seed=99)), key=2, carried=carried)
    told = stream(*again, other)
    assert written(told[0]) == written(told[1]) != written(told[2])


def test_several_samples_go_on_from_one_state_the_first_as_it_would_alone() -> None:
    options = MODES["sampled"]
    whole = stream(request(options, 4))[0]
    told = stream(request(replace(rest(options, 8), sample_count=3), carried=carried_after(whole, 8)))[0]
    texts = [written(told, sample) for sample in range(3)]
    assert texts[0] == written(whole)[8:]
    assert len(set(map(tuple, texts))) == 3


def test_a_prompt_is_read_after_what_was_carried() -> None:
    first = stream(request(DecodeOptions(6), 4, 5))[0]
    last = first[-1].carried
    assert last is not None
    whole = [4, 5, *written(first), 7, 8]
    assert written(stream(request(DecodeOptions(6), 7, 8, carried=last))[0]) == written(
        stream(request(DecodeOptions(6), *whole))[0]
    )


def test_a_rule_looks_back_at_all_that_was_read_and_written_before() -> None:
    bigrams = DecodeOptions(20, constraints=Constraints(no_repeat_ngram_size=2))
    first = stream(request(bigrams, 4, 5))[0]
    last = first[-1].carried
    assert last is not None
    assert last.known_ids == (4, 5, *written(first))
    further = written(stream(request(bigrams, 4, 5, carried=last))[0])
    assert further == written(stream(request(bigrams, *last.known_ids, 4, 5))[0])
    assert further != written(stream(request(bigrams, 4, 5, carried=replace(last, known_ids=())))[0])
    assert not stream(request(DecodeOptions(3), 4, 5))[0][-1].carried.known_ids  # type: ignore[union-attr]


def test_a_rule_that_looks_back_at_so_many_tokens_carries_no_more() -> None:
    for_a_while = DecodeOptions(20, constraints=Constraints(no_repeat_ngram_size=1, look_back=6))
    told = stream(request(for_a_while, 4, 5))[0]
    assert carried_after(told, 3).known_ids == (4, 5, *written(told)[:3])
    assert carried_after(told, 20).known_ids == tuple(written(told)[-6:])
    assert written(told) != written(stream(request(replace(for_a_while, constraints=Constraints(0, 1.0, 1)), 4, 5))[0])


def test_state_is_told_after_so_many_tokens_and_where_the_limit_ends_the_text() -> None:
    told = stream(request(DecodeOptions(10, state_interval=4), 4))[0]
    counts = [news.carried.token_count for news in told if news.carried is not None]
    assert counts == [4, 8, 10]
    only_last = DecodeRequest(0, ids(4), DecodeOptions(10, keep_state=True), streams=True)
    assert [news.carried is not None for news in stream(only_last)[0]] == [False] * 9 + [True]
    never = DecodeRequest(0, ids(4), DecodeOptions(10), streams=True)
    assert all(news.carried is None for news in stream(never)[0])


def test_a_text_that_came_to_its_own_end_stands_nowhere() -> None:
    options = DecodeOptions(50, keep_state=True)
    told = stream(DecodeRequest(0, ids(4), options, streams=True), model=Remembering(ends=True))[0]
    assert (told[-1].ending, told[-1].carried) == (Ending.STOP, None)


def test_a_text_that_the_deadline_cut_goes_on() -> None:
    whole = written(stream(request(DecodeOptions(20), 4))[0])
    loop = DecodeLoop(GenerationRows(Remembering()), capacity=4)
    loop.join([DecodeRequest(0, ids(4), DecodeOptions(20, keep_state=True), streams=True)])
    for _ in range(5):
        loop.step()
    loop.cut(0)
    (news,) = loop.news()
    assert (news.ending, news.token_ids) == (Ending.DEADLINE, whole[:6])
    assert news.carried is not None
    assert written(stream(request(DecodeOptions(14), carried=news.carried))[0]) == whole[6:]


def test_a_row_that_was_cut_before_its_next_step_stands_where_it_stood() -> None:
    carried = carried_after(stream(request(DecodeOptions(20), 4))[0], 8)
    loop = DecodeLoop(GenerationRows(Remembering()), capacity=4)
    loop.join([request(DecodeOptions(12, constraints=FREE), carried=carried)])
    loop.cut(0)
    (news,) = loop.news()
    assert news.carried is not None
    assert (news.carried.last_id, news.carried.token_count) == (carried.last_id, 8)
    assert news.carried.state.tobytes() == carried.state.tobytes()


def test_rows_that_move_as_others_leave_tell_their_own_states_at_their_own_times() -> None:
    asked = [
        DecodeRequest(key, ids(4, key), DecodeOptions(3 + 4 * (key % 3), keep_state=key % 2 == 0, state_interval=key))
        for key in range(3, 9)
    ]
    streaming = [replace(one, streams=True) for one in asked]

    def states(told: Sequence[News]) -> list[tuple[int, bytes]]:
        return [(news.carried.token_count, news.carried.state.tobytes()) for news in told if news.carried is not None]

    together = stream(*streaming)
    assert {key: states(told) for key, told in together.items()} == {
        one.key: states(stream(one)[one.key]) for one in streaming
    }
    assert [count for count, _ in states(together[4])] == [4, 7]
    assert not states(together[5])
