"""Batches of whole sequences: grouping, deadlines, cancellation, and rows that fail alone."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from service.engine.batches import pad_features, pad_ids
from service.engine.steps import FloatArray, IntArray
from service.serving.engines.batcher import BatchedGraph, Batcher, Carrying
from service.serving.engines.engine_loop import EngineLimits, EngineLoop
from service.serving.engines.messages import Classified, ClassifyWork, Event, Failed, Ran
from tests.fakes import ManualClock, echoing_labeller, lengths_classifier


def summing(steps: FloatArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A labeller whose logits are 0 and the sum of all values so far, which is its state."""
    real = np.arange(steps.shape[1])[None, :] < lengths[:, None]
    sums = state + np.cumsum(np.where(real, steps[:, :, 0], 0.0), axis=1)
    return np.stack([np.zeros_like(sums), sums], axis=2).astype(np.float32), sums[:, -1:].astype(np.float32)


CLASSIFIER = BatchedGraph("classifier", partial(pad_ids, pad_id=0), lengths_classifier())
LABELLER = BatchedGraph("labeller", pad_features, echoing_labeller)
SUMMING = BatchedGraph("labeller", pad_features, echoing_labeller, Carrying(1, summing))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def make(
    clock: ManualClock,
    graph: BatchedGraph = CLASSIFIER,
    *,
    max_batch_size: int = 4,
    max_tokens: int = 10_000,
    padding_budget: float = 1.0,
) -> Batcher:
    return Batcher(
        7, graph, max_batch_size=max_batch_size, max_tokens=max_tokens, padding_budget=padding_budget, clock=clock
    )


def work(work_id: int, *rows: list[int], deadline: float = 1e9) -> ClassifyWork:
    return ClassifyWork(work_id, 7, list(rows), 99.0, deadline)


@pytest.mark.parametrize(("between", "padding"), [(62, 0.0), (63, 1 / 3)])
def test_rows_of_similar_length_are_looked_for_among_the_64_oldest(
    clock: ManualClock, between: int, padding: float
) -> None:
    batcher = make(clock, max_batch_size=2)
    batcher.submit(work(1, [1], *between * [[2, 2, 2]], [1]))
    (ran,) = batcher.turn()
    assert isinstance(ran, Ran)
    assert ran.padding_ratio == pytest.approx(padding)


def test_rows_of_different_requests_share_a_batch(clock: ManualClock) -> None:
    batcher = make(clock)
    batcher.submit(work(1, [5]))
    batcher.submit(work(2, [6], [7]))
    ran, *answers = batcher.turn()
    assert isinstance(ran, Ran)
    assert (ran.model_id, ran.graph, ran.rows) == (7, "classifier", 3)
    assert {answer.work_id for answer in answers if isinstance(answer, Classified)} == {1, 2}
    assert not batcher.busy


def test_a_request_larger_than_a_batch_is_answered_when_its_last_row_is(clock: ManualClock) -> None:
    batcher = make(clock, max_batch_size=2)
    batcher.submit(work(1, [5], [6, 6], [7]))
    assert [type(event) for event in batcher.turn()] == [Ran]
    _, answer = batcher.turn()
    assert isinstance(answer, Classified)
    assert len(answer.probabilities) == 3
    assert answer.queue_seconds == pytest.approx(1.0)


def test_what_waits_runs_at_once_and_not_when_there_is_more_of_it(clock: ManualClock) -> None:
    batcher = make(clock, max_batch_size=32)
    batcher.submit(work(1, [5]))
    assert [type(event) for event in batcher.turn()] == [Ran, Classified]


def test_lengths_that_would_break_the_padding_budget_wait_for_the_next_batch(clock: ManualClock) -> None:
    batcher = make(clock, padding_budget=0.1)
    batcher.submit(work(1, [5] * 10))
    batcher.submit(work(2, [5]))
    first, answer = batcher.turn()
    assert isinstance(first, Ran)
    assert isinstance(answer, Classified)
    assert (first.rows, first.padding_ratio, answer.work_id) == (1, 0.0, 1)


def test_an_expired_request_is_dropped_before_it_costs_a_run(clock: ManualClock) -> None:
    batcher = make(clock)
    batcher.submit(work(1, [5], deadline=clock.now - 1))
    (failed,) = batcher.turn()
    assert isinstance(failed, Failed)
    assert failed.reason == "DEADLINE_EXCEEDED"
    assert not batcher.busy


def test_a_cancelled_request_is_forgotten(clock: ManualClock) -> None:
    batcher = make(clock)
    batcher.submit(work(1, [5], [5]))
    batcher.submit(work(2, [5]))
    batcher.cancel(1)
    ran, answer = batcher.turn()
    assert isinstance(ran, Ran)
    assert isinstance(answer, Classified)
    assert (ran.rows, answer.work_id) == (1, 2)


@pytest.mark.parametrize("bad", [pytest.param([9], id="breaks the graph"), pytest.param([1000], id="gives NaN")])
def test_a_bad_row_fails_its_request_and_no_other(clock: ManualClock, bad: list[int]) -> None:
    batcher = make(clock)
    batcher.submit(work(1, [5]))
    batcher.submit(work(2, bad))
    events = [event for event in batcher.turn() if not isinstance(event, Ran)]
    outcome = {event.work_id: type(event) for event in events if isinstance(event, Classified | Failed)}
    assert outcome == {1: Classified, 2: Failed}
    assert not batcher.busy


def test_a_request_with_several_bad_rows_fails_once_and_costs_no_further_run(clock: ManualClock) -> None:
    batcher = make(clock)
    batcher.submit(work(1, [9], [5], [9]))
    batcher.submit(work(2, [6]))
    events = batcher.turn()
    outcomes = [(type(event), event.work_id) for event in events if isinstance(event, Classified | Failed)]
    assert outcomes == [(Failed, 1), (Classified, 2)]
    assert [event.rows for event in events if isinstance(event, Ran)] == [1]


def test_every_step_of_a_labelled_sequence_is_answered_and_padding_is_not(clock: ManualClock) -> None:
    batcher = make(clock, LABELLER)
    batcher.submit(ClassifyWork(1, 7, [[[0.0, 0.0]], [[1.0, 1.0], [0.0, np.log(3.0)], [9.0, 9.0]]], 99.0, 1e9))
    ran, answer = batcher.turn()
    assert isinstance(ran, Ran)
    assert isinstance(answer, Classified)
    assert (ran.graph, ran.rows) == ("labeller", 2)
    assert ran.padding_ratio == pytest.approx(1 / 3)
    first, second = answer.probabilities
    assert first == [[0.5, 0.5]]
    assert [step == pytest.approx([0.5, 0.5]) for step in second] == [True, False, True]
    assert second[1] == pytest.approx([0.25, 0.75])


def test_a_step_that_is_not_finite_fails_its_sequence_and_no_other(clock: ManualClock) -> None:
    batcher = make(clock, LABELLER)
    batcher.submit(ClassifyWork(1, 7, [[[0.0, 0.0], [1.0, np.nan]]], 99.0, 1e9))
    batcher.submit(ClassifyWork(2, 7, [[[0.0, 0.0]]], 99.0, 1e9))
    _, failed, answer = batcher.turn()
    assert failed == Failed(1, "INFERENCE_FAILED", "what the labeller gave is not finite")
    assert isinstance(answer, Classified)
    assert answer.work_id == 2


def test_a_model_that_fails_in_an_unforeseen_way_costs_its_own_requests_and_no_others() -> None:
    def broken(token_ids: IntArray, lengths: IntArray) -> FloatArray:
        raise TypeError("a shape that nobody expected")

    loop = EngineLoop(EngineLimits(max_batch_size=4, decode_slots=4, padding_budget=1.0))
    good = Batcher(1, CLASSIFIER, max_batch_size=4, max_tokens=99, padding_budget=1.0)
    bad = Batcher(2, replace(CLASSIFIER, run=broken), max_batch_size=4, max_tokens=99, padding_budget=1.0)
    loop._queues.update({1: good, 2: bad})
    good.submit(work(1, [5]))
    bad.submit(work(2, [5]))
    events = {type(event): event for event in loop.turn()}
    failed, classified = events[Failed], events[Classified]
    assert isinstance(failed, Failed)
    assert isinstance(classified, Classified)
    assert (failed.work_id, classified.work_id) == (2, 1)
    assert not loop.busy


def as_bytes(*values: float) -> bytes:
    return np.array(values, dtype="<f4").tobytes()


def test_rows_begin_with_the_states_they_are_given_and_tell_those_they_end_with(clock: ManualClock) -> None:
    batcher = make(clock, SUMMING)
    rows = [[[1.0], [2.0]], [[1.0]]]
    batcher.submit(ClassifyWork(1, 7, rows, 99.0, 1e9, [as_bytes(5.0), b""], keep_states=True))
    batcher.submit(ClassifyWork(2, 7, rows, 99.0, 1e9, [b"", as_bytes(5.0)]))
    _, kept, unkept = batcher.turn()
    assert isinstance(kept, Classified)
    assert isinstance(unkept, Classified)
    assert kept.states == [as_bytes(8.0), as_bytes(1.0)]
    assert unkept.states == []
    last = [row[-1][1] / row[-1][0] for row in kept.probabilities + unkept.probabilities]
    assert np.log(last) == pytest.approx([8.0, 1.0, 3.0, 6.0])


def test_a_state_that_is_not_finite_fails_who_keeps_it_and_no_other(clock: ManualClock) -> None:
    def overflowing(steps: FloatArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        return summing(steps, lengths, state)[0], np.full_like(state, np.inf)

    batcher = make(clock, replace(SUMMING, carrying=Carrying(1, overflowing)))
    batcher.submit(ClassifyWork(1, 7, [[[1.0]]], 99.0, 1e9, keep_states=True))
    batcher.submit(ClassifyWork(2, 7, [[[1.0]]], 99.0, 1e9))
    _, failed, answer = batcher.turn()
    assert failed == Failed(1, "INFERENCE_FAILED", "what the labeller gave is not finite")
    assert isinstance(answer, Classified)


def ran(events: list[Event]) -> list[int]:
    """Rows of each run."""
    return [event.rows for event in events if isinstance(event, Ran)]


def finish(batcher: Batcher) -> list[Event]:
    events: list[Event] = []
    while batcher.busy:
        events += batcher.turn()
    return events


@pytest.mark.parametrize("max_tokens", [4, 8, 12, 1000])
def test_a_sequence_that_is_cut_is_answered_as_a_whole(clock: ManualClock, max_tokens: int) -> None:
    batcher = make(clock, SUMMING, max_tokens=max_tokens)
    lengths = (1, 2, 3, 7, 11)
    rows = [[[float(step % 3)] for step in range(length)] for length in lengths]
    batcher.submit(ClassifyWork(1, 7, rows, 99.0, 1e9, keep_states=True))
    (answer,) = [event for event in finish(batcher) if isinstance(event, Classified)]
    sums = [np.cumsum([value for (value,) in row]) for row in rows]
    found = [[np.log(share / rest) for rest, share in steps] for steps in answer.probabilities]
    assert found == [pytest.approx(one.tolist()) for one in sums]
    assert answer.states == [as_bytes(one[-1]) for one in sums]


def test_no_run_reads_more_than_it_may(clock: ManualClock) -> None:
    shapes: list[tuple[int, ...]] = []

    def noting(steps: FloatArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        shapes.append(steps.shape[:2])
        return summing(steps, lengths, state)

    batcher = make(clock, replace(SUMMING, carrying=Carrying(1, noting)), max_tokens=12)
    batcher.submit(ClassifyWork(1, 7, [[[1.0]] * length for length in (30, 4, 4, 4, 5)], 99.0, 1e9, keep_states=True))
    finish(batcher)
    assert max(rows * time for rows, time in shapes) == 12
    assert max(time for _, time in shapes) == 3  # so that four rows fit


def test_what_cannot_be_cut_runs_alone_if_it_is_longer_than_a_run(clock: ManualClock) -> None:
    batcher = make(clock, LABELLER, max_tokens=12)
    batcher.submit(ClassifyWork(1, 7, [[[1.0, 1.0]] * length for length in (30, 4, 4, 4, 5)], 99.0, 1e9))
    assert ran(finish(batcher)) == [1, 3, 1]


def test_a_long_sequence_lets_a_short_one_by_between_two_slices(clock: ManualClock) -> None:
    batcher = make(clock, SUMMING, max_batch_size=1, max_tokens=4)
    batcher.submit(ClassifyWork(1, 7, [[[1.0]] * 99], 99.0, 1e9))
    batcher.turn()
    batcher.submit(ClassifyWork(2, 7, [[[1.0]]], 99.0, 1e9))
    events = batcher.turn() + batcher.turn()
    assert [event.work_id for event in events if isinstance(event, Classified)] == [2]


def test_a_classifier_that_is_cut_answers_from_the_last_slice(clock: ManualClock) -> None:
    def counting(ids: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        after = (state[:, 0] + lengths).astype(np.float32)
        return np.stack([np.zeros_like(after), after], axis=1), after[:, None]

    batcher = make(clock, replace(CLASSIFIER, carrying=Carrying(1, counting)), max_tokens=8)
    batcher.submit(work(1, [5] * 7))
    (answer,) = [event for event in finish(batcher) if isinstance(event, Classified)]
    ((rest, share),) = answer.probabilities[0]
    assert np.log(share / rest) == pytest.approx(7.0)


def test_a_state_between_two_slices_that_is_not_finite_fails_its_request(clock: ManualClock) -> None:
    def overflowing(steps: FloatArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        return summing(steps, lengths, state)[0], np.full_like(state, np.inf)

    batcher = make(clock, replace(SUMMING, carrying=Carrying(1, overflowing)), max_tokens=4)
    batcher.submit(ClassifyWork(1, 7, [[[1.0]] * 9], 99.0, 1e9))
    assert [type(event) for event in finish(batcher)] == [Ran, Failed]


def test_a_request_that_is_cancelled_between_two_slices_is_forgotten(clock: ManualClock) -> None:
    batcher = make(clock, SUMMING, max_tokens=4)
    batcher.submit(ClassifyWork(1, 7, [[[1.0]] * 9], 99.0, 1e9))
    batcher.turn()
    batcher.cancel(1)
    assert (batcher.busy, batcher.turn()) == (False, [])
