"""Choosing tokens: exact cuts, right frequencies, and independence of the neighbours."""

import numpy as np
import pytest

from service.engine.sampling import SamplingRows, choose_tokens, keep_likeliest, uniform


def settings(
    count: int, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0
) -> SamplingRows:
    return SamplingRows(
        np.full(count, temperature),
        np.full(count, top_k, dtype=np.int64),
        np.full(count, top_p),
        np.full(count, seed, dtype=np.uint64),
        np.arange(count, dtype=np.uint64),
    )


def test_temperature_zero_takes_the_most_probable_token() -> None:
    logits = np.array([[0.1, 3.0, 0.2], [5.0, 1.0, 4.9]], dtype=np.float32)
    assert choose_tokens(logits, settings(2, temperature=0.0)).tolist() == [1, 0]


def test_sampling_frequencies_match_the_distribution() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    draws = 20_000
    logits = np.tile(np.log(shares).astype(np.float32), (draws, 1))
    counts = np.bincount(choose_tokens(logits, settings(draws, seed=7)), minlength=4)
    chi_square = ((counts - draws * shares) ** 2 / (draws * shares)).sum()
    assert chi_square < 16.27  # 99.9 % point of the chi-square distribution with 3 degrees of freedom


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
        pytest.param(0, 0.5, 1, id="one token is enough"),
        pytest.param(0, 0.7, 2, id="the token that crosses the line is kept"),
        pytest.param(3, 0.99, 3, id="top_p counts the mass that top_k leaves"),
        pytest.param(99, 1.0, 4, id="a top_k beyond the vocabulary keeps all"),
    ],
)
def test_cuts_keep_the_smallest_sufficient_set(top_k: int, top_p: float, survivors: int) -> None:
    weights = np.array([[0.5, 0.3, 0.15, 0.05]])
    kept = keep_likeliest(weights, settings(1, top_k=top_k, top_p=top_p))
    assert (kept > 0).sum() == survivors


def test_cut_tokens_are_never_drawn() -> None:
    logits = np.tile(np.array([1.0, 4.0, 3.0, 2.0], dtype=np.float32), (2_000, 1))
    assert set(choose_tokens(logits, settings(2_000, top_k=2)).tolist()) == {1, 2}


def test_a_banned_token_is_never_drawn() -> None:
    logits = np.tile(np.array([-np.inf, 0.0, 0.0], dtype=np.float32), (2_000, 1))
    assert 0 not in choose_tokens(logits, settings(2_000))


def test_random_numbers_are_uniform_and_depend_on_seed_and_index() -> None:
    index = np.arange(10_000, dtype=np.uint64)
    draws = uniform(np.full(10_000, 3, dtype=np.uint64), index)
    other = uniform(np.full(10_000, 4, dtype=np.uint64), index)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 27.88  # 99.9 % point, 9 degrees of freedom
    assert abs(np.corrcoef(draws, other)[0, 1]) < 0.04


def test_a_rows_choice_does_not_depend_on_its_neighbours() -> None:
    random = np.random.default_rng(0)
    count = 17
    logits = random.normal(size=(count, 50)).astype(np.float32)
    mixed = SamplingRows(
        random.choice([0.0, 0.7, 1.3], count),
        random.choice([0, 5], count),
        random.choice([1.0, 0.8], count),
        random.integers(0, 2**62, count).astype(np.uint64),
        random.integers(0, 100, count).astype(np.uint64),
    )
    together = choose_tokens(logits, mixed)
    for row in range(count):
        one = slice(row, row + 1)
        alone = SamplingRows(
            mixed.temperature[one], mixed.top_k[one], mixed.top_p[one], mixed.seed[one], mixed.drawn[one]
        )
        assert choose_tokens(logits[one], alone)[0] == together[row]
