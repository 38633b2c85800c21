"""Streamed generation: many streams, the first token of one alone, and streams that join running ones."""

from collections.abc import Mapping
from contextlib import ExitStack

from tests.bench.serving.comparing import OURS, ratio
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, Shape, loaded
from tests.bench.serving.parts.joining import PACES, UNSHARED, join_all, join_targets, joins_section
from tests.bench.serving.parts.lineup import LIMIT, OUR_SETTINGS, TRITON, chosen_by, find_limit, line_up, open_ours
from tests.bench.serving.rounds import Measured, take_turns
from tests.bench.serving.tables import streams_table
from tests.bench.serving.targets import Target, target_table

STREAMS, ALONE = Shape(32), Shape(1)
UNSHARED_SETTINGS: Mapping[str, tuple[str, ...]] = {
    f"{title}, {UNSHARED}": (*flags, *PACES[UNSHARED]) for title, flags in OUR_SETTINGS.items()
}
MESSAGES_NOTE = f"""Our settings differ in how tokens become messages. With defaults the tokens of a stream wait
for more to share a message, 1 ms for each other stream and 20 ms at most (`--stream-interval-seconds 0.02`): fewer
messages, of several tokens each. *{UNSHARED}* is `--stream-interval-seconds 0`: no token waits, and several share a
message only where front or client lag behind. Triton's decoupled backend and the PyTorch server send each token by
itself; both decode its text alone (`DecodeStream`), not the whole text again. So the target compares what does not
wait. Messages/s, beside it, leave out what is won by lagging behind.

The reference of samples is what our engine gives to each prompt alone with the same seed, and the limit draws by that
seed as the service does. MLServer is not measured, for it batches no streams."""


def generation(bench: Bench) -> str:
    """Streams beside the limit, PyTorch and Triton, and what joining costs."""
    job = bench.job("generation")
    sampled = job.in_mode("sampled")
    with line_up(bench, job, STREAMS) as lineup, ExitStack() as stack:
        alone = take_turns(lineup.served(bench, job, ALONE), bench.rounds)
        unshared, lineup.tries[f"{OURS}, {UNSHARED}"] = open_ours(
            bench, job, STREAMS, stack, by=chosen_by(job), settings=UNSHARED_SETTINGS
        )
        lineup.ours += unshared
        many = take_turns(lineup.contenders(bench, job, STREAMS), bench.rounds)
        limit, lineup.tries["bare loop, sampled"] = find_limit(bench, sampled)
        drawn = take_turns([limit, *(loaded(bench, sampled, one, STREAMS) for one in lineup.ours)], bench.rounds)
        tried = lineup.tried()
    joins = join_all(bench, job)
    about = (
        f"model `{job.reference}` in {job.precision}, prompts of `{job.corpus}`, greedy unless it says otherwise, "
        f"at most {job.token_count} tokens, {job.tokens_per_item:.1f} in the mean"
    )
    sections = [
        "## Streamed generation",
        circumstances(bench.effort, about),
        f"### {STREAMS.calls} streams\n\n{streams_table(many, limit=LIMIT)}",
        f"### {STREAMS.calls} streams, sampled\n\n{streams_table(drawn, limit=LIMIT)}",
        MESSAGES_NOTE,
        f"### One stream\n\n{streams_table(alone, limit=None)}",
        joins_section(joins),
        f"### Targets\n\n{target_table([*_targets(many, alone), *join_targets(joins)])}",
        f"### Settings that were tried, {STREAMS.calls} streams\n\n{tried}",
    ]
    return "\n\n".join(sections)


def _targets(many: Measured, alone: Measured) -> list[Target]:
    first = [
        sample.first_p50_ms
        for title, found in alone.samples.items()
        if title == f"{OURS}, defaults"
        for sample in found
    ]
    speed, title = "tokens_per_second", f"{STREAMS.calls} streams: tokens/s, of Triton's"
    unshared, shared = paced(many, unshared=True), paced(many, unshared=False)
    messages = ratio(unshared, (TRITON,), "messages_per_second", by=speed)
    return [
        Target(f"{title}; {UNSHARED}", ratio(unshared, (TRITON,), speed), 3.0),
        Target("the same, messages/s", messages, 3.0, is_judged=False),
        Target(
            "the same, tokens/s, defaults: tokens share messages", ratio(shared, (TRITON,), speed), 3.0, is_judged=False
        ),
        Target("first token of one stream, p50 in ms", first, 5.0, at_least=False),
    ]


def paced(measured: Measured, *, unshared: bool) -> Measured:
    """Everybody else, and of ours those that send each token by itself, or those that do not."""
    kept = {
        title: samples
        for title, samples in measured.samples.items()
        if not title.startswith(OURS) or title.endswith(UNSHARED) == unshared
    }
    return Measured(kept, measured.absent)
