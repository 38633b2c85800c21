"""Tunes that a bundle writes are counted beside held-out ones, and a recipe can ask for that."""

from collections.abc import Callable, Mapping

import pytest

from service.bundle.store import OpenedBundle
from training.data.examples import AnySplits
from training.errors import DataError
from training.evaluation.evaluate import evaluate_bundle
from training.evaluation.tunes import TuneCheck
from training.evaluation.written_tunes import check_held_out, check_written, held_out_scores, written_scores
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.settings.evaluation import EvaluationSettings, TuneSettings
from training.settings.recipe import Recipe


@pytest.fixture(scope="module")
def bundle(make_recipe: Callable[..., Recipe], tiny_splits: Mapping[str, AnySplits]) -> OpenedBundle:
    """Of a model that has learnt nothing and writes a few letters at most."""
    recipe = make_recipe("generation", data={"max_output_token_count": 12}, export={"precisions": ["fp32", "int8"]})
    return draft_bundle(prepare(recipe, tiny_splits["generation"]), run_sha256="a" * 64).opened()


def test_scores_are_means_over_blocks_and_say_how_to_get_them_again() -> None:
    settings = TuneSettings(count=200, temperature=0.8, seed=1, blocks=2)
    read, full = written_scores([TuneCheck(200, 190, 1000, 900), TuneCheck(200, 196, 3000, 2400)], settings)
    assert (read.shown, full.shown) == ("96.5", "85.0")
    assert read.method.startswith("percent of 400 tunes by music21 ")
    assert "written at temperature 0.8 with seeds 1 to 400" in read.method
    assert "`python -m training tunes BUNDLE --count 200 --temperature 0.8 --seed 1 --blocks 2`" in read.method
    assert read.method.endswith("; mean of 2 blocks, standard deviation 2.1")
    assert full.method.startswith("percent of their 4,000 bars that are as long as their metre says")


def test_held_out_tunes_are_measured_alike_and_have_no_deviation() -> None:
    read, full = held_out_scores(TuneCheck(200, 199, 1000, 880))
    assert (read.name, read.shown) == ("tunes read of 200 held-out ones", "99.5")
    assert (full.name, full.shown) == ("full bars of 200 held-out ones", "88.0")
    assert "deviation" not in read.method


def test_held_out_tunes_are_of_the_test_part_first(tiny_splits: Mapping[str, AnySplits]) -> None:
    splits = tiny_splits["generation"]
    count = len(splits.test) + len(splits.validation)
    assert check_held_out(splits, count).tune_count == count
    with pytest.raises(
        DataError, match=f"expected {count + 1} tunes or more in validation and test parts, found {count}"
    ):
        check_held_out(splits, count + 1)


def test_blocks_have_seeds_of_their_own_and_are_the_same_again(bundle: OpenedBundle) -> None:
    settings = TuneSettings(count=3, temperature=0.5, seed=4, blocks=2)
    found = list(check_written(bundle, settings))
    assert [seed for seed, _ in found] == [4, 7]
    assert found == list(check_written(bundle, settings))


def test_a_recipe_that_asks_for_tunes_gets_their_scores_of_each_variant(
    bundle: OpenedBundle, tiny_splits: Mapping[str, AnySplits]
) -> None:
    splits, settings = tiny_splits["generation"], EvaluationSettings(tunes=TuneSettings(count=2))
    for precision in ("fp32", "int8"):
        found = evaluate_bundle(bundle, splits, precision, settings=settings)
        assert [score.name for score in found.further] == ["tunes read", "full bars"]
        assert [score.name for score in found.other_baselines][-2:] == [
            "tunes read of 2 held-out ones",
            "full bars of 2 held-out ones",
        ]
    assert evaluate_bundle(bundle, splits).further == ()
