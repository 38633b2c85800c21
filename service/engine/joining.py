"""What the rows of requests are as they begin.   Pure functions; knows no slots in use and no model."""

from collections.abc import Sequence

import numpy as np

from service.engine.constraints import FREE
from service.engine.requests import DecodeOptions, DecodeRequest
from service.engine.slots import Asks, Beginning, Row, Wishes
from service.engine.steps import Carried, Started


def first_rows(
    requests: Sequence[DecodeRequest], first_inputs: Sequence[int], *, first_step: int, reads_by_step: bool
) -> list[Row]:
    """The rows of requests, one request after another and by rank.

    Args:
        requests: who begins, at least one.
        first_inputs: per request, the token that its rows read first.
        first_step: number of the step that writes their first token.
        reads_by_step: whether steps read their prompts.
    """
    rows: list[Row] = []
    options = requests[0].options
    asks, wishes = _asks(options), _wishes(options)
    for request, first_input in zip(requests, first_inputs, strict=True):
        if request.options != options:  # mostly all are the same
            options = request.options
            asks, wishes = _asks(options), _wishes(options)
        unread_count = len(request.token_ids) if reads_by_step else 0
        head = _beginning(request, asks, first_input, first_step, unread_count)
        rows.append(head + wishes)
        rows += [_other(head, rank, beam=options.beam_size > 1) + wishes for rank in range(1, options.row_count)]
    return rows


def left_off(carried: Carried) -> Started:
    """A row that stands where an earlier request left it."""
    first = np.array([carried.last_id], dtype=np.int64)
    return Started(carried.state[np.newaxis], None, first, None, None, np.ones_like(first), 1)


def _wishes(options: DecodeOptions) -> Wishes:
    sampling = options.sampling
    return Wishes(
        beam_size=options.beam_size,
        scored=options.keep_scores or options.beam_size > 1,
        attended=options.keep_attention,
        aligning=options.keep_alignment,
        keeping=options.keep_state,
        state_interval=options.state_interval,
        alternatives=options.alternative_count,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        seed=sampling.seed,
        alpha=options.length_penalty,
        beta=options.coverage_penalty,
    )


def _asks(options: DecodeOptions) -> int:
    return (
        Asks.BEAM * (options.beam_size > 1)
        | Asks.SAMPLING * (options.sampling.temperature > 0)
        | Asks.CONSTRAINTS * (options.constraints != FREE)
        | Asks.SCORES * (options.keep_scores or options.beam_size > 1)
        | Asks.ALTERNATIVES * (options.alternative_count > 0)
        | Asks.LOOKING * (options.keep_attention or options.keep_alignment or options.coverage_penalty > 0)
    )


def _beginning(request: DecodeRequest, asks: int, first_input: int, first_step: int, unread_count: int) -> Beginning:
    streams = request.streams and request.options.beam_size == 1
    if streams:
        asks |= Asks.STREAM
    if request.forced_ids:
        asks |= Asks.FORCED
    if unread_count:
        asks |= Asks.READING
    carried = request.carried
    return Beginning(
        request.key, asks, request.options.limit(len(request.token_ids)), first_input, first_step,
        forced_count=len(request.forced_ids), unread_count=unread_count, streaming=streams,
        sample=0 if carried is None else carried.sample, earlier=0 if carried is None else carried.token_count,
    )  # fmt: skip


def _other(head: Beginning, rank: int, *, beam: bool) -> Beginning:
    """The row of a rank above 0; a beam begins as one hypothesis."""
    return head._replace(rank=rank, sample=head.sample + rank, total=-float("inf") if beam else 0.0)
