"""A scheduler on a fake step and a manual clock, works for it, and what comes of them."""

import gc

from service.engine.requests import DecodeOptions
from service.serving.engines.messages import Decoded, DecodeWork, Event, Ran
from service.serving.engines.scheduler import Scheduler
from tests.fakes import CountingRows, ManualClock

BATCH_SIZE, MAX_TOKENS = 8, 32


def make(model: CountingRows, clock: ManualClock, *, slots: int = 4) -> Scheduler:
    return Scheduler(
        7, model, graphs=("encoder", "decoder_step"), slots=slots, max_batch_size=BATCH_SIZE, max_tokens=MAX_TOKENS,
        padding_budget=1.0, clock=clock,
    )  # fmt: skip


def work(
    work_id: int,
    *rows: list[int],
    limit: int = 3,
    deadline: float = 1e9,
    streams: bool = False,
    beam_size: int = 1,
    sample_count: int = 1,
    allow_partial: bool = False,
) -> DecodeWork:
    options = DecodeOptions(limit, beam_size=beam_size, hypothesis_count=beam_size, sample_count=sample_count)
    return DecodeWork(work_id, 7, list(rows), 99.0, deadline, options, streams=streams, allow_partial=allow_partial)


def best(decoded: Decoded) -> list[list[int]]:
    """The best hypothesis of each row."""
    return [hypotheses[0].token_ids for hypotheses in decoded.rows]


def finish(scheduler: Scheduler) -> list[Event]:
    """Turns until nothing is left; what they told, but for runs."""
    events: list[Event] = []
    while scheduler.busy:
        events += scheduler.turn()
    return [event for event in events if not isinstance(event, Ran)]


def pending_work_count() -> int:
    """How many works any scheduler still holds."""
    gc.collect()
    return sum(type(one).__name__ == "_Pending" for one in gc.get_objects())
