"""What a model card says of terms and limits."""

from tests.bundles import tiny_bundle
from tests.unit.training.conftest import MakeRecipe
from training.data.corpora import CORPORA
from training.data.load import SAMPLES
from training.export import card
from training.export.origins import ORIGINS, describe_terms, origin_of

NOT_TO_BE_PASSED_ON = ("imdb", "imdb-text", "multi30k", "ptb", "sst2", "weather-aus")


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


def test_nobody_is_said_to_be_silent_on_a_licence_that_is_named() -> None:
    silent = {name for name, origin in ORIGINS.items() if "Nobody has said under which licence" in origin.terms}
    assert silent
    assert {name for name in silent if not ORIGINS[name].licence.startswith("no open licence is stated")} == set()


def test_data_that_may_not_be_passed_on_is_known_and_so_is_whatever_nothing_is_known_of() -> None:
    kept = {name for name, origin in ORIGINS.items() if not origin.may_be_passed_on}
    assert kept == {name for name in ORIGINS if name.startswith(NOT_TO_BE_PASSED_ON)}
    assert not origin_of(None).may_be_passed_on
    assert not origin_of("unheard-of").may_be_passed_on


def test_the_limits_of_the_weather_say_why_nothing_reads_it_backwards() -> None:
    assert "both directions would read tomorrow" in ORIGINS["weather-aus"].limits


def test_it_is_known_how_every_corpus_is_split() -> None:
    assert [name for name, origin in ORIGINS.items() if not origin.split] == []
    assert (origin_of(None).split, origin_of("unheard-of").split) == ("", "")


def test_limits_end_with_what_the_recipe_notes_and_that_is_read_from_a_card_again(make_recipe: MakeRecipe) -> None:
    manifest, _ = tiny_bundle("classification")
    noted = make_recipe("classification", evaluation={"notes": ["Ask so.", "Not `so`."]})
    written = card.describe_recipe(noted)
    assert card.describe_limits(manifest, ["imdb"], card.notes_of(written)).endswith("\n\nAsk so.\n\nNot `so`.")
    assert card.notes_of(card.describe_recipe(make_recipe("classification"))) == []
    assert card.notes_of("") == []


def test_limits_tell_of_corpus_task_and_lengths() -> None:
    manifest, _ = tiny_bundle("classification")
    limits = card.describe_limits(manifest, ["sst2-stsa", "imdb-text"])
    assert limits.startswith(ORIGINS["sst2-stsa"].limits)
    assert "one of its 2 labels" in limits
    assert "at most 64 tokens" in limits
