"""Decode scheduling: joining, bounds, cancellation, failures; driven by a fake step and a manual clock."""

from typing import Any

import pytest

from service.engine.requests import Ending
from service.engine.rows import GenerationRows
from service.serving.engines.messages import Decoded, Event, Failed, Ran, Tokens
from service.serving.engines.scheduler import Scheduler
from tests.fakes import CountingRows, ManualClock, Remembering
from tests.scheduling import BATCH_SIZE, MAX_TOKENS, best, finish, make, pending_work_count, work


def test_all_rows_of_a_request_come_back_in_order() -> None:
    scheduler = make(CountingRows(ends_at=6), ManualClock())
    scheduler.submit(work(1, [3], [5], [6]))
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert best(decoded) == [[4, 5, 6], [6], []]
    assert [row[0].ending for row in decoded.rows] == [Ending.LENGTH, Ending.STOP, Ending.STOP]


def test_a_streaming_request_tells_tokens_as_they_come() -> None:
    scheduler = make(CountingRows(), ManualClock())
    scheduler.submit(work(1, [3], streams=True))
    *told, decoded = finish(scheduler)
    assert [event.token_ids for event in told if isinstance(event, Tokens)] == [[4], [5], [6]]
    assert isinstance(decoded, Decoded)
    assert best(decoded) == [[4, 5, 6]]


def test_waiting_rows_join_as_soon_as_running_ones_leave() -> None:
    model = CountingRows()
    scheduler = make(model, ManualClock(), slots=2)
    scheduler.submit(work(1, [3], limit=1))
    scheduler.submit(work(2, [3], limit=3))
    scheduler.submit(work(3, [3], limit=2))
    finish(scheduler)
    assert model.batches == [2, 2, 2]


def test_sources_wait_for_company_only_while_many_run() -> None:
    few, many = CountingRows(time_multiple=8), CountingRows(time_multiple=8)
    for model, running in ((few, 7), (many, 8)):
        scheduler = make(model, ManualClock(), slots=20)
        scheduler.submit(work(1, *([[3]] * running), limit=9))
        scheduler.turn()
        scheduler.turn()
        scheduler.submit(work(2, [3] * 15, limit=9))
        for _ in range(3):
            scheduler.turn()
    assert (few.reads[-1], many.reads[-1]) == ([16], [16])
    assert [model.batches for model in (few, many)] == [[4, 7, 8, 8, 8], [4, 8, 8, 9, 9]]


def test_sources_beyond_the_free_rows_are_read_together_and_join_as_rows_leave() -> None:
    """Of four rows one leaves at every step; without reading ahead, every run but the first would read one source."""
    model = CountingRows()
    scheduler = make(model, ManualClock(), slots=4)
    scheduler.submit(work(1, [3], limit=1))
    for work_id in (2, 3, 4):
        scheduler.submit(work(work_id, [3], limit=work_id))
    for work_id in range(5, 14):
        scheduler.submit(work(work_id, [3], limit=4))
    answers = [event.work_id for event in finish(scheduler) if isinstance(event, Decoded)]
    assert answers == list(range(1, 14))
    assert [len(lengths) for lengths in model.reads] == [8, 5]
    assert model.batches == [4] * 10 + [3, 2, 1]


def test_no_more_sources_are_read_ahead_than_there_are_rows() -> None:
    model, answered, turns = CountingRows(), 0, 0
    scheduler = make(model, ManualClock(), slots=4)
    for work_id in range(40):
        scheduler.submit(work(work_id, [3], limit=1 + work_id % 4))
    while scheduler.busy:
        left, turns = answered, turns + 1
        answered += sum(isinstance(event, Decoded) for event in scheduler.turn())
        assert sum(map(len, model.reads)) <= left + 2 * 4
    assert (answered, sum(map(len, model.reads))) == (40, 40)
    assert len(model.reads) < turns / 2


def test_a_row_does_not_stay_free_for_what_was_read_ahead_and_dropped() -> None:
    model = CountingRows()
    scheduler = make(model, ManualClock(), slots=2)
    scheduler.submit(work(1, [3], [3], limit=2))
    scheduler.submit(work(2, [3], [3], limit=9))
    scheduler.submit(work(3, [3], [3], limit=2))
    scheduler.turn()
    scheduler.turn()
    scheduler.cancel(2)
    scheduler.turn()
    assert model.batches == [2, 2, 2]


def test_what_was_read_ahead_is_dropped_with_its_request() -> None:
    clock, model = ManualClock(), CountingRows()
    scheduler = make(model, clock, slots=2)
    scheduler.submit(work(1, [3], [3], limit=2))
    scheduler.submit(work(2, [3], limit=9))
    scheduler.submit(work(3, [3], limit=9, deadline=clock.now + 1))
    scheduler.turn()
    assert [len(lengths) for lengths in model.reads] == [4]
    scheduler.cancel(2)
    clock.now += 2
    events = [event for event in scheduler.turn() if not isinstance(event, Ran)]
    assert [type(event) for event in events] == [Failed, Decoded]
    assert (model.batches, scheduler.busy) == ([2, 2], False)


def test_no_run_reads_more_rows_than_its_bound_and_a_turn_makes_as_many_as_fill_the_rows() -> None:
    model = CountingRows()
    scheduler = make(model, ManualClock(), slots=100)
    scheduler.submit(work(1, *([[3]] * (BATCH_SIZE + 3)), limit=5))
    scheduler.turn()
    assert [len(lengths) for lengths in model.reads] == [BATCH_SIZE, 3]
    assert model.batches == [BATCH_SIZE + 3]


def test_beams_and_greedy_rows_share_a_batch_and_a_wide_beam_waits_its_turn() -> None:
    model = CountingRows()
    scheduler = make(model, ManualClock(), slots=4)
    scheduler.submit(work(1, [3], limit=2))
    scheduler.submit(work(2, [3], limit=1, beam_size=3))
    scheduler.submit(work(3, [3], limit=1, beam_size=4))
    scheduler.submit(work(4, [3], limit=1))  # younger than the wide beam, and not before it
    answers = [event.work_id for event in finish(scheduler) if isinstance(event, Decoded)]
    assert (model.batches, answers) == ([4, 1, 4, 1], [2, 1, 3, 4])


def test_a_beam_answers_its_hypotheses_best_first() -> None:
    scheduler = make(CountingRows(), ManualClock())
    scheduler.submit(work(1, [3], limit=2, beam_size=3))
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    scores = [one.score or 0.0 for one in decoded.rows[0]]
    assert (len(scores), scores) == (3, sorted(scores, reverse=True))
    assert best(decoded) == [[4, 5]]


def test_a_text_that_reading_its_prompt_ends_has_its_first_token_then_and_is_forgotten() -> None:
    clock = ManualClock()
    scheduler = Scheduler(
        7, GenerationRows(Remembering()), graphs=("prefill", "step"), slots=4, max_batch_size=4, max_tokens=99,
        padding_budget=1.0, clock=clock,
    )  # fmt: skip
    before = pending_work_count()
    for number in range(5):
        scheduler.submit(work(number, [3, 4], limit=1))
    answers = [event for event in finish(scheduler) if isinstance(event, Decoded)]
    assert [answer.first_token_seconds for answer in answers] == [pytest.approx(1.0)] * 5
    assert pending_work_count() == before


def test_a_request_that_is_cancelled_before_its_first_token_is_forgotten() -> None:
    model = GenerationRows(Remembering(reads_by_step=True))
    scheduler = Scheduler(
        7, model, graphs=("prefill", "step"), slots=4, max_batch_size=4, max_tokens=99, padding_budget=1.0
    )
    before = pending_work_count()
    scheduler.submit(work(1, [3, 4, 5, 6]))
    scheduler.turn()
    assert pending_work_count() == before + 1
    scheduler.cancel(1)
    assert pending_work_count() == before


def test_a_sample_that_is_stopped_leaves_before_the_next_step() -> None:
    model = CountingRows()
    scheduler = make(model, ManualClock())
    scheduler.submit(work(1, [3], limit=3, streams=True, sample_count=3))
    scheduler.turn()
    (told,) = scheduler.stop_sample(1, 1)
    assert isinstance(told, Tokens)
    assert (told.sample, told.ending) == (1, Ending.STOP)
    assert scheduler.stop_sample(1, 1) == scheduler.stop_sample(77, 0) == []
    *_, decoded = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert [one.token_ids for one in decoded.rows[0]] == [[4, 5, 6], [4], [4, 5, 6]]
    assert model.batches == [3, 2, 2]


def test_a_cancelled_request_frees_its_slots_before_the_next_step() -> None:
    model = CountingRows()
    scheduler = make(model, ManualClock(), slots=1)
    scheduler.submit(work(1, [3], limit=9))
    scheduler.turn()
    scheduler.cancel(1)
    scheduler.submit(work(2, [5], limit=1))
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert (decoded.work_id, best(decoded)) == (2, [[6]])


def test_a_prompt_that_breaks_the_graph_fails_alone() -> None:
    scheduler = make(CountingRows(breaks_on=9), ManualClock())
    scheduler.submit(work(1, [9], limit=1))
    scheduler.submit(work(2, [3], limit=1))
    events = finish(scheduler)
    assert [(type(event), event.work_id) for event in events if isinstance(event, Failed | Decoded)] == [
        (Failed, 1),
        (Decoded, 2),
    ]


def test_a_row_that_is_not_finite_fails_its_request_and_no_other() -> None:
    scheduler = make(CountingRows(poison=4), ManualClock())
    scheduler.submit(work(1, [3], [8], limit=9))
    scheduler.submit(work(2, [6], limit=2))
    failed, decoded = finish(scheduler)
    assert isinstance(failed, Failed)
    assert isinstance(decoded, Decoded)
    assert (failed.work_id, failed.reason, decoded.work_id) == (1, "INFERENCE_FAILED", 2)


def test_no_step_waits_for_more_foreign_tokens_than_a_turn_may_read() -> None:
    model = CountingRows(reads_slices=True)
    scheduler = make(model, ManualClock(), slots=8)
    scheduler.submit(work(1, [3], limit=99, streams=True))
    scheduler.turn()
    scheduler.submit(work(2, [5] * 200, [6] * 150, [7], limit=1))
    told: list[Event] = []
    read: list[int] = []  # positions, per step
    while not any(isinstance(event, Decoded) for event in told):
        steps, runs = len(model.batches), len(model.reads)
        told += scheduler.turn()
        assert len(model.batches) == steps + 1
        read.append(sum(max(lengths) * len(lengths) for lengths in model.reads[runs:]))
    assert len(read) > 10
    assert MAX_TOKENS // 2 < max(read) <= MAX_TOKENS


def test_a_request_that_is_cancelled_while_it_is_read_frees_its_rows() -> None:
    model = CountingRows(reads_slices=True)
    scheduler = make(model, ManualClock(), slots=2)
    scheduler.submit(work(1, [5] * 200, limit=1, sample_count=2))
    scheduler.turn()
    scheduler.cancel(1)
    scheduler.submit(work(2, [5], limit=1, sample_count=2))
    (decoded,) = finish(scheduler)
    assert isinstance(decoded, Decoded)
    assert (decoded.work_id, model.batches) == (2, [2])


def test_rows_that_are_being_read_keep_their_places() -> None:
    model = CountingRows(reads_slices=True)
    scheduler = make(model, ManualClock(), slots=2)
    scheduler.submit(work(1, [5] * 200, limit=1, sample_count=2))
    scheduler.submit(work(2, [5], limit=1))
    answers = [event.work_id for event in finish(scheduler) if isinstance(event, Decoded)]
    assert answers == [1, 2]


class SlowLanguageModel(Remembering):
    """Reads prompts by its step, which takes a second of a manual clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(reads_by_step=True)
        self._clock = clock

    def step(self, *inputs: Any) -> Any:
        self._clock.now += 1
        return super().step(*inputs)


def test_prompts_that_the_step_reads_join_at_once_and_the_first_token_is_the_one_after_them() -> None:
    clock = ManualClock()
    model = GenerationRows(SlowLanguageModel(clock))
    scheduler = Scheduler(
        7, model, graphs=("prefill", "step"), slots=4, max_batch_size=1, max_tokens=1, padding_budget=0.0, clock=clock
    )
    scheduler.submit(work(1, [3, 4, 5], limit=2))
    scheduler.submit(work(2, [3], limit=2))
    events: list[Event] = []
    while scheduler.busy:
        events += scheduler.turn()
    assert [(event.graph, event.rows) for event in events if isinstance(event, Ran)] == [("step", 2)] * 3 + [
        ("step", 1)
    ] * 2
    # they arrived a second before the clock began
    answers = {one.work_id: one.first_token_seconds for one in events if isinstance(one, Decoded)}
    assert answers == {1: pytest.approx(5.0), 2: pytest.approx(3.0)}
