"""The step loop: joining, leaving, endings, and rows that do not disturb each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.constraints import FREE, Constraints
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Ending, Finished, Hypothesis, News
from service.engine.sampling import Sampling
from tests.fakes import EOS, CountingRows, ids


def request(key: int, first: int, limit: int = 9, **fields: object) -> DecodeRequest:
    forced = fields.pop("forced_ids", ())
    streams = bool(fields.pop("streams", False))
    return DecodeRequest(key, ids(first), DecodeOptions(limit, **fields), forced, streams)  # type: ignore[arg-type]


def run(loop: DecodeLoop) -> dict[int, list[Hypothesis] | None]:
    found: dict[int, list[Hypothesis] | None] = {}
    while loop.count:
        found |= {one.key: one.hypotheses for one in loop.step()}
    return found


def decoded(*requests: DecodeRequest, model: CountingRows | None = None) -> dict[int, list[Hypothesis] | None]:
    """Decode requests that join together."""
    loop = DecodeLoop(model or CountingRows(), capacity=32)
    loop.join(requests)
    return run(loop)


def tokens(found: dict[int, list[Hypothesis] | None]) -> dict[int, list[list[int]]]:
    return {key: [one.token_ids for one in hypotheses or []] for key, hypotheses in found.items()}


def test_rows_step_together_and_each_goes_its_own_way() -> None:
    model = CountingRows()
    assert tokens(decoded(request(10, 3, 2), request(11, 7, 2), model=model)) == {10: [[4, 5]], 11: [[8, 9]]}
    assert model.batches == [2, 2]


def test_a_row_ends_with_stop_and_does_not_tell_the_end_token() -> None:
    assert decoded(request(1, 4), model=CountingRows(ends_at=5)) == {1: [Hypothesis([5], Ending.STOP)]}


def test_a_row_ends_with_length_at_its_own_limit() -> None:
    loop = DecodeLoop(CountingRows(), capacity=2)
    loop.join([request(1, 3, 1), request(2, 3, 2)])
    assert loop.step() == [Finished(1, [Hypothesis([4], Ending.LENGTH)])]
    assert loop.count == 1
    assert loop.step() == [Finished(2, [Hypothesis([4, 5], Ending.LENGTH)])]


def test_the_limit_may_depend_on_the_source() -> None:
    options = DecodeOptions(9, max_length_factor=1.5)
    loop = DecodeLoop(CountingRows(), capacity=2)
    loop.join([DecodeRequest(1, ids(3, 3, 3), options), DecodeRequest(2, ids(3), options)])
    assert {key: len(one[0]) for key, one in tokens(run(loop)).items()} == {1: 5, 2: 2}


def test_a_poisoned_row_fails_alone() -> None:
    loop = DecodeLoop(CountingRows(poison=6), capacity=2)
    loop.join([request(1, 6), request(2, 3, 3)])
    assert loop.step() == [Finished(1, None)]
    assert tokens(run(loop)) == {2: [[4, 5, 6]]}


@pytest.mark.parametrize("values", [(np.nan,), (np.inf,), (-np.inf,), (np.inf, -np.inf)], ids=str)
def test_a_single_value_that_is_not_finite_fails_its_row_alone(values: tuple[float, ...]) -> None:
    class Poisoned(CountingRows):
        """After the token 6, some logits are not finite."""

        def step(self, token_ids, state, keys, values_, lengths):  # type: ignore[no-untyped-def]
            logits, after, _ = super().step(token_ids, state, keys, values_, lengths)
            logits[token_ids == 6, -len(values) :] = values
            return logits, after, None

    loop = DecodeLoop(Poisoned(), capacity=3)
    loop.join([request(1, 6), request(2, 3, 3), request(3, 7, 1)])
    assert loop.step() == [Finished(1, None), Finished(3, [Hypothesis([8], Ending.LENGTH)])]
    assert tokens(run(loop)) == {2: [[4, 5, 6]]}


WISHES: dict[str, dict[str, object]] = {
    "nothing": {},
    "scores": {"keep_scores": True},
    "forced": {"forced_ids": (7, 6)},
    "samples": {"sampling": Sampling(50.0, seed=4), "sample_count": 2},
    "constraints": {"constraints": Constraints(0, 1.0, 0, ((5, -np.inf),))},
    "beam": {"beam_size": 3, "hypothesis_count": 2},
    "stream": {"streams": True},
    "alternatives": {"streams": True, "keep_scores": True, "alternative_count": 2},
}


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("other", WISHES)
def test_what_one_request_asks_for_does_not_change_what_another_gets(wish: str, other: str) -> None:
    """Steps leave out what no row asks for, and look at one number to know."""
    asked = [request(1, 4, 4, **WISHES[wish]), request(2, 4, 2, **WISHES[other]), request(3, 4, 4, **WISHES[wish])]
    together = decoded(*asked)
    assert together == {one.key: decoded(one)[one.key] for one in asked}
    assert repr(together[1]) == repr(together[3])


def test_a_wish_is_met_beside_a_request_that_had_none_and_after_one_that_has_left() -> None:
    loop = DecodeLoop(CountingRows(), capacity=8)
    loop.join([request(1, 4, 9)])
    loop.step()
    loop.join([request(2, 4, 1, keep_scores=True), request(3, 4, 3, forced_ids=(9,), streams=True)])
    told: list[News] = []
    found: dict[int, list[Hypothesis] | None] = {}
    while loop.count:
        found |= {one.key: one.hypotheses for one in loop.step()}
        told += loop.news()
    assert tokens(found) == {1: [[5, 6, 7, 8, 9, 10, 11, 3, 4]], 2: [[5]], 3: [[9, 10, 11]]}
    assert [one.token_ids for one in told] == [[9], [10], [11]]
    assert [(one[0].log_probabilities is not None) for one in found.values() if one] == [True, False, False]


def test_one_poisoned_row_of_a_beam_fails_its_request() -> None:
    loop = DecodeLoop(CountingRows(poison=7), capacity=8)
    loop.join([request(1, 6, beam_size=3), request(2, 3, 2)])
    loop.step()
    assert Finished(1, None) in loop.step()
    assert loop.count == 0


def test_a_row_that_left_is_gone_before_the_next_step() -> None:
    model = CountingRows()
    loop = DecodeLoop(model, capacity=3)
    loop.join([request(key, 3 + key, 1) for key in range(3)])
    loop.leave(0)
    loop.leave(77)
    assert tokens(run(loop)) == {2: [[6]], 1: [[5]]}
    assert model.batches == [2]


def test_more_rows_than_free_slots_are_refused() -> None:
    loop = DecodeLoop(CountingRows(), capacity=2)
    with pytest.raises(ValueError, match="3 rows cannot join: 2 rows are free"):
        loop.join([request(1, 3, beam_size=3)])


def test_forced_tokens_are_written_first_and_scored() -> None:
    found = decoded(request(1, 3, 4, forced_ids=(7, 7), keep_scores=True))[1]
    assert found is not None
    assert found[0].token_ids == [7, 7, 8, 9]
    unlikely, likely = found[0].log_probabilities[0], found[0].log_probabilities[2]  # type: ignore[index]
    assert unlikely < -5 < likely < 0


def test_a_forced_end_scores_a_whole_text() -> None:
    found = decoded(request(1, 3, 9, forced_ids=(4, 5, EOS), keep_scores=True))[1]
    assert found is not None
    assert (found[0].token_ids, found[0].ending) == ([4, 5], Ending.STOP)
    assert len(found[0].log_probabilities or []) == 3


def test_a_beam_begins_with_its_forced_tokens_too() -> None:
    found = decoded(request(1, 3, 4, beam_size=3, hypothesis_count=3, forced_ids=(7, 6)))[1]
    assert found is not None
    assert [one.token_ids[:2] for one in found] == [[7, 6]] * 3
    assert found[0].token_ids == [7, 6, 7, 8]


def test_samples_of_one_request_differ_and_come_in_order() -> None:
    sampling = Sampling(temperature=50.0, seed=3)
    many = decoded(request(1, 3, 6, sampling=sampling, sample_count=4))[1]
    assert many is not None
    assert len({tuple(one.token_ids) for one in many}) == 4
    few = decoded(request(1, 3, 6, sampling=sampling, sample_count=2))[1]
    assert many[:2] == few


def test_streams_tell_every_token_once_and_the_ending_with_the_last() -> None:
    loop = DecodeLoop(CountingRows(ends_at=5), capacity=4)
    loop.join([request(1, 3, streams=True), request(2, 7, 2)])
    told = []
    while loop.count:
        loop.step()
        told += loop.news()
    assert [(one.key, one.token_ids, one.ending) for one in told] == [
        (1, [4], None),
        (1, [5], None),
        (1, [], Ending.STOP),
    ]


def test_a_request_that_is_cut_answers_with_what_it_has() -> None:
    loop = DecodeLoop(CountingRows(), capacity=8)
    loop.join([request(1, 3, sample_count=2, sampling=Sampling(1.0, seed=1)), request(2, 3)])
    loop.step()
    loop.step()
    (finished,) = loop.cut(1)
    assert [(one.ending, len(one.token_ids)) for one in finished.hypotheses or []] == [(Ending.DEADLINE, 2)] * 2
    assert (loop.count, loop.cut(1)) == (1, [])


def test_a_search_that_is_cut_answers_first_with_what_has_ended() -> None:
    """After 3 comes 4, and then the end or, much less likely, something else."""
    loop = DecodeLoop(CountingRows(ends_at=4), capacity=8)
    loop.join([request(1, 3, beam_size=3, hypothesis_count=3)])
    loop.step()
    loop.step()
    (finished,) = loop.cut(1)
    found = [(one.ending, one.token_ids) for one in finished.hypotheses or []]
    assert found[0] == (Ending.STOP, [4])
    assert [ending for ending, _ in found[1:]] == [Ending.DEADLINE] * 2
    assert loop.count == 0


def test_a_sample_that_is_stopped_frees_its_row_and_the_others_go_on() -> None:
    loop = DecodeLoop(CountingRows(), capacity=8)
    loop.join([request(1, 3, 3, sample_count=3, streams=True)])
    loop.step()
    assert loop.stop(1, 1) == []
    assert loop.count == 2
    assert next((one.sample, one.token_ids, one.ending) for one in loop.news()) == (1, [4], Ending.STOP)
    found = run(loop)[1] or []
    assert [one.token_ids for one in found] == [[4, 5, 6], [4], [4, 5, 6]]


def test_news_bring_log_probabilities_and_alternatives_best_first() -> None:
    loop = DecodeLoop(CountingRows(ends_at=5), capacity=2)
    loop.join([request(1, 4, streams=True, keep_scores=True, alternative_count=2), request(2, 4)])
    told = []
    while loop.count:
        loop.step()
        told += loop.news()
    first, last = told
    assert (first.token_ids, last.token_ids, last.ending) == ([5], [], Ending.STOP)
    for news, token in ((first, 5), (last, EOS)):
        (pairs,) = news.alternatives
        assert pairs[0] == (token, news.log_probabilities[0])
        assert pairs[0][1] > pairs[1][1]


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, dict[str, object]]:
    """When a request joins, and what it asks for."""
    kind = draw(st.sampled_from(["greedy", "beam", "samples"]))
    fields: dict[str, object] = {"first": draw(st.integers(3, 11)), "limit": draw(st.integers(1, 6))}
    if kind == "beam":
        size = draw(st.integers(2, 4))
        fields |= {"beam_size": size, "hypothesis_count": draw(st.integers(1, size)), "length_penalty": 0.5}
    if kind == "samples":
        top_p = draw(st.sampled_from([1.0, 0.9]))
        bound = draw(st.sampled_from([FREE, Constraints(2, 1.5, 2, ((5, -1.0),))]))
        fields |= {"sample_count": draw(st.integers(1, 3)), "sampling": Sampling(9.0, 0, top_p, seed=5)}
        fields |= {"constraints": bound}
    return draw(st.integers(0, 8)), fields | {"keep_scores": draw(st.booleans())}


@given(st.lists(plans(), min_size=1, max_size=8))
def test_any_order_of_joining_gives_each_request_what_it_gets_alone(given: list[tuple[int, dict[str, object]]]) -> None:
    """Greedy, sampled and beam requests share the rows; each plan is (step at which it joins, request)."""
    requests = [request(key, **fields) for key, (_, fields) in enumerate(given)]  # type: ignore[arg-type]
    loop = DecodeLoop(CountingRows(ends_at=9), capacity=4 * len(given))
    found: dict[int, list[Hypothesis] | None] = {}
    for step in range(9):
        loop.join([one for one, (joins, _) in zip(requests, given, strict=True) if joins == step])
        found |= {one.key: one.hypotheses for one in loop.step()}
    found |= run(loop)
    for one in requests:
        assert found[one.key] == decoded(one, model=CountingRows(ends_at=9))[one.key]


def test_state_follows_its_row_when_rows_leave() -> None:
    class Remembering(CountingRows):
        """Tells, through the state, which row it is."""

        def step(self, token_ids, state, keys, values, lengths):  # type: ignore[no-untyped-def]
            self.seen = state[:, 0].copy()
            logits, _, _ = super().step(token_ids, state, keys, values, lengths)
            return logits, state + 1, None

    model = Remembering()
    loop = DecodeLoop(model, capacity=3)
    loop.join([request(0, 3)])
    loop.step()
    loop.join([request(1, 3), request(2, 3)])
    loop.step()
    loop.leave(0)
    loop.step()
    assert np.array_equal(model.seen, [1, 1])
