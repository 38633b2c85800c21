"""What the rows of a request are as they begin.   Pure functions; knows no arrays and no model."""

from service.engine.constraints import FREE
from service.engine.requests import DecodeRequest
from service.engine.slots import Asks, Row


def first_rows(request: DecodeRequest, first_input: int, first_step: int, unread_count: int) -> list[Row]:
    """The rows of a request, by rank.

    Args:
        request: asks for them.
        first_input: the token that their first step reads.
        first_step: number of that step.
        unread_count: tokens of the prompt that steps read after it.
    """
    options, sampling, carried = request.options, request.options.sampling, request.carried
    head = Row(
        key=request.key,
        asks=_asks(request, unread_count),
        rank=0,
        sample=0 if carried is None else carried.sample,
        beam_size=options.beam_size,
        limit=options.limit(len(request.token_ids)),
        earlier=0 if carried is None else carried.token_count,
        inputs=first_input,
        first_step=first_step,
        total=0.0,
        scored=options.keep_scores or options.beam_size > 1,
        attended=options.keep_attention,
        aligning=options.keep_alignment,
        streaming=request.streams and options.beam_size == 1,
        keeping=options.keep_state,
        state_interval=options.state_interval,
        alternatives=options.alternative_count,
        forced_count=len(request.forced_ids),
        unread_count=unread_count,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        seed=sampling.seed,
        alpha=options.length_penalty,
        beta=options.coverage_penalty,
    )
    total = 0.0 if options.beam_size == 1 else -float("inf")  # a beam begins as one hypothesis
    others = range(1, options.row_count)
    return [head, *(head._replace(rank=rank, sample=head.sample + rank, total=total) for rank in others)]


def _asks(request: DecodeRequest, unread_count: int) -> int:
    options = request.options
    looks = options.keep_attention or options.keep_alignment or options.coverage_penalty > 0
    return (
        Asks.BEAM * (options.beam_size > 1)
        | Asks.SAMPLING * (options.sampling.temperature > 0)
        | Asks.CONSTRAINTS * (options.constraints != FREE)
        | Asks.SCORES * (options.keep_scores or options.beam_size > 1)
        | Asks.ALTERNATIVES * (options.alternative_count > 0)
        | Asks.LOOKING * looks
        | Asks.STREAM * request.streams
        | Asks.FORCED * bool(request.forced_ids)
        | Asks.READING * (unread_count > 0)
    )
