"""Translation with a toolkit, not a service: OpenNMT-py in batches, beside the limit."""

import math

from tests.bench.serving.figures import Sample
from tests.bench.serving.page import circumstances
from tests.bench.serving.parts.bench import Bench, absent
from tests.bench.serving.parts.lineup import LIMIT, find_limit
from tests.bench.serving.peers.opennmt import OpenNmt, prepare_opennmt
from tests.bench.serving.rounds import FAILURES, Contender, take_turns
from tests.bench.serving.tables import table_of

BATCHES = (32, 128)
NOTE = """OpenNMT-py runs on as many threads as cores, on the same sentences as tokens already, and gives tokens back.
It halves an encoder of both directions, so it has less to do. Its weights are as good as random, its answers as long
as ours in the mean: they are not compared. JoeyNMT is not measured: it saves no model that it has not validated."""


def toolkits(bench: Bench) -> str:
    """Tokens per second of both."""
    job = bench.job("translation")
    limit, _ = find_limit(bench, job)
    try:
        opennmt = prepare_opennmt(job, bench.work / "opennmt")
        contenders = [_contender(bench, opennmt, size) for size in BATCHES]
    except FAILURES as error:
        contenders = [absent("OpenNMT-py", error)]
    measured = take_turns([limit, *contenders], bench.rounds)
    about = f"sizes of `{job.reference}`, {job.precision} in the limit, float32 in OpenNMT-py"
    table = table_of(measured, limit=LIMIT)
    return "\n\n".join(["## Toolkits", circumstances(f"{bench.rounds} rounds", about), table, NOTE])


def _contender(bench: Bench, opennmt: OpenNmt, batch_size: int) -> Contender:
    def measure() -> Sample:
        speed = opennmt.tokens_per_second(batch_size, bench.cores)
        rate = speed / opennmt.answer_tokens
        return Sample(items_per_second=rate, tokens_per_second=speed, agreement=math.nan)

    return Contender(f"{opennmt.title}, batches of {batch_size}", measure, is_peer=True)
