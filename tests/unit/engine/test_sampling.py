"""Choosing tokens: exact cuts, right frequencies, and independence of the neighbours."""

import numpy as np
import pytest

from service.engine.beam import DoubleArray
from service.engine.sampling import SamplingRows, choose_tokens, invert, keep_likeliest, uniform
from service.engine.steps import IntArray


def settings(
    count: int, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, seed: int = 0
) -> SamplingRows:
    return SamplingRows(
        np.full(count, temperature),
        np.full(count, top_k, dtype=np.int64),
        np.full(count, top_p),
        np.full(count, min_p),
        np.full(count, seed, dtype=np.uint64),
        np.zeros(count, dtype=np.int64),
        np.arange(count, dtype=np.int64),
    )


def chi_square(tokens: IntArray, shares: DoubleArray) -> float:
    expected = len(tokens) * shares
    return float(((np.bincount(tokens, minlength=len(shares)) - expected) ** 2 / expected).sum())


def test_temperature_zero_takes_the_most_probable_token() -> None:
    logits = np.array([[0.1, 3.0, 0.2], [5.0, 1.0, 4.9]], dtype=np.float32)
    assert choose_tokens(logits, settings(2, temperature=0.0)).tolist() == [1, 0]


@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param({}, id="nothing is cut"),
        pytest.param({"top_k": 99}, id="sorted"),
        pytest.param({"min_p": 0.01}, id="min_p that cuts nothing"),
    ],
)
def test_sampling_frequencies_match_the_distribution(cuts: dict[str, float]) -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    logits = np.tile(np.log(shares).astype(np.float32), (20_000, 1))
    tokens = choose_tokens(logits, settings(20_000, seed=7, **cuts))  # type: ignore[arg-type]
    assert chi_square(tokens, shares) < 16.27  # 99.9 % point of the chi-square distribution, 3 degrees of freedom


def test_sampling_frequencies_of_what_the_cuts_leave_match_their_shares() -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    logits = np.tile(np.log(shares).astype(np.float32), (20_000, 1))
    tokens = choose_tokens(logits, settings(20_000, seed=11, top_p=0.85, min_p=0.3))
    assert chi_square(tokens, shares[:3] / 0.9) < 13.82  # 99.9 % point, 2 degrees of freedom


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(0, 0.9), (0, 0.2), (40, 1.0), (100, 0.9), (300, 0.9), (300, 1.0), (9999, 0.5)]
)
def test_sorting_the_best_tokens_alone_keeps_what_sorting_all_keeps(top_k: int, top_p: float) -> None:
    random = np.random.default_rng(2)
    logits = (random.normal(0, 1, (40, 2_000)) * np.linspace(0.1, 6, 40)[:, None]).astype(np.float32)
    rows = settings(40, top_k=top_k, top_p=top_p)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    kept = keep_likeliest(weights, rows)
    assert np.array_equal(kept, keep_likeliest(weights, rows, sorted_tokens=2_000))
    for row in range(40):
        order = np.argsort(-weights[row], kind="stable")[: top_k or None]
        mass = weights[row, order].astype(np.float64).cumsum()
        count = 1 + int((mass < top_p * mass[-1]).sum()) if top_p < 1 else len(order)
        assert np.flatnonzero(kept[row]).tolist() == sorted(order[:count].tolist())


def test_the_best_tokens_are_found_however_they_lie() -> None:
    """64 that stand side by side, so that no two are of one group, and hardly anything beside them."""
    weights = np.full((1, 2_000), 1e-6, dtype=np.float32)
    weights[0, 100:164] = np.linspace(1, 2, 64)
    found = keep_likeliest(weights, settings(1, top_k=64))
    assert np.flatnonzero(found[0]).tolist() == list(range(100, 164))


@pytest.mark.parametrize(("top_k", "top_p", "kept"), [(3, 1.0, 3), (0, 0.45, 5), (0, 1.0, 10), (1, 0.5, 1)])
def test_of_equal_tokens_the_first_stay(top_k: int, top_p: float, kept: int) -> None:
    weights = np.ones((2, 10), dtype=np.float32)
    found = keep_likeliest(weights, settings(2, top_k=top_k, top_p=top_p))
    assert [np.flatnonzero(row).tolist() for row in found] == [list(range(kept))] * 2


@pytest.mark.parametrize("vocabulary_size", [1, 255, 256, 257, 700])
def test_a_draw_finds_the_token_of_its_share(vocabulary_size: int) -> None:
    random = np.random.default_rng(1)
    weights = random.exponential(1, (50, vocabulary_size)).astype(np.float32)
    weights[:, random.random(vocabulary_size) < 0.5] = 0.0
    weights[:, vocabulary_size // 2] = 1.0
    draws = np.concatenate([random.random(48), [0.0, np.nextafter(1.0, 0.0)]])
    found = invert(weights, draws)
    assert (weights[np.arange(50), found] > 0).all()
    cumulative = weights.astype(np.float64).cumsum(axis=1) / weights.sum(axis=1, dtype=np.float64, keepdims=True)
    below = np.where(found > 0, cumulative[np.arange(50), found - 1], 0.0)
    assert (below <= draws + 1e-6).all()
    assert (draws <= cumulative[np.arange(50), found] + 1e-6).all()


def test_min_p_keeps_tokens_by_their_share_of_the_most_probable_one() -> None:
    logits = np.tile(np.log(np.array([0.5, 0.26, 0.24], dtype=np.float32)), (2_000, 1))
    assert set(choose_tokens(logits, settings(2_000, min_p=0.5)).tolist()) == {0, 1}
    assert set(choose_tokens(logits, settings(2_000, min_p=1.0)).tolist()) == {0}


def test_the_least_temperature_is_greedy_and_not_a_division_by_zero() -> None:
    logits = np.array([[1.0, 1.5, -np.inf]], dtype=np.float32)
    assert choose_tokens(logits, settings(1, temperature=5e-324)).tolist() == [1]


def test_temperature_sharpens_the_distribution() -> None:
    draws = 5_000
    logits = np.tile(np.log(np.array([0.6, 0.4], dtype=np.float32)), (draws, 1))
    share = (choose_tokens(logits, settings(draws, temperature=0.5)) == 0).mean()
    assert share == pytest.approx(0.36 / (0.36 + 0.16), abs=0.02)


@pytest.mark.parametrize(
    ("top_k", "top_p", "survivors"),
    [
        pytest.param(0, 1.0, 4, id="nothing is cut"),
        pytest.param(2, 1.0, 2, id="top_k keeps two"),
        pytest.param(0, 0.49, 1, id="one token is enough"),
        pytest.param(0, 0.7, 2, id="the token that crosses the line is kept"),
        pytest.param(3, 0.99, 3, id="top_p counts the mass that top_k leaves"),
        pytest.param(99, 1.0, 4, id="a top_k beyond the vocabulary keeps all"),
    ],
)
def test_cuts_keep_the_smallest_sufficient_set(top_k: int, top_p: float, survivors: int) -> None:
    weights = np.array([[0.5, 0.3, 0.15, 0.05]], dtype=np.float32)
    kept = keep_likeliest(weights, settings(1, top_k=top_k, top_p=top_p))
    assert (kept > 0).sum() == survivors


def test_cut_tokens_are_never_drawn() -> None:
    logits = np.tile(np.array([1.0, 4.0, 3.0, 2.0], dtype=np.float32), (2_000, 1))
    assert set(choose_tokens(logits, settings(2_000, top_k=2)).tolist()) == {1, 2}


def test_a_banned_token_is_never_drawn() -> None:
    logits = np.tile(np.array([-np.inf, 0.0, 0.0], dtype=np.float32), (2_000, 1))
    assert 0 not in choose_tokens(logits, settings(2_000))


def test_random_numbers_are_uniform_and_depend_on_seed_sample_and_index() -> None:
    index = np.arange(10_000, dtype=np.int64)
    zeros = np.zeros(10_000, dtype=np.int64)

    def draw(seed: int, sample: int) -> DoubleArray:
        return uniform(np.full(10_000, seed, dtype=np.uint64), zeros + sample, index)

    draws = draw(3, 0)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 27.88  # 99.9 % point, 9 degrees of freedom
    for other in (draw(4, 0), draw(3, 1), draw(2, 1)):
        assert abs(np.corrcoef(draws, other)[0, 1]) < 0.04


@pytest.mark.parametrize("vocabulary_size", [50, 300, 3_000])
def test_a_rows_choice_does_not_depend_on_its_neighbours(vocabulary_size: int) -> None:
    random = np.random.default_rng(0)
    count = 17
    logits = 3 * random.normal(size=(count, vocabulary_size)).astype(np.float32)
    mixed = SamplingRows(
        random.choice([0.0, 0.7, 1.0, 1.3], count),
        random.choice([0, 5, 100, 700], count),
        random.choice([1.0, 0.8], count),
        random.choice([0.0, 0.1], count),
        random.integers(0, 2**62, count).astype(np.uint64),
        random.integers(0, 3, count),
        random.integers(0, 100, count),
    )
    together = choose_tokens(logits, mixed)
    for row in range(count):
        alone = mixed.take(np.array([row]))
        assert choose_tokens(logits[row : row + 1], alone)[0] == together[row]
    kept = keep_likeliest(np.exp(logits), mixed)
    for row in range(count):
        alone = mixed.take(np.array([row]))
        assert np.array_equal(keep_likeliest(np.exp(logits[row : row + 1]), alone)[0], kept[row])
