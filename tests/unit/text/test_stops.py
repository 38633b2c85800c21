"""Stop strings end a text wherever its pieces are cut, and nothing of one is let out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.stops import StopMatcher

alphabet = st.text("ab\N{SMILING FACE WITH SMILING EYES}", max_size=14)
stop_lists = st.lists(st.text("ab\N{SMILING FACE WITH SMILING EYES}", min_size=1, max_size=4), max_size=4)


def expected(text: str, stops: list[str]) -> tuple[str, bool]:
    """Go through the text character by character; cut it before the longest stop string that is complete first."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], True
    return text, False


def pushed(pieces: list[str], stops: list[str]) -> tuple[list[str], bool]:
    """What is let out after each piece, with what is left in the end."""
    matcher, told = StopMatcher(stops), []
    for piece in pieces:
        out, stopped = matcher.push(piece)
        told.append(out)
        if stopped:
            return told, True
    return [*told, matcher.finish()], False


def cut(text: str, borders: list[int]) -> list[str]:
    places = [0, *sorted(border % (len(text) + 1) for border in borders), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


@given(alphabet, st.lists(st.integers(0, 20), max_size=8), stop_lists)
def test_a_text_ends_before_its_first_stop_string_wherever_it_is_cut(
    text: str, borders: list[int], stops: list[str]
) -> None:
    told, stopped = pushed(cut(text, borders), stops)
    assert ("".join(told), stopped) == expected(text, stops)


@given(alphabet, st.lists(st.integers(0, 20), max_size=8), stop_lists)
def test_nothing_is_let_out_that_a_stop_string_may_yet_take_back(
    text: str, borders: list[int], stops: list[str]
) -> None:
    """Whatever follows, what was let out so far stays part of the answer."""
    pieces = cut(text, borders)
    told, _ = pushed(pieces, stops)
    for count in range(1, min(len(pieces), len(told)) + 1):
        so_far, out = "".join(pieces[:count]), "".join(told[:count])
        for stop in stops:
            for follow in (stop, stop[1:], stop[2:], stop[-1:]):
                assert expected(so_far + follow, stops)[0].startswith(out)


@given(alphabet, stop_lists)
def test_what_cannot_be_the_beginning_of_a_stop_string_is_not_held_back(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    out, stopped = matcher.push(text)
    if not stopped:
        held = text[len(out) :]
        assert not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(
    ("text", "stops", "answer"),
    [
        pytest.param("one two", ["two"], "one ", id="at the end"),
        pytest.param("abcd", ["bcd", "c"], "ab", id="complete first, though it begins later"),
        pytest.param("abcd", ["bc", "abc"], "", id="of two at once the longest"),
        pytest.param("aab", ["ab"], "a", id="a false start"),
        pytest.param("anything", [], "anything", id="no stop strings"),
    ],
)
def test_examples(text: str, stops: list[str], answer: str) -> None:
    assert "".join(pushed(list(text), stops)[0]) == answer
