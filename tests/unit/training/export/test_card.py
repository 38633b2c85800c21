"""What a model card says of its data."""

import pytest

from tests.bundles import tiny_bundle
from training.data.corpora import CORPORA
from training.data.examples import LabelledText, Splits
from training.data.load import SAMPLES
from training.export import card
from training.export.origins import ORIGINS, describe_terms
from training.settings.evaluation import EvaluationSettings
from training.settings.recipe import Recipe

GOOD, BAD, NEW = LabelledText("a", "good"), LabelledText("b", "bad"), LabelledText("c", "bad")


def recipe(**data: object) -> Recipe:
    sections = {"tokenizer": {"kind": "words"}, "model": {"cell": "lstm", "embedding_size": 8, "hidden_size": 8}}
    document = {"name": "mine", "version": 1, "task": "classification", "seed": 1, "training": {"epochs": 1}}
    return Recipe.model_validate({**document, **sections, "data": data})


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        pytest.param(Splits((GOOD,), (BAD,), (NEW,)), "no trained example is in the others", id="none"),
        pytest.param(Splits((GOOD, BAD), (BAD,), (GOOD, NEW)), "2 of the latter two are among the first", id="some"),
    ],
)
def test_a_card_tells_what_the_parts_share(splits: Splits[LabelledText], message: str) -> None:
    assert message in card._data(recipe(corpus="sst2-stsa"), splits)


def test_a_card_tells_whose_files_they_are() -> None:
    parts = {"training": "a", "validation": "b", "test": "c"}
    own = recipe(files={"format": "tsv", "text": "text", "label": "label", **parts})
    assert "The files that the recipe below describes" in card._data(own, Splits((GOOD,), (BAD,), (NEW,)))


def test_a_card_cites_what_others_report() -> None:
    reported = EvaluationSettings(reported=["87.5 %: Tai et al. 2015"])
    cited = recipe(corpus="sst2-stsa").model_copy(update={"evaluation": reported})
    assert card._reported(cited).endswith("not checked here:\n\n- 87.5 %: Tai et al. 2015")
    assert card._reported(recipe(corpus="sst2-stsa")) == ""


def test_the_licence_of_every_corpus_is_known() -> None:
    assert set(ORIGINS) == {*SAMPLES, *CORPORA}


def test_a_card_names_each_licence_and_credit_once_and_what_all_terms_mean_for_the_weights() -> None:
    wnut, imdb = ORIGINS["wnut17"], ORIGINS["imdb-text"]
    assert describe_terms(["wnut17", "imdb-text", "wnut17"]) == (
        f"- `wnut17`: licence: {wnut.licence}. Credit: {wnut.credit}.\n"
        f"- `imdb-text`: licence: {imdb.licence}. Credit: {imdb.credit}.\n\n{wnut.terms}\n\n{imdb.terms}"
    )
    assert describe_terms(["imdb-text", "sst2-text"]).count(imdb.terms) == 1
    assert "own files" in describe_terms([None])


def test_every_corpus_has_a_credit_and_says_what_its_terms_mean() -> None:
    assert [name for name, origin in ORIGINS.items() if not (origin.licence and origin.credit and origin.terms)] == []


def test_limits_tell_of_corpus_task_and_lengths() -> None:
    manifest, _ = tiny_bundle("classification")
    limits = card.describe_limits(manifest, ["sst2-stsa", "imdb-text"])
    assert limits.startswith(ORIGINS["sst2-stsa"].limits)
    assert "one of its 2 labels" in limits
    assert "at most 64 tokens" in limits
