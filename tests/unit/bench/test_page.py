"""The page and its tables."""

import math

import pytest

from tests.bench.serving.figures import Sample
from tests.bench.serving.origin import Origin
from tests.bench.serving.page import NOT_RECORDED, Section, written
from tests.bench.serving.rounds import Measured, Tries
from tests.bench.serving.tables import streams_table, table_of, tries_table

ORDER = ("translation", "growth")


FIRST = Origin("2026-01-01 10:00:00 UTC", "2026-01-01 10:00:05 UTC", "2026-01-01 10:20:00 UTC", "abc1234")
SECOND = Origin("2026-01-02 10:00:00 UTC", "2026-01-02 10:00:05 UTC", "2026-01-02 10:20:00 UTC", "def5678")


def section(text: str, origin: Origin | None = FIRST) -> Section:
    return Section(f"## A part\n\n{text}", origin)


def test_a_part_that_is_measured_again_replaces_itself_alone() -> None:
    page = written(written("", "translation", section("old"), ORDER), "growth", section("kept"), ORDER)
    page = written(page, "translation", section("new"), ORDER)
    assert "old" not in page
    assert "kept" in page
    assert page.count("new") == 1


def test_parts_stand_in_their_order_whichever_was_measured_first() -> None:
    page = written(written("", "growth", section("second"), ORDER), "translation", section("first"), ORDER)
    assert page.index("first") < page.index("second")


@pytest.mark.parametrize("origin", [FIRST, None])
def test_a_page_that_is_written_twice_is_the_same(origin: Origin | None) -> None:
    page = written("", "growth", section("text", origin), ORDER)
    page = written(page, "translation", section("more", origin), ORDER)
    assert written(page, "growth", section("text", origin), ORDER) == page


def test_profiles_outlive_a_part_that_is_measured_again_and_follow_their_file() -> None:
    page = written("", "growth", section("curves"), ORDER, "py-spy says")
    page = written(page, "translation", section("rows"), ORDER, "perf says")
    assert page.index("curves") < page.index("## What the missed targets cost") < page.index("perf says")
    assert "py-spy says" not in page
    assert "missed targets" not in written(page, "growth", section("curves"), ORDER)


def test_each_part_tells_when_and_of_which_commit_it_was_measured() -> None:
    page = written(written("", "growth", section("curves"), ORDER), "translation", section("rows", SECOND), ORDER)
    growth, translation = page.index("curves"), page.index("rows")
    assert translation < page.index(str(FIRST)) < growth
    assert page.index(str(SECOND)) < translation


def test_parts_of_one_call_are_one_run() -> None:
    page = written(written("", "growth", section("curves"), ORDER), "translation", section("rows"), ORDER)
    assert f"All parts are of one run, begun {FIRST.run}, commit abc1234." in page
    assert "Not on this page" not in page


def test_a_part_that_is_not_there_yet_is_told() -> None:
    assert "commit abc1234. Not on this page: growth.\n" in written("", "translation", section("rows"), ORDER)


def test_parts_of_several_calls_are_listed_by_run() -> None:
    page = written(written("", "growth", section("curves"), ORDER), "translation", section("rows", SECOND), ORDER)
    assert "of one run." in page
    assert f"- begun {SECOND.run}, commit def5678: translation\n- begun {FIRST.run}, commit abc1234: growth\n" in page


def test_a_part_from_before_that_is_not_recorded_and_says_so_once() -> None:
    old = "<!-- part growth: begin -->\n## A part\n\ncurves\n<!-- part growth: end -->\n"
    page = written(old, "translation", section("rows"), ORDER)
    page = written(page, "translation", section("rows"), ORDER)
    assert "- not recorded: growth\n" in page
    assert page.count(NOT_RECORDED) == 1
    assert page.index(NOT_RECORDED) < page.index("curves")


def test_rows_are_compared_with_the_limit() -> None:
    measured = Measured({"the limit": [Sample(100, 0, server_cpu=2)], "ours": [Sample(40, 0, server_cpu=1)]})
    row = table_of(measured, limit="the limit").splitlines()[-1]
    assert row == "| ours | 40 | 0 |  |  | 1.00 | 40 |  | 0.80 | 0.40 | 100.0% |"


def test_a_peer_that_did_not_run_has_an_empty_row_with_the_reason() -> None:
    measured = Measured({"ours": [Sample(1, 0)]}, {"theirs": "did not install"})
    row = table_of(measured, limit=None).splitlines()[-1]
    assert row.startswith("| theirs | did not install |")
    assert not row.removeprefix("| theirs | did not install |").strip(" |")


def test_percentiles_and_shares_of_the_limit_come_with_their_spread() -> None:
    measured = Measured({
        "the limit": [Sample(100, 0, server_cpu=1), Sample(100, 0, server_cpu=1)],
        "ours": [Sample(50, 0, 1.0, 3.0, 1), Sample(70, 0, 2.0, 5.0, 1)],
    })  # fmt: skip
    row = table_of(measured, limit="the limit").splitlines()[-1]
    for figure in ("1.50 (1.00 to 2.00)", "4.00 (3.00 to 5.00)", "0.60 (0.50 to 0.70)"):
        assert figure in row


def test_streams_are_compared_with_the_limit_by_their_tokens() -> None:
    measured = Measured(
        {"the limit": [Sample(1, 100, server_cpu=2)], "ours": [Sample(1, 40, server_cpu=1, tokens_per_message=2.5)]}
    )
    row = streams_table(measured, limit="the limit").splitlines()[-1]
    assert row == "| ours | 40 |  |  | 2.50 | 1.00 | 40 |  | 0.80 | 0.40 | 100.0% |"


def test_tries_are_shown_with_what_they_are_chosen_by_first() -> None:
    measured = Measured({"slow": [Sample(1, 100, 2.0)], "fast": [Sample(1, 300, 1.0)]}, {"broken": "no socket"})
    lines = tries_table("Triton", Tries(measured, "tokens_per_second")).splitlines()
    assert lines[0] == "| Triton | tokens/s, the best is taken | texts/s | p50 ms |"
    assert lines[2:] == ["| fast | 300 | 1 | 1.00 |", "| slow | 100 | 1 | 2.00 |", "| broken | no socket |  |  |"]


def test_answers_that_cannot_be_compared_are_not_called_equal() -> None:
    row = table_of(Measured({"theirs": [Sample(1, 0, agreement=math.nan)]}), limit=None).splitlines()[-1]
    assert row.endswith("|  |")
