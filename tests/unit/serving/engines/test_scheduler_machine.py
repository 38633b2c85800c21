"""Decode scheduling in any order of events: nothing is lost, nobody gets another's tokens, slots are never exceeded."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.engine.requests import Ending
from service.serving.engines.messages import Decoded, DecodeWork, Event, Failed, Tokens
from tests.fakes import CountingRows, ManualClock
from tests.scheduling import make, work


class PromptsMachine(RuleBasedStateMachine):
    """Whatever is submitted, cancelled or expires, in any order: nothing is lost, and slots are never exceeded."""

    slots = 3
    reads_slices = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = CountingRows(
            ends_at=9, reads_slices=self.reads_slices, time_multiple=1 if self.reads_slices else 4
        )
        self.scheduler = make(self.model, self.clock, slots=self.slots)
        self.open: dict[int, DecodeWork] = {}
        self.next_id = 0
        self.stopped: set[int] = set()
        self.told: defaultdict[int, list[list[int]]] = defaultdict(lambda: [[] for _ in range(3)])  # by work and sample

    @rule(
        prompts=st.lists(st.lists(st.integers(3, 11), min_size=1, max_size=14), min_size=1, max_size=4),
        limit=st.integers(1, 5),
        patience=st.sampled_from([1.0, 3.0, 1e6]),
        row_counts=st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]),
        allow_partial=st.booleans(),
        streams=st.booleans(),
    )
    def submit(
        self, prompts: list[list[int]], limit: int, patience: float, row_counts: tuple[int, int], *,
        allow_partial: bool, streams: bool,
    ) -> None:  # fmt: skip
        self.next_id += 1
        deadline = self.clock.now + patience
        beam_size, sample_count = row_counts
        added = work(
            self.next_id, *prompts, limit=limit, deadline=deadline, beam_size=beam_size, sample_count=sample_count,
            allow_partial=allow_partial, streams=streams,
        )  # fmt: skip
        self.open[self.next_id] = added
        self.scheduler.submit(added)

    @rule(seconds=st.sampled_from([0.5, 0.997, 2.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.open:
            work_id = data.draw(st.sampled_from(sorted(self.open)))
            self.scheduler.cancel(work_id)
            del self.open[work_id]

    @rule(data=st.data())
    def stop_sample(self, data: st.DataObject) -> None:
        streaming = [work_id for work_id, one in self.open.items() if one.streams]
        if streaming:
            work_id = data.draw(st.sampled_from(streaming))
            self.stopped.add(work_id)
            self._take(self.scheduler.stop_sample(work_id, data.draw(st.integers(0, 2))))

    @rule()
    def turn(self) -> None:
        self._take(self.scheduler.turn())

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Decoded):
                self._check(self.open.pop(event.work_id), event)
            elif isinstance(event, Failed):
                assert self.open.pop(event.work_id).deadline <= self.clock.now
            elif isinstance(event, Tokens):
                assert self.open[event.work_id].streams
                self.told[event.work_id][event.sample] += event.token_ids

    def _check(self, asked: DecodeWork, event: Decoded) -> None:
        for prompt, row in zip(asked.rows, event.rows, strict=True):
            expected: list[int] = []
            token = prompt[-1]
            while token != 9 and len(expected) < asked.options.max_output_token_count:
                token = 3 + (token - 2) % 9
                expected.append(token)
            for hypothesis in row if asked.options.sample_count > 1 else row[:1]:
                if hypothesis.ending is Ending.DEADLINE:
                    assert asked.allow_partial
                    assert self.clock.now < asked.deadline
                whole = hypothesis.ending is not Ending.DEADLINE and event.work_id not in self.stopped
                assert hypothesis.token_ids == (expected if whole else expected[: len(hypothesis.token_ids)])
        if asked.streams and asked.options.beam_size == 1 and len(asked.rows) == 1:
            written = [hypothesis.token_ids for hypothesis in event.rows[0]]
            assert self.told[event.work_id][: len(written)] == written, "told in order, once, and nobody else's"

    def teardown(self) -> None:
        """Whatever is left is answered: nothing waits for company that does not come."""
        turns = 0
        while self.open:
            self.turn()
            turns += 1
            assert turns < 500

    @invariant()
    def slots_are_never_exceeded(self) -> None:
        assert max(self.model.batches, default=0) <= self.slots

    @invariant()
    def the_scheduler_is_busy_exactly_while_something_is_open(self) -> None:
        assert self.scheduler.busy == bool(self.open)


class SourcesMachine(PromptsMachine):
    """The same of sources, which are read whole, and wait for one another where many run."""

    slots = 12
    reads_slices = False


TestPromptsMachine = PromptsMachine.TestCase
TestSourcesMachine = SourcesMachine.TestCase
TestPromptsMachine.settings = TestSourcesMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True
)
