"""Contenders that take turns."""

import math

import pytest

from tests.bench.serving.comparing import ratio
from tests.bench.serving.figures import Sample
from tests.bench.serving.rounds import Contender, Measured, Tries, WrongAnswerError, take_turns


def contender(title: str, *rates: float, **flags: bool) -> Contender:
    turns = iter(rates)
    return Contender(title, lambda: Sample(next(turns), 0), **flags)


def failing(title: str, *, is_peer: bool) -> Contender:
    def measure() -> Sample:
        raise RuntimeError("a long log\nthe last line")

    return Contender(title, measure, is_peer=is_peer)


def test_everybody_is_measured_in_every_round() -> None:
    order: list[str] = []

    def noting(title: str) -> Contender:
        def measure() -> Sample:
            order.append(title)
            return Sample(1, 0)

        return Contender(title, measure)

    take_turns([noting("a"), noting("b")], 2)
    assert order == ["a", "b", "a", "b"]


def test_a_peer_that_fails_has_a_reason_in_place_of_figures() -> None:
    measured = take_turns([contender("ours", 1, 2), failing("theirs", is_peer=True)], 2)
    assert list(measured.samples) == ["ours"]
    assert measured.absent == {"theirs": "the last line"}


def test_a_contender_of_our_own_that_fails_fails_the_bench() -> None:
    with pytest.raises(RuntimeError, match="the last line"):
        take_turns([failing("ours", is_peer=False)], 1)


def test_a_stream_that_goes_on_is_an_answer_and_silence_is_none() -> None:
    writing = Contender("ours", lambda: Sample(0, 50))
    assert take_turns([writing], 1).median("ours", "tokens_per_second") == 50
    with pytest.raises(RuntimeError, match="no answer within a round"):
        take_turns([contender("ours", 0)], 1)


def test_an_exact_contender_must_not_differ_once() -> None:
    wrong = Contender("ours", lambda: Sample(1, 0, agreement=0.999), exact=True)
    with pytest.raises(WrongAnswerError, match="ours"):
        take_turns([wrong], 1)


def test_an_exact_contender_of_whom_nothing_could_be_compared_fails_the_bench() -> None:
    writing = Contender("ours", lambda: Sample(0, 50, agreement=math.nan), exact=True)
    with pytest.raises(RuntimeError, match="ours: no text was answered to its end"):
        take_turns([writing], 1)


def test_the_best_of_ours_is_compared_with_the_best_of_theirs() -> None:
    measured = Measured({
        "seqserve, a": [Sample(10, 0)], "seqserve, b": [Sample(30, 0)],
        "Triton, a": [Sample(15, 0)], "Triton, b": [Sample(5, 0)],
    })  # fmt: skip
    assert ratio(measured, ("Triton",), "items_per_second") == [2.0]


def test_there_is_no_ratio_to_somebody_who_did_not_run() -> None:
    assert ratio(Measured({"seqserve": [Sample(10, 0)]}), ("Triton",), "items_per_second") == []


FAST_AND_LATE = Measured({"fast": [Sample(9, 9, p50_ms=4.0)], "prompt": [Sample(5, 20, p50_ms=1.0)]})


@pytest.mark.parametrize(
    ("by", "best"), [("items_per_second", "fast"), ("tokens_per_second", "prompt"), ("p50_ms", "prompt")]
)
def test_a_setting_is_chosen_by_the_figure_that_it_is_judged_by(by: str, best: str) -> None:
    assert Tries(FAST_AND_LATE, by).best() == best


def test_settings_that_all_failed_tell_why() -> None:
    tries = Tries()
    tries.add(Measured({}, {"one": "no such binary"}))
    with pytest.raises(RuntimeError, match="no such binary"):
        tries.best()
