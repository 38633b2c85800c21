"""What docs/results.md says was reached is what the cards of the published bundles say. Its wording is free.

Of a row whose first column names a published bundle, the first decimal number of the last column is the first score of
the bundle's card, to as many decimals as stand there.
"""

import re

import pytest

from service.bundle.store import open_bundle
from tests.published import PUBLISHED, published_folders
from tests.trained import ROOT
from training.comparison.page import PublishedModel

PAGE = ROOT / "docs" / "results.md"
NUMBER = re.compile(r"\b\d+\.\d+\b")


def rows(page: str) -> dict[str, str]:
    """Of the first table: its last column by the name in its first."""
    table = page[page.index("\n|---") :].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[1:]]
    return {row[0].strip("`"): row[-1] for row in cells}


def reached() -> dict[str, str]:
    """The figure of each published bundle that the page gives one of."""
    published = {folder.parent.name for folder in published_folders()}
    found = {name: NUMBER.search(cell) for name, cell in rows(PAGE.read_text()).items() if name in published}
    return {name: match[0] for name, match in found.items() if match}


def test_every_published_bundle_stands_among_the_results_with_a_figure() -> None:
    assert reached().keys() == {folder.parent.name for folder in published_folders()}


@pytest.mark.parametrize("name", sorted(reached()))
def test_what_was_reached_is_what_the_card_says(name: str) -> None:
    said = reached()[name]
    newest = max((PUBLISHED / name).iterdir(), key=lambda folder: int(folder.name))
    _, value = PublishedModel.of(open_bundle(newest)).trained.score
    assert said == f"{float(value):.{len(said.partition('.')[2])}f}", f"{PAGE.name}: the card of {name} says {value}"
