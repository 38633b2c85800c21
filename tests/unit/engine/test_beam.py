"""Beam search against exhaustive search, on a tiny model whose choices depend on all that it has written."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from service.engine.beam import best_tokens, coverage_penalty, expand, length_penalty, log_normalisers
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Ending, Hypothesis
from service.engine.steps import FloatArray, IntArray, Started
from tests.fakes import ids

VOCABULARY = 6
PAD, BOS, EOS = 0, 1, 2
WORDS = (3, 4, 5)
LONGEST = 4
SOURCE = 3


class TinyTranslator:
    """An encoder-decoder whose weights are hashes of everything written so far: no prefix tells of another."""

    eos_id = EOS
    banned_ids = (PAD, BOS)
    reads_slices = False
    time_multiple = 1
    reads_by_step = False
    state_size = 1

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def start(self, sequences: list[IntArray], carried: object) -> Started:
        """The state is a number for what was written."""
        rows = len(sequences)
        memory = np.zeros((rows, SOURCE + 1, 1), dtype=np.float32)
        lengths = np.full(rows, SOURCE + 1, dtype=np.int64)
        state = np.array([[float(sequence[0])] for sequence in sequences], dtype=np.float32)
        return Started(state, None, np.full(rows, BOS), memory, memory, lengths, SOURCE + 1)

    def moved(self, *, sources: bool) -> None:
        """Nothing."""

    def step(
        self, token_ids: IntArray, state: FloatArray, keys: object, values: object, lengths: object
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Logits and attention drawn from a generator that the written text seeds."""
        new = (state * 7 + token_ids[:, None] + 1).astype(np.float32)
        logits = np.empty((len(new), VOCABULARY), dtype=np.float32)
        attention = np.empty((len(new), SOURCE + 1), dtype=np.float32)
        for row, number in enumerate(new[:, 0]):
            random = np.random.default_rng([self._seed, int(number)])
            logits[row] = random.normal(0, 2, VOCABULARY)
            attention[row] = random.dirichlet(np.ones(SOURCE + 1))
        return logits, new, attention


def found(model: TinyTranslator, options: DecodeOptions, *neighbours: DecodeRequest) -> list[Hypothesis]:
    loop = DecodeLoop(model, capacity=1000)
    loop.join([DecodeRequest(0, ids(9), options), *neighbours])
    answers: dict[int, list[Hypothesis] | None] = {}
    while loop.count:
        answers |= {one.key: one.hypotheses for one in loop.step()}
    hypotheses = answers[0]
    assert hypotheses is not None
    return hypotheses


def every_text() -> Iterator[tuple[int, ...]]:
    """All that can be written: texts that end, and texts that are cut at the limit."""
    for count in range(LONGEST):
        for words in itertools.product(WORDS, repeat=count):
            yield (*words, EOS)
    yield from itertools.product(WORDS, repeat=LONGEST)


def exhaustive(model: TinyTranslator, alpha: float, beta: float) -> list[tuple[float, list[int]]]:
    """Score every text by the formula, best first."""
    scored = []
    for text in every_text():
        state, total, coverage, token = np.array([[9.0]], dtype=np.float32), 0.0, np.zeros(SOURCE + 1), BOS
        for written in text:
            logits, state, attention = model.step(np.array([token]), state, None, None, None)
            scores = logits[0].astype(np.float64)
            total += scores[written] - np.log(np.exp(scores).sum())
            coverage += attention[0]
            token = written
        penalty = beta * np.log(np.minimum(coverage, 1.0)).sum()
        score = total / ((5 + len(text)) / 6) ** alpha + penalty
        scored.append((float(score), [word for word in text if word != EOS]))
    return sorted(scored, key=lambda entry: -entry[0])


PENALTIES = pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (0.6, 0.0), (1.0, 0.0), (2.0, 0.0), (0.6, 0.4)])


@PENALTIES
@pytest.mark.parametrize("seed", range(8))
def test_a_beam_as_wide_as_the_prefix_set_equals_exhaustive_search(seed: int, alpha: float, beta: float) -> None:
    model = TinyTranslator(seed)
    width = len(WORDS) ** LONGEST
    options = DecodeOptions(LONGEST, beam_size=width, hypothesis_count=5, length_penalty=alpha, coverage_penalty=beta)
    best = exhaustive(model, alpha, beta)[:5]
    hypotheses = found(model, options)
    assert [one.token_ids for one in hypotheses] == [text for _, text in best]
    assert [one.score for one in hypotheses] == pytest.approx([score for score, _ in best], abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_a_search_is_not_over_while_a_longer_text_may_still_win(alpha: float) -> None:
    """The best of one is kept, so that every bound is as tight as it gets."""
    options = DecodeOptions(LONGEST, beam_size=len(WORDS) ** LONGEST, length_penalty=alpha)
    for seed in range(30):
        model = TinyTranslator(seed)
        score, text = exhaustive(model, alpha, 0.0)[0]
        (best,) = found(model, options)
        assert best.token_ids == text
        assert best.score == pytest.approx(score, abs=1e-5)


@PENALTIES
@pytest.mark.parametrize("seed", range(8))
def test_no_narrower_beam_scores_above_exhaustive_search(seed: int, alpha: float, beta: float) -> None:
    model = TinyTranslator(seed)
    scores = {tuple(text): score for score, text in exhaustive(model, alpha, beta)}
    best = max(scores.values())
    for width in (2, 3, 5, 8, 20, 40):
        options = DecodeOptions(LONGEST, beam_size=width, length_penalty=alpha, coverage_penalty=beta)
        (hypothesis,) = found(model, options)
        assert hypothesis.score == pytest.approx(scores[tuple(hypothesis.token_ids)], abs=1e-5)
        assert (hypothesis.score or 0.0) <= best + 1e-5


def test_hypotheses_are_distinct_and_best_first() -> None:
    hypotheses = found(TinyTranslator(3), DecodeOptions(LONGEST, beam_size=6, hypothesis_count=6))
    scores = [one.score or 0.0 for one in hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert len({(tuple(one.token_ids), one.ending) for one in hypotheses}) == 6


def test_a_hypothesis_brings_what_its_own_tokens_looked_at() -> None:
    """In a beam, hypotheses change rows: attention, alignment and log-probabilities must follow them."""
    model = TinyTranslator(5)
    options = DecodeOptions(
        LONGEST, beam_size=5, hypothesis_count=5, keep_scores=True, keep_attention=True, keep_alignment=True
    )
    crowd = [DecodeRequest(key, ids(8), DecodeOptions(1 + key % 3, beam_size=1 + key % 4)) for key in range(1, 9)]
    for hypothesis in found(model, options, *crowd):
        state, token = np.array([[9.0]], dtype=np.float32), BOS
        ends = [EOS] if hypothesis.ending is Ending.STOP else []
        for place, written in enumerate(hypothesis.token_ids + ends):
            logits, state, attention = model.step(np.array([token]), state, None, None, None)
            expected = logits[0, written] - np.log(np.exp(logits[0].astype(np.float64)).sum())
            assert hypothesis.log_probabilities is not None
            assert hypothesis.log_probabilities[place] == pytest.approx(expected, abs=1e-5)
            if written != EOS:
                assert hypothesis.attention is not None
                assert hypothesis.aligned is not None
                assert np.array_equal(hypothesis.attention[place], attention[0])
                assert hypothesis.aligned[place] == attention[0, :SOURCE].argmax()
            token = written


def test_a_beam_of_one_is_greedy() -> None:
    totals, normalisers = np.zeros((1, 1)), np.zeros((1, 1))
    logits = np.array([[[0.0, 3.0, 1.0]]], dtype=np.float32)
    step = expand(totals, logits, normalisers, 0)
    assert (step.tokens.tolist(), step.ended.tolist()) == ([[1]], [[False]])


def test_what_writes_the_end_ends_only_among_the_best() -> None:
    totals = np.array([[-1.0, -2.0]])
    logits = np.log(np.array([[[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]], dtype=np.float32))
    step = expand(totals, logits, np.zeros((1, 2)), eos_id=0)
    assert step.ended.tolist() == [[True, False]]
    assert step.tokens.tolist() == [[1, 2]]
    assert step.parents.tolist() == [[0, 0]]


@pytest.mark.parametrize("count", [1, 3, 16, 17, 40])
def test_the_best_tokens_are_those_of_a_sort_and_equal_ones_come_by_id(count: int) -> None:
    random = np.random.default_rng(count)
    logits = random.integers(0, 60, (5, 40)).astype(np.float32)
    expected = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    found_ids, best = best_tokens(logits.copy(), count)
    assert np.array_equal(best, np.take_along_axis(logits, expected, axis=1))
    if count != 17:  # of equal tokens at the border of a partition, any may be found
        assert np.array_equal(found_ids, expected)


def test_a_log_normaliser_is_the_same_alone_and_in_a_crowd() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (17, 253)).astype(np.float32)
    together = log_normalisers(logits)
    assert together == pytest.approx(np.log(np.exp(logits.astype(np.float64)).sum(axis=1)), abs=1e-5)
    assert [float(log_normalisers(logits[row : row + 1])[0]) for row in range(17)] == together.tolist()


def test_penalties_are_those_of_wu_et_al() -> None:
    assert length_penalty(7, 0.5) == pytest.approx(2**0.5)
    assert length_penalty(1, 3.0) == 1.0
    assert length_penalty(30, 0.0) == 1.0
    assert coverage_penalty(np.array([0.5, 2.0, 1.0]), 0.2) == pytest.approx(0.2 * np.log(0.5))
    assert np.isfinite(coverage_penalty(np.zeros(3), 1.0))
