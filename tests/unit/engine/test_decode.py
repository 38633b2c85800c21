"""The step loop: joining, leaving, endings, and rows that do not disturb each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.decode import DecodeLoop, DecodeRequest, Ending, Produced
from tests.fakes import CountingRows, ids


def tokens_of(news: list[Produced]) -> dict[int, int | None]:
    return {produced.key: produced.token_id for produced in news}


def test_rows_step_together_and_each_goes_its_own_way() -> None:
    loop = DecodeLoop(CountingRows(), capacity=4)
    loop.join([DecodeRequest(10, ids(3), 5), DecodeRequest(11, ids(7), 5)])
    assert tokens_of(loop.step()) == {10: 4, 11: 8}
    assert tokens_of(loop.step()) == {10: 5, 11: 9}


def test_a_row_ends_with_stop_and_does_not_tell_the_end_token() -> None:
    loop = DecodeLoop(CountingRows(ends_at=5), capacity=1)
    loop.join([DecodeRequest(1, ids(4), 9)])
    assert loop.step() == [Produced(1, 5)]
    assert loop.step() == [Produced(1, None, Ending.STOP)]
    assert loop.count == 0


def test_a_row_ends_with_length_at_its_own_limit() -> None:
    loop = DecodeLoop(CountingRows(), capacity=2)
    loop.join([DecodeRequest(1, ids(3), 1), DecodeRequest(2, ids(3), 2)])
    assert [produced.ending for produced in loop.step()] == [Ending.LENGTH, None]
    assert [produced.ending for produced in loop.step()] == [Ending.LENGTH]


def test_a_poisoned_row_fails_alone() -> None:
    loop = DecodeLoop(CountingRows(poison=6), capacity=2)
    loop.join([DecodeRequest(1, ids(6), 9), DecodeRequest(2, ids(3), 9)])
    assert loop.step() == [Produced(1, None, Ending.NOT_FINITE), Produced(2, 4)]
    assert loop.step() == [Produced(2, 5)]


def test_a_row_that_left_is_gone_before_the_next_step() -> None:
    loop = DecodeLoop(CountingRows(), capacity=3)
    loop.join([DecodeRequest(key, ids(3 + key), 9) for key in range(3)])
    loop.leave(0)
    assert tokens_of(loop.step()) == {2: 6, 1: 5}
    loop.leave(77)
    assert loop.count == 2


def test_more_rows_than_free_slots_are_refused() -> None:
    loop = DecodeLoop(CountingRows(), capacity=1)
    with pytest.raises(ValueError, match="1 rows are free"):
        loop.join([DecodeRequest(1, ids(3), 9), DecodeRequest(2, ids(3), 9)])


@given(st.lists(st.tuples(st.integers(3, 11), st.integers(1, 6), st.integers(0, 8)), min_size=1, max_size=12))
def test_any_order_of_joining_gives_each_row_what_it_gets_alone(plans: list[tuple[int, int, int]]) -> None:
    """Each plan is (first id, most tokens, step at which it joins)."""

    def alone(first: int, limit: int) -> list[int]:
        loop = DecodeLoop(CountingRows(ends_at=9), capacity=1)
        loop.join([DecodeRequest(0, ids(first), limit)])
        told: list[int] = []
        while loop.count:
            told += [produced.token_id for produced in loop.step() if produced.token_id is not None]
        return told

    loop = DecodeLoop(CountingRows(ends_at=9), capacity=len(plans))
    told: dict[int, list[int]] = {key: [] for key in range(len(plans))}
    step = 0
    while step < 9 or loop.count:
        joining = [key for key, plan in enumerate(plans) if plan[2] == step]
        if joining:
            loop.join([DecodeRequest(key, ids(plans[key][0]), plans[key][1]) for key in joining])
        for produced in loop.step():
            if produced.token_id is not None:
                told[produced.key].append(produced.token_id)
        step += 1
    assert told == {key: alone(first, limit) for key, (first, limit, _) in enumerate(plans)}


def test_state_follows_its_row_when_rows_leave() -> None:
    class Remembering(CountingRows):
        """Tells, through the state, which row it is."""

        def step(self, token_ids, state, keys, values, lengths):  # type: ignore[no-untyped-def]
            self.seen = state[:, 0].copy()
            logits, _, _ = super().step(token_ids, state, keys, values, lengths)
            return logits, state + 1, None

    model = Remembering()
    loop = DecodeLoop(model, capacity=3)
    loop.join([DecodeRequest(0, ids(3), 9)])
    loop.step()
    loop.join([DecodeRequest(1, ids(3), 9), DecodeRequest(2, ids(3), 9)])
    loop.step()
    loop.leave(0)
    loop.step()
    assert np.array_equal(model.seen, [1, 1])
