"""In which batches the bare loops read, and how they draw tokens: as the service does, so that samples compare."""

from itertools import islice

import numpy as np
import pytest

from service.engine.sampling import SamplingRows, choose_tokens
from tests.bench.serving.contenders.bare import BareSpec, batches, choosing
from tests.bench.serving.contenders.drawing import drawn
from tests.bench.serving.contenders.engine_model import TOP_K, TOP_P
from tests.bench.serving.load.spec import Item

SHARES = np.array([0.5, 0.3, 0.15, 0.05])
ROWS, TIMES = 8, 40


def kept(**limits: float) -> set[float]:
    """Shares that come up in many draws from `SHARES`."""
    shares = SHARES[[3, 0, 2, 1]]
    logits = np.log(shares)[np.newaxis].astype(np.float32)
    choose = drawn(**limits)  # type: ignore[arg-type]
    return {float(shares[choose(logits, time)[0]]) for time in range(300)}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param({}, {0.5, 0.3, 0.15, 0.05}, id="all"),
        pytest.param({"top_k": 2}, {0.5, 0.3}, id="the two likeliest"),
        pytest.param({"top_p": 0.4}, {0.5}, id="the first reaches the mass"),
        pytest.param({"top_p": 0.6}, {0.5, 0.3}, id="the crossing token is kept"),
    ],
)
def test_only_what_a_mode_keeps_is_drawn(limits: dict[str, float], expected: set[float]) -> None:
    assert kept(**limits) == expected


@pytest.mark.parametrize("vocabulary", [66, 256, 257, 4000])
@pytest.mark.parametrize(("mode", "top_k", "top_p"), [("sampled", 0, 1.0), ("top_k", TOP_K, 1.0), ("top_p", 0, TOP_P)])
def test_a_loop_draws_what_the_service_draws(mode: str, top_k: int, top_p: float, vocabulary: int) -> None:
    random = np.random.default_rng(0)
    for time in range(TIMES):
        logits = 3 * random.standard_normal((ROWS, vocabulary), dtype=np.float32)
        logits[:, 1] = -np.inf
        settings = SamplingRows(
            np.ones(ROWS), np.full(ROWS, top_k), np.full(ROWS, top_p), np.zeros(ROWS), np.ones(ROWS, dtype=np.uint64),
            np.zeros(ROWS, dtype=np.int64), np.full(ROWS, time),
        )  # fmt: skip
        assert choosing(mode)(logits, time).tolist() == choose_tokens(logits, settings).tolist()


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(None, [[1, 1], [2, 3], [4, 5], [6, 7], [8, 9]], id="all texts are known, and sorted"),
        pytest.param(4, [[1, 4], [7, 9], [1, 3], [5, 8], [2, 6]], id="four at a time, as they come"),
    ],
)
def test_batches_are_of_similar_length_among_the_texts_that_are_known(
    window: int | None, expected: list[list[int]]
) -> None:
    items = [Item("a" * length, "", 1) for length in (7, 1, 9, 4, 5, 3, 8, 1, 2, 6)]
    found = batches(BareSpec("folder", items, batch_size=2, window=window))
    assert [[len(item.text) for item in batch] for batch in islice(found, 6)] == [*expected, expected[0]]
