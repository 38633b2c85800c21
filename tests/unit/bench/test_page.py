"""The page and its tables."""

from tests.bench.serving.figures import Sample
from tests.bench.serving.page import written
from tests.bench.serving.parts.generation import Join, joins_table
from tests.bench.serving.rounds import Measured, Tries
from tests.bench.serving.tables import streams_table, table_of, tries_table

ORDER = ("translation", "growth")


def test_a_part_that_is_measured_again_replaces_itself_alone() -> None:
    page = written(written("", "translation", "old", ORDER), "growth", "kept", ORDER)
    page = written(page, "translation", "new", ORDER)
    assert "old" not in page
    assert "kept" in page
    assert page.count("new") == 1


def test_parts_stand_in_their_order_whichever_was_measured_first() -> None:
    page = written(written("", "growth", "second", ORDER), "translation", "first", ORDER)
    assert page.index("first") < page.index("second")


def test_a_page_that_is_written_twice_is_the_same() -> None:
    page = written("", "growth", "text", ORDER)
    assert written(page, "growth", "text", ORDER) == page


def test_profiles_outlive_a_part_that_is_measured_again_and_follow_their_file() -> None:
    page = written(written("", "growth", "curves", ORDER, "py-spy says"), "translation", "rows", ORDER, "perf says")
    assert page.index("curves") < page.index("## What the missed targets cost") < page.index("perf says")
    assert "py-spy says" not in page
    assert "missed targets" not in written(page, "growth", "curves", ORDER)


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
    measured = Measured({"the limit": [Sample(1, 100, server_cpu=2)], "ours": [Sample(1, 40, server_cpu=1)]})
    row = streams_table(measured, limit="the limit").splitlines()[-1]
    assert row == "| ours | 40 |  |  | 1.00 | 40 |  | 0.80 | 0.40 | 100.0% |"


def test_tries_are_shown_with_what_they_are_chosen_by_first() -> None:
    measured = Measured({"slow": [Sample(1, 100, 2.0)], "fast": [Sample(1, 300, 1.0)]}, {"broken": "no socket"})
    lines = tries_table("Triton", Tries(measured, "tokens_per_second")).splitlines()
    assert lines[0] == "| Triton | tokens/s, the best is taken | texts/s | p50 ms |"
    assert lines[2:] == ["| fast | 300 | 1 | 1.00 |", "| slow | 100 | 1 | 2.00 |", "| broken | no socket |  |  |"]


def test_what_joining_costs_comes_with_its_spread() -> None:
    table = joins_table([Join(1.0, 2.0, 0.5, 0.6), Join(3.0, 4.0, 0.7, 0.8)])
    assert "| between tokens of a stream | 2.00 (1.00 to 3.00) | 3.00 (2.00 to 4.00) |" in table
