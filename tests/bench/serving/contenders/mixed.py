"""Sources of very mixed lengths: real sentences, joined until they have so many tokens."""

from itertools import cycle

from service.bundle.manifest import Translation
from service.bundle.store import open_bundle
from service.text.tokenizer import Tokenizer
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.load.spec import Item
from tests.bench.serving.peers.bare_models import load

LEAST, MOST, COUNT = 6, 60, 110


def mixed_items(job: Job) -> list[Item]:
    """Sources whose lengths run evenly from `LEAST` to `MOST` tokens, or to what the model takes, in mixed order."""
    bundle = open_bundle(job.folder)
    spec = bundle.manifest.spec
    if not isinstance(spec, Translation):
        raise TypeError(f"{job.name} does not translate")
    tokenizer = Tokenizer.from_bytes(bundle.files[spec.source.tokenizer])
    most = min(MOST, spec.max_token_count - 1)
    words = cycle(" ".join(item.text for item in job.items).split())
    model, items = load(job.folder), []
    for number in range(COUNT):
        wanted = LEAST + number * 37 % COUNT * (most - LEAST) // (COUNT - 1)  # 37 and 110 share no factor
        text = next(words)
        while len(tokenizer.encode(longer := f"{text} {next(words)}")) <= wanted:
            text = longer
        items.append(Item(text, *model.answers([text])[0]))
    return items
