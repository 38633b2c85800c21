"""Running a bundle to be looked at: the answers are the service's, and the same again."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from service.bundle.store import OpenedBundle
from training.data.examples import AnySplits
from training.errors import DataError
from training.evaluation.demonstrate import continue_texts, translate_attentively
from training.evaluation.evaluate import evaluate_bundle
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

BundleOf = Callable[..., OpenedBundle]


@pytest.fixture(scope="module")
def bundle_of(make_recipe: Callable[..., Recipe], tiny_splits: Mapping[str, AnySplits]) -> BundleOf:
    """An untrained bundle of a task."""

    def make(task: str, **model: str) -> OpenedBundle:
        prepared = prepare(make_recipe(task, model=model), tiny_splits[task])
        prepared.model.eval()
        return draft_bundle(prepared, run_sha256="a" * 64).opened()

    return make


def test_translations_are_those_that_are_scored_and_their_attention_sums_to_one(
    bundle_of: BundleOf, tiny_splits: Mapping[str, AnySplits]
) -> None:
    bundle = bundle_of("translation", attention="additive")
    answers = evaluate_bundle(bundle, tiny_splits["translation"]).answers
    found = translate_attentively(bundle, [group.source for group in answers.groups])  # type: ignore[union-attr]
    assert tuple(one.translation for one in found) == answers.hypotheses  # type: ignore[union-attr]
    for one in found:
        assert one.weights.shape == (len(one.target_tokens), len(one.source_tokens))
        np.testing.assert_allclose(one.weights.sum(axis=1), 1.0, atol=1e-5)
        assert one.source_tokens[-1] == "<eos>"


def test_a_translator_without_attention_shows_nothing(bundle_of: BundleOf) -> None:
    assert translate_attentively(bundle_of("translation"), ["the black cat"]) == []


def test_the_same_seed_writes_the_same_text_and_another_seed_another(bundle_of: BundleOf) -> None:
    bundle = bundle_of("generation")
    one, same, other = (continue_texts(bundle, ["K:C", ""], temperature=1.0, seed=seed) for seed in (1, 1, 5))
    assert one == same
    assert one != other


def test_each_task_needs_a_bundle_of_its_own(bundle_of: BundleOf) -> None:
    with pytest.raises(DataError, match="expected a translator, found one for generation"):
        translate_attentively(bundle_of("generation"), ["a"])
    with pytest.raises(DataError, match="expected a language model, found one for classification"):
        continue_texts(bundle_of("classification"), ["a"], temperature=1.0, seed=1)
