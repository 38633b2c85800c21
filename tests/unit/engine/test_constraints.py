"""What constrained rows may write, against plain rules written as loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.constraints import FREE, ConstraintRows, Constraints
from service.engine.steps import FloatArray, IntArray

VOCABULARY = 7
EOS = 2


def applied(
    constraints: list[Constraints], read: list[list[int]], written: list[list[int]], logits: FloatArray
) -> FloatArray:
    """Constrain one row per entry; `written` is told token by token."""
    rows = ConstraintRows(len(constraints))
    for row, (one, prompt) in enumerate(zip(constraints, read, strict=True)):
        rows.put(row, one, np.array(prompt, dtype=np.int64), 50)
    for row, tokens in enumerate(written):
        for token in tokens:
            rows.wrote(np.array([row]), np.array([token]))
    lengths = np.array([len(tokens) for tokens in written])
    return rows.applied(np.arange(len(constraints)), logits, lengths, EOS)


def by_the_rules(one: Constraints, read: list[int], written: list[int], logits: FloatArray) -> FloatArray:
    """The same, for one row, token by token."""
    known, allowed = (read + written)[-one.look_back :], logits.copy()
    for token in set(known):
        penalty = np.float32(one.repetition_penalty)
        allowed[token] = allowed[token] / penalty if allowed[token] > 0 else allowed[token] * penalty
    for token, bias in one.biases:
        allowed[token] += np.float32(bias)
    size = one.no_repeat_ngram_size
    for token in range(VOCABULARY) if size else ():
        ngrams = {tuple(known[start : start + size]) for start in range(len(known) - size + 1)}
        if tuple([*known, token][-size:]) in ngrams and len(known) + 1 >= size:
            allowed[token] = -np.inf
    if len(written) < one.min_output_token_count:
        allowed[EOS] = -np.inf
    if np.isneginf(allowed).all():
        allowed[EOS] = 0.0
    return allowed


tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=12)
rows = st.tuples(
    st.builds(
        Constraints,
        min_output_token_count=st.integers(0, 4),
        repetition_penalty=st.sampled_from([0.5, 1.0, 2.0]),
        no_repeat_ngram_size=st.integers(0, 4),
        look_back=st.sampled_from([1, 2, 5, 100]),
        biases=st.sampled_from([(), ((3, 2.5), (5, -math.inf)), tuple((t, -math.inf) for t in range(VOCABULARY))]),
    ),
    tokens,
    tokens,
)


@given(st.lists(rows, min_size=1, max_size=5), st.integers(0, 99))
def test_rows_together_are_constrained_by_the_same_rules_as_each_by_itself(
    drawn: list[tuple[Constraints, list[int], list[int]]], seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (len(drawn), VOCABULARY)).astype(np.float32)
    constraints, read, written = map(list, zip(*drawn, strict=True))
    found = applied(constraints, read, written, logits)
    expected = [by_the_rules(*row, own) for row, own in zip(drawn, logits, strict=True)]
    assert np.array_equal(found, np.stack(expected))


def test_free_rows_are_left_as_they_are_and_nothing_is_copied() -> None:
    logits = np.zeros((2, VOCABULARY), dtype=np.float32)
    assert applied([FREE, FREE], [[1], [1]], [[3], [3]], logits) is logits


def test_constraints_follow_a_row_that_moves() -> None:
    rows = ConstraintRows(3)
    rows.put(0, FREE, np.array([1]), 5)
    rows.put(2, Constraints(no_repeat_ngram_size=1), np.array([4]), 5)
    rows.move(np.array([0]), np.array([2]))
    rows.wrote(np.array([0]), np.array([6]))
    found = rows.applied(np.array([0]), np.zeros((1, VOCABULARY), dtype=np.float32), np.array([1]), EOS)
    assert np.flatnonzero(np.isneginf(found[0])).tolist() == [4, 6]


@pytest.mark.parametrize("first", [[], [1, 2, 3]])
def test_a_row_forgets_what_was_there_before_it(first: list[int]) -> None:
    rows = ConstraintRows(1)
    rows.put(0, Constraints(repetition_penalty=2.0, biases=((6, 5.0),)), np.array([3, 3, 5], dtype=np.int64), 5)
    rows.put(0, Constraints(repetition_penalty=2.0), np.array(first, dtype=np.int64), 5)
    found = rows.applied(np.array([0]), np.ones((1, VOCABULARY), dtype=np.float32), np.array([1]), EOS)
    assert np.flatnonzero(found[0] != 1.0).tolist() == first


def test_arrays_of_ids_are_not_needed_to_be_long() -> None:
    empty: IntArray = np.array([], dtype=np.int64)
    rows = ConstraintRows(1)
    rows.put(0, Constraints(no_repeat_ngram_size=3), empty, 5)
    logits = np.zeros((1, VOCABULARY), dtype=np.float32)
    assert np.array_equal(rows.applied(np.array([0]), logits, np.array([0]), EOS), logits)
