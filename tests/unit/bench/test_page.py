"""The page and its tables."""

from tests.bench.serving.figures import Sample
from tests.bench.serving.page import written
from tests.bench.serving.rounds import Measured
from tests.bench.serving.tables import table_of

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


def test_rows_are_compared_with_the_limit() -> None:
    measured = Measured({"the limit": [Sample(100, 0, server_cpu=2)], "ours": [Sample(40, 0, server_cpu=1)]})
    row = table_of(measured, limit="the limit").splitlines()[-1]
    assert row == "| ours | 40 | 0 |  |  | 1.00 | 40 |  | 0.80 | 0.40 | 100.0% |"


def test_a_peer_that_did_not_run_has_an_empty_row_with_the_reason() -> None:
    measured = Measured({"ours": [Sample(1, 0)]}, {"theirs": "did not install"})
    row = table_of(measured, limit=None).splitlines()[-1]
    assert row.startswith("| theirs | did not install |")
    assert not row.removeprefix("| theirs | did not install |").strip(" |")
