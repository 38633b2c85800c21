"""A card's scores are those of a running server's answers: the first test examples, scored through one and beside it.

All of them: `python -m tests.served`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from seqserve import Client
from service.bundle.store import open_bundle
from tests.e2e.calls import running_server
from tests.published import PUBLISHED, newest_published
from tests.served.scores import OFFLINE, served_scores
from training.commands.evaluate import recipe_of
from training.data.examples import AnySplits, Splits
from training.data.load import load_examples
from training.evaluation.evaluate import evaluate_bundle
from training.settings.recipe import load_recipe

EXAMPLES, TUNES = 40, 3


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with running_server(PUBLISHED) as server:
        yield server.target


@pytest.mark.data
@pytest.mark.parametrize("name", ["imdb", "multi30k-en-de", "en-it", "pos-tags", "rain-tomorrow", "melody"])
def test_answers_of_a_server_score_as_the_bundle_does(name: str, target: str) -> None:
    if "SEQSERVE_DATA" not in os.environ:
        pytest.skip("SEQSERVE_DATA names no folder of real corpora")
    bundle = open_bundle(newest_published(name))
    path = recipe_of(bundle.manifest)
    recipe = load_recipe(path)
    splits = load_examples(recipe.data, data_folder=Path(os.environ["SEQSERVE_DATA"]), files_folder=path.parent)
    # a few stations suffice for the baselines of readings, which are fitted, and not asked for here
    stations = 2 if name == "rain-tomorrow" else None
    few = cast("AnySplits", Splits(splits.training[:stations], splits.validation, splits.test[:EXAMPLES]))
    settings = recipe.evaluation
    if settings.tunes is not None:
        settings = settings.model_copy(
            update={"tunes": settings.tunes.model_copy(update={"count": TUNES, "blocks": 1})}
        )
    evaluation = evaluate_bundle(bundle, few, settings=settings, continuous=recipe.continuous)
    known = {score.name: score.shown for score in (evaluation.score, *evaluation.further)}
    with Client(target) as client:
        found = served_scores(client, bundle.manifest, few, settings, {})
    asked = {name: shown for name, shown in known.items() if name not in OFFLINE}
    assert {score.name: score.shown for score in found} == asked
