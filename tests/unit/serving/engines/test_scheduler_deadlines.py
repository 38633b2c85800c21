"""Decode scheduling when deadlines near and pass: what leaves, and partial answers; a fake step, a manual clock."""

from typing import Any

import pytest

from service.engine.requests import Ending
from service.engine.rows import GenerationRows
from service.serving.engines.messages import Decoded, Failed, Ran, Tokens
from service.serving.engines.scheduler import Scheduler
from tests.fakes import CountingRows, ManualClock, Remembering
from tests.scheduling import best, finish, make, pending_work_count, work


def test_an_expired_request_leaves_before_the_next_step() -> None:
    clock, model = ManualClock(), CountingRows()
    scheduler = make(model, clock)
    scheduler.submit(work(1, [3], limit=9, deadline=clock.now + 1))
    scheduler.submit(work(2, [3], limit=2))
    scheduler.turn()
    clock.now += 2
    events = [event for event in scheduler.turn() if not isinstance(event, Ran)]
    assert [type(event) for event in events] == [Failed, Decoded]
    assert model.batches == [2, 1]


def test_deadlines_are_kept_in_whatever_order_they_come() -> None:
    clock = ManualClock()
    scheduler = make(CountingRows(), clock, slots=2)
    for work_id, patience in ((1, 5.0), (2, 1.0), (3, 3.0)):
        scheduler.submit(work(work_id, [3], limit=99, deadline=clock.now + patience))
    expired: dict[float, list[int]] = {}
    for _ in range(6):
        clock.now += 1.0
        failed = [event.work_id for event in scheduler.turn() if isinstance(event, Failed)]
        expired |= {clock.now - 100.0: failed} if failed else {}
    assert expired == {1.0: [2], 3.0: [3], 5.0: [1]}


class SlowRows(CountingRows):
    """A step takes a while of a manual clock."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def step(self, *inputs: Any) -> Any:
        self._clock.now += self._seconds
        return super().step(*inputs)


@pytest.mark.parametrize(
    ("step_seconds", "steps"),
    [pytest.param(0.0013, 10, id="5 ms before"), pytest.param(0.013, 4, id="two turns before")],
)
def test_a_partial_answer_comes_early_enough_to_arrive(step_seconds: float, steps: int) -> None:
    clock = ManualClock()
    scheduler = make(SlowRows(clock, step_seconds), clock)
    seconds = 0.02 if step_seconds < 0.005 else 0.1
    deadline = clock.now + seconds
    scheduler.submit(work(1, [3], limit=99, deadline=deadline, allow_partial=True))
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert decoded.rows[0][0].ending is Ending.DEADLINE
    assert len(decoded.rows[0][0].token_ids) in {steps, steps + 1}
    assert deadline - clock.now >= max(0.005, 2 * step_seconds) - 1e-9


def test_what_has_not_begun_when_the_deadline_nears_is_part_of_the_partial_answer() -> None:
    clock = ManualClock()
    scheduler = make(CountingRows(), clock, slots=2)
    scheduler.submit(work(1, [3], [3], [4], limit=9, deadline=clock.now + 1, allow_partial=True, sample_count=2))
    scheduler.turn()
    clock.now += 0.996
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert [[one.token_ids for one in row] for row in decoded.rows] == [[[4], [4]], [[], []], [[], []]]
    assert {one.ending for row in decoded.rows for one in row} == {Ending.DEADLINE}


def test_a_stream_is_told_its_last_tokens_before_its_partial_answer() -> None:
    clock = ManualClock()
    scheduler = make(CountingRows(), clock)
    scheduler.submit(work(1, [3], limit=9, deadline=clock.now + 1, allow_partial=True, streams=True))
    first = [event for event in scheduler.turn() if isinstance(event, Tokens)]
    clock.now += 0.997
    last, decoded = finish(scheduler)
    assert [event.token_ids for event in first] == [[4]]
    assert isinstance(last, Tokens)
    assert (last.token_ids, last.ending) == ([], Ending.DEADLINE)
    assert isinstance(decoded, Decoded)


def test_a_request_that_the_deadline_cuts_before_its_first_token_is_forgotten() -> None:
    clock = ManualClock()
    model = GenerationRows(Remembering(reads_by_step=True))
    scheduler = Scheduler(
        7, model, graphs=("prefill", "step"), slots=4, max_batch_size=4, max_tokens=99, padding_budget=1.0, clock=clock
    )
    before = pending_work_count()
    scheduler.submit(work(1, [3, 4, 5, 6], deadline=clock.now + 1, allow_partial=True))
    scheduler.turn()
    clock.now += 0.999
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert (best(decoded), decoded.first_token_seconds) == ([[]], None)
    assert pending_work_count() == before


def test_what_is_being_read_when_the_deadline_nears_is_part_of_the_partial_answer() -> None:
    clock = ManualClock()
    scheduler = make(CountingRows(reads_slices=True), clock)
    scheduler.submit(work(1, [3], [4] * 200, limit=9, deadline=clock.now + 1, allow_partial=True))
    scheduler.turn()
    clock.now += 0.996
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert [row[0].token_ids for row in decoded.rows] == [[4], []]
