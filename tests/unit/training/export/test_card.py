"""What a model card says of its data."""

import pytest

from training.data.corpora import CORPORA
from training.data.examples import LabelledText, Splits
from training.data.load import SAMPLES
from training.export import card
from training.export.origins import ORIGINS
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


def test_a_card_says_what_the_terms_of_all_data_mean_for_the_weights() -> None:
    terms = card._terms(recipe(corpus="wnut17"), [recipe(corpus="imdb-text"), recipe(corpus="sst2-text")])
    assert terms == f"{ORIGINS['wnut17'].terms}\n\n{ORIGINS['imdb'].terms}"
    own = {"format": "tsv", "text": "text", "label": "label", "training": "a", "validation": "b", "test": "c"}
    assert "own files" in card._terms(recipe(files=own), [])
