"""How well the tunes hold together that a bundle writes, beside held-out ones.   Reads no tune itself."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from statistics import mean, stdev

from service.bundle.manifest import Precision
from service.bundle.store import OpenedBundle
from training.data.examples import AnySplits, PlainText
from training.errors import DataError
from training.evaluation.demonstrate import continue_texts
from training.evaluation.tunes import TuneCheck, check_tunes
from training.scoring.scores import Score, of
from training.settings.evaluation import TuneSettings

_FULL = " that are as long as their metre says, upbeats left out"


def check_written(
    bundle: OpenedBundle, settings: TuneSettings, precision: Precision | None = None
) -> Iterator[tuple[int, TuneCheck]]:
    """Write tunes and check them, block by block; gives the seed of a block's first tune and what was found.

    Args:
        bundle: of a language model.
        settings: how many, and how they are drawn.
        precision: of the variant that writes; None: the default.

    Raises:
        DataError: the bundle is no language model.
    """
    seeds = range(settings.seed, settings.seed + settings.blocks * settings.count, settings.count)
    for first in seeds:
        prompts = [""] * settings.count
        written = continue_texts(bundle, prompts, temperature=settings.temperature, seed=first, precision=precision)
        yield first, check_tunes(written)


def check_held_out(splits: AnySplits, count: int) -> TuneCheck:
    """Check tunes that people wrote: of the test part, and then of the validation part, in their order.

    Raises:
        DataError: there are fewer.
    """
    held_out = [one.text for one in (*splits.test, *splits.validation) if isinstance(one, PlainText)][:count]
    if len(held_out) < count:
        raise DataError(f"expected {count} tunes or more in validation and test parts, found {len(held_out)}")
    return check_tunes(held_out)


def written_scores(blocks: Sequence[TuneCheck], settings: TuneSettings) -> tuple[Score, Score]:
    """Percent of what a bundle wrote that was read, and of the bars that are full: means over blocks.

    Args:
        blocks: what `check_written` found.
        settings: by which.
    """
    last_seed = settings.seed + settings.blocks * settings.count - 1
    options = f"--count {settings.count} --temperature {settings.temperature:g} --seed {settings.seed}"
    origin = (
        f"written at temperature {settings.temperature:g} with seeds {settings.seed} to {last_seed} "
        f"(`python -m training tunes BUNDLE {options} --blocks {settings.blocks}`)"
    )
    return _scores(blocks, origin)


def held_out_scores(check: TuneCheck) -> tuple[Score, Score]:
    """The same of tunes that people wrote."""
    read, full = _scores([check], "of the test part, then of the validation part")
    owner = f"{check.tune_count} held-out ones"
    return of(owner, read), of(owner, full)


def _scores(blocks: Sequence[TuneCheck], origin: str) -> tuple[Score, Score]:
    count, bar_count = (sum(getattr(block, name) for block in blocks) for name in ("tune_count", "bar_count"))
    parser = f"music21 {version('music21')}"
    return (
        _score("tunes read", [block.read_share for block in blocks], f"percent of {count} tunes by {parser}; {origin}"),
        _score("full bars", [block.full_share for block in blocks], f"percent of their {bar_count:,} bars{_FULL}"),
    )


def _score(name: str, shares: Sequence[float], method: str) -> Score:
    if len(shares) > 1:
        method += f"; mean of {len(shares)} blocks, standard deviation {stdev(shares):.1f}"
    return Score(name, mean(shares), method, decimals=1)
