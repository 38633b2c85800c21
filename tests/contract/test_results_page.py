"""What docs/results.md says was reached is what the cards say, and docs/other-models.json. Its wording is free.

The table's first column names a recipe, its last what was reached. A decimal number there is one of the newest version
of that model, to as many decimals as stand there: of its card's section on scores, of a run with another seed, or what
follows from these (mean and deviation over seeds, nats from bits); or the first score of a former version; or it is
reported by others, as the recipe says.
"""

import math
import re
from collections.abc import Iterator
from functools import cache
from statistics import mean, stdev

import pytest

from service.bundle.store import CARD_NAME, open_bundle
from tests.published import newest_published, published_folders
from tests.trained import ROOT
from training.comparison.page import PublishedModel
from training.comparison.results import TrainedModel, read_results
from training.preparation.provenance import OWN_RECIPES, own_recipe
from training.settings.recipe import load_recipe

PAGE = ROOT / "docs" / "results.md"
NUMBER = re.compile(r"(?<![\w.:])\d+\.\d+\b")
PUBLISHED = {folder.parent.name for folder in published_folders()}
OTHERS = read_results(ROOT / "docs" / "other-models.json", TrainedModel)


def rows(page: str) -> dict[str, str]:
    """Of the first table: its last column by the name in its first."""
    table = page[page.index("\n|---") :].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[1:]]
    return {row[0].strip("`"): row[-1] for row in cells}


ROWS = rows(PAGE.read_text())


def said(name: str) -> list[str]:
    """The decimal numbers of a row, but for those in code and that of a sampling temperature."""
    cell = re.sub(r"`[^`]*`|temperature [\d.]+", "", ROWS[name])
    return NUMBER.findall(cell)


@cache
def runs(name: str) -> list[TrainedModel]:
    """What is on record of the newest version, the published one first, else by seed."""
    own = [PublishedModel.of(open_bundle(newest_published(name))).trained] if name in PUBLISHED else []
    others = [one for one in OTHERS if one.name == name]
    assert own or others, f"{PAGE.name}: of {name} nothing is on record"
    version = max(one.version for one in [*own, *others])
    rest = (one for one in others if not any(one.is_of_the_run(published) for published in own))
    return [one for one in [*own, *sorted(rest, key=lambda one: one.seed)] if one.version == version]


def known(name: str) -> Iterator[float]:
    """Every number that the row may give."""
    if name in PUBLISHED:
        card = (newest_published(name) / CARD_NAME).read_text()
        yield from map(float, NUMBER.findall(card.partition("\n## Scores\n")[2].partition("\n## ")[0]))
    by_measure: dict[str, list[float]] = {}
    for one in runs(name):
        for measure, value in (one.score, *one.further, *one.baselines):
            by_measure.setdefault(measure, []).append(float(value))
    for values in by_measure.values():
        yield from (*values, mean(values), *([stdev(values)] if len(values) > 1 else []))
    yield from (float(one.score[1]) for one in OTHERS if one.name == name and one.version < runs(name)[0].version)
    if runs(name)[0].score[0] == "bits per character":
        first = (runs(name)[0].score, *runs(name)[0].baselines)
        yield from (float(bits) * math.log(2) for _, bits in first)
    recipe = load_recipe(own_recipe(name, runs(name)[0].version) or OWN_RECIPES / f"{name}.toml")
    yield from map(float, NUMBER.findall("\n".join(recipe.evaluation.reported)))


def agrees(shown: str, value: float) -> bool:
    """Whether a number is this one, rounded to as many decimals."""
    decimals = len(shown.partition(".")[2])
    return abs(float(shown) - value) <= 0.5 * 0.1**decimals + 1e-9


def test_every_published_bundle_stands_among_the_results_with_a_figure() -> None:
    assert [name for name in sorted(PUBLISHED) if not said(name)] == []


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_begins_with_the_first_score_of_the_model(name: str) -> None:
    measure, value = runs(name)[0].score
    assert agrees(said(name)[0], float(value)), f"{PAGE.name}: {measure} of {name} is {value}"


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_number_of_a_row_is_on_record(name: str) -> None:
    on_record = list(known(name))
    assert [shown for shown in said(name) if not any(agrees(shown, value) for value in on_record)] == []


@pytest.mark.parametrize("name", sorted(ROWS))
def test_no_seed_is_kept_from_the_reader(name: str) -> None:
    """Each run's first score stands in its row, or else the mean of all."""
    values = [float(one.score[1]) for one in runs(name)]
    missing = [value for value in values if not any(agrees(shown, value) for shown in said(name))]
    assert missing == [] or any(agrees(shown, mean(values)) for shown in said(name))


def test_a_number_that_is_not_on_record_is_found_out() -> None:
    assert not any(agrees("37.99", value) for value in known("multi30k-en-de"))
    assert agrees("30.3", 30.26)
    assert not agrees("30.25", 30.26)
