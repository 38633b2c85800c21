"""What a model card says of a run: its data, its training, its scores and what went wrong."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.bundles import tiny_bundle
from tests.run_record import run_record
from tests.unit.training.conftest import MakeRecipe
from training.data.examples import AnySplits, LabelledText, PlainText, Splits
from training.export.origins import ORIGINS
from training.export.sections.data import describe_data, describe_parts, reword_data
from training.export.sections.record import left_out_count
from training.export.sections.scores import (
    OtherRun,
    describe_confusion,
    describe_failures,
    describe_reported,
    describe_scores,
)
from training.export.sections.training import describe_training
from training.preparation.prepare import prepare
from training.preparation.provenance import OWN_RECIPES
from training.run.checkpoint import Beginning
from training.scoring.answers import LabelAnswers
from training.scoring.scores import Evaluation, Failure, Score
from training.settings.evaluation import EvaluationSettings
from training.settings.recipe import Recipe, load_recipe

GOOD, BAD, NEW = LabelledText("a", "good"), LabelledText("b", "bad"), LabelledText("c", "bad")
THREE = Splits((GOOD,), (BAD,), (NEW,))
SCORE = Score("accuracy", 50.0, "percent of 2 texts")
CONDITIONS = {"device": "CPU", "threads": "2", "torch": "2.13.0+cpu"}

Tiny = Mapping[str, AnySplits]


def recipe(name: str = "mine", **data: object) -> Recipe:
    sections = {"tokenizer": {"kind": "words"}, "model": {"cell": "lstm", "embedding_size": 8, "hidden_size": 8}}
    document = {"name": name, "version": 1, "task": "classification", "seed": 7, "training": {"epochs": 1}}
    return Recipe.model_validate({**document, **sections, "data": data or {"corpus": "sst2-stsa"}})


def answers(labels: str, expected: str, predicted: str, unit: str = "text") -> LabelAnswers:
    shares = np.zeros((len(expected), len(labels)))
    return LabelAnswers(unit, tuple(labels), tuple(expected), tuple(expected), tuple(predicted), shares)


def evaluation(*failures: Failure, given: LabelAnswers | None = None, asked: tuple[str, ...] = ()) -> Evaluation:
    return Evaluation(SCORE, SCORE, failures, given or answers("ab", "ab", "aa"), asked=asked)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        pytest.param(THREE, "no validation or test example stands in training, too", id="none"),
        pytest.param(
            Splits((GOOD, BAD), (BAD,), (GOOD, NEW)),
            "2 of the validation and test examples also stand in training",
            id="some",
        ),
    ],
)
def test_a_card_tells_what_the_parts_share(splits: Splits[LabelledText], message: str) -> None:
    assert message in describe_data(run_record(recipe(), splits))


def test_of_tunes_a_card_counts_those_of_the_test_whose_notes_were_trained_on() -> None:
    trained, moved = PlainText("M:2/4\nK:G\nGABc|d4|"), PlainText("M:4/4\nK:G\nGABcd8|")
    other = PlainText("M:2/4\nK:G\nEEEE|")
    line = describe_parts(Splits((trained,), (), (moved, other)))
    assert line == (
        "- Training / validation / test examples: 1 / 0 / 2; no validation or test example stands in "
        "training, too; near a training tune are, of the 2 of test, 1 (the same notes of a tune, letters alone) and 1 "
        "(the same first 16 notes of a tune, letters alone)"
    )
    assert "tune" not in describe_parts(Splits((PlainText("prose"),), (), (PlainText("more"),)))


def test_a_card_tells_how_each_corpus_is_split_and_says_nothing_twice() -> None:
    lines = describe_data(run_record(recipe(corpus="weather-aus"), THREE)).splitlines()
    assert lines[1] == f"- Split of `weather-aus`: {ORIGINS['weather-aus'].split}"
    first, begun = recipe(corpus="manythings-ita-eng-more"), recipe(corpus="manythings-ita-eng")
    record = run_record(first, THREE)
    again = replace(record, pretraining=[(begun, record.checkpoint), (recipe(corpus="imdb"), record.checkpoint)])
    assert [line.partition(": ")[0] for line in describe_data(again).splitlines() if "Split of" in line] == [
        "- Split of `manythings-ita-eng-more`",
        "- Split of `imdb`",
    ]


def test_what_a_section_says_of_corpora_is_worded_anew() -> None:
    record = run_record(recipe(corpus="imdb"), THREE)
    text = describe_data(replace(record, pretraining=[(recipe(corpus="imdb-text"), record.checkpoint)]))
    older = text.replace(ORIGINS["imdb"].what, "old words").replace("- Split of `imdb`: ", "- Split of `imdb`: once ")
    assert reword_data(older) == text
    unsplit = "".join(line for line in text.splitlines(keepends=True) if "Split of" not in line)
    assert reword_data(unsplit) == text


def test_a_card_tells_whose_files_they_are() -> None:
    parts = {"training": "a", "validation": "b", "test": "c"}
    own = recipe(files={"format": "tsv", "text": "text", "label": "label", **parts})
    text = describe_data(run_record(own, THREE))
    assert "The files that the recipe below describes" in text
    assert "Split of" not in text
    assert reword_data(text) == text


def test_a_card_tells_how_many_examples_were_drawn_and_how_many_of_them_were_left_out() -> None:
    splits = Splits((GOOD, BAD, NEW), (), ())
    whole = replace(run_record(recipe(corpus="imdb", max_token_count=9), splits), left_out=1)
    assert "\n- Of 3 training examples, 1 were left out as too long or empty (`max_token_count` 9)\n" in describe_data(
        whole
    )
    drawn = describe_data(replace(run_record(recipe(corpus="imdb", max_examples=2), splits), left_out=1))
    assert "\n- Of the training examples 2 were drawn (`max_examples`)\n- Of 2 training examples, 1 were left" in drawn
    assert "left out" not in describe_data(run_record(recipe(), splits))


@pytest.mark.parametrize(
    ("task", "limit", "count"),
    [
        pytest.param("classification", 4, 1, id="classification"),
        pytest.param("classification", 5, 0, id="classification, not longer than the limit"),
        pytest.param("generation", 8, 12, id="generation"),
        pytest.param("labelling", 4, 8, id="words"),
        pytest.param("readings", 4, 0, id="readings, which come in windows"),
        pytest.param("translation", 4, 1, id="translation, the end counts"),
    ],
)
def test_examples_that_are_too_long_are_counted(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str, limit: int, count: int
) -> None:
    splits: Any = tiny_splits[task]
    first, *others = splits.training
    side = {"classification": "text", "translation": "source"}.get(task)
    longer = replace(first, **{side: f"the {getattr(first, side)}"}) if side else first
    splits = replace(splits, training=(longer, *others))
    assert left_out_count(prepare(make_recipe(task, data={"max_token_count": limit}), splits), splits) == count


def test_what_was_not_drawn_is_not_left_out(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    splits = tiny_splits["classification"]
    drawn = make_recipe("classification", data={"max_examples": 5})
    assert left_out_count(prepare(drawn, splits), splits) == 0


def test_of_series_and_sentences_a_card_counts_the_labels_too(tiny_splits: Tiny) -> None:
    assert "\n- Labelled steps of these: 160 / 20 / 20\n" in describe_data(
        run_record(recipe(), tiny_splits["readings"])
    )
    assert "\n- Labelled words of these: " in describe_data(run_record(recipe(), tiny_splits["labelling"]))
    assert "Labelled" not in describe_data(run_record(recipe(), THREE))


def test_a_card_tells_when_and_on_what_a_run_was_trained_and_apart_from_that_when_it_was_exported() -> None:
    manifest, _ = tiny_bundle("classification")
    record = run_record(recipe(), THREE)
    begun = Beginning("2025-12-31T03:04:05Z", "abc123", "a machine with 2 cores")
    known = replace(record, checkpoint=replace(record.checkpoint, conditions=CONDITIONS, beginning=begun))
    text = describe_training(manifest, known)
    assert (
        "\n- Trained on 2025-12-31T03:04:05Z at commit abc123, on a machine with 2 cores, 2 threads, float32, PyTorch "
        "2.13.0+cpu\n"
    ) in text
    assert f"\n- Exported on {manifest.created_time} at commit " in text
    assert text.count(manifest.created_time) == 1


def test_a_card_tells_what_makes_its_bundle_anew_with_another_seed_too() -> None:
    manifest, _ = tiny_bundle("classification")
    own = load_recipe(OWN_RECIPES / "sample-clue.toml")
    command = "- Command `python -m training train training/recipes/sample-clue.toml"
    for seed, rest in ((own.seed, "`"), (own.seed + 1, f" --seed {own.seed + 1} --models ELSEWHERE`")):
        seeded = own.model_copy(update={"seed": seed})
        assert command + rest in describe_training(manifest, run_record(seeded, THREE))


@pytest.mark.parametrize(
    ("conditions", "line"),
    [
        pytest.param(
            CONDITIONS, "on (machine not recorded), 2 threads, float32, PyTorch 2.13.0+cpu", id="only conditions"
        ),
        pytest.param(
            CONDITIONS | {"device": "NVIDIA H100", "threads": "1"},
            "on NVIDIA H100, 1 thread, float32, PyTorch 2.13.0+cpu",
            id="a GPU is known by its name",
        ),
        pytest.param(
            {}, "on (machine not recorded), threads not recorded, float32, PyTorch not recorded", id="nothing"
        ),
    ],
)
def test_what_an_older_checkpoint_does_not_know_is_not_made_up(conditions: dict[str, str], line: str) -> None:
    manifest, _ = tiny_bundle("classification")
    record = run_record(recipe(), THREE)
    older = replace(record, checkpoint=replace(record.checkpoint, conditions=conditions))
    expected = f"\n- Trained on (date not recorded) at commit (not recorded), {line}\n"
    assert expected in describe_training(manifest, older)


def test_a_card_cites_what_others_report() -> None:
    cited = recipe().model_copy(update={"evaluation": EvaluationSettings(reported=["87.5 %: Tai et al. 2015"])})
    assert describe_reported(cited).endswith("not checked here:\n\n- 87.5 %: Tai et al. 2015")
    assert describe_reported(recipe()) == ""


def test_a_card_says_how_to_ask_for_what_was_measured_and_nothing_where_plain_calls_give_it() -> None:
    fields = ("beam_size=5", "length_penalty=0.6")
    assert "\n\nAsked so: beam_size=5, length_penalty=0.6.\n\n" in describe_scores(
        recipe(), {"int8": evaluation(asked=fields)}
    )
    assert "Asked so" not in describe_scores(recipe(), {"int8": evaluation()})


def test_a_card_says_that_it_is_of_one_run_and_where_other_runs_of_a_project_s_recipe_are_listed() -> None:
    assert "\n\nOne run, seed 7.\n\n" in describe_scores(recipe(), {"int8": evaluation()})
    version = load_recipe(OWN_RECIPES / "pos-tags.toml").version
    own = describe_scores(recipe("pos-tags").model_copy(update={"version": version}), {"int8": evaluation()})
    assert (
        "\n\nOne run, seed 7; whether others are on record, and how far they spread, is in the project's "
        "docs/models.md.\n\n"
    ) in own


def test_a_card_has_mean_and_deviation_over_the_seeds_that_are_on_record() -> None:
    own = replace(evaluation(), further=(Score("log loss", 0.25, "nats", decimals=4), Score("new", 1.0, "of late")))
    others = [
        OtherRun(3, {"accuracy": "52.00", "log loss": "0.2700"}),
        OtherRun(1, {"accuracy": "51.00", "log loss": "0.23"}),
    ]
    told = describe_scores(recipe(), {"int8": own}, others)
    assert (
        "\n\nRun 3 times, with seeds 1, 3 and 7; this is seed 7. Mean and standard deviation of the default variants "
        "over these runs: accuracy 51.00 ± 1.00, log loss 0.2500 ± 0.0200.\n\n"
    ) in told


def test_a_card_says_that_nobody_ran_another_seed_where_that_was_looked_up() -> None:
    told = describe_scores(recipe("pos-tags"), {"int8": evaluation()}, ())
    assert "\n\nOne run, seed 7; no other seed of it is on record.\n\n" in told


def test_a_classifier_s_card_shows_which_labels_it_gave_in_place_of_which() -> None:
    given = answers("ab", "aabz", "abba")
    table = describe_confusion(evaluation(given=given)).partition("\n\n")[2]
    assert table.splitlines()[1:] == [
        "|---|---|---|---|",
        "| a | 1 | 1 | 0 |",
        "| b | 0 | 1 | 0 |",
        "| z | 1 | 0 | 0 |",
    ]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(answers("abcdefghijklmnopqrstu", "ab", "ab"), id="21 labels"),
        pytest.param(answers("ab", "ab", "ab", unit="word"), id="words"),
    ],
)
def test_no_page_is_filled_with_labels(given: LabelAnswers) -> None:
    assert describe_confusion(evaluation(given=given)) == ""


def test_what_may_not_be_passed_on_is_quoted_in_a_few_words() -> None:
    failure = Failure("two dogs are running over grass", "zwei hunde", "zwei katzen rennen über das gras")
    assert describe_failures(recipe(corpus="multi30k-en-de"), evaluation(failure)).endswith(
        "\n- 'two dogs are running over …': answered 'zwei hunde'; a right one is 'zwei katzen rennen über das …'"
    )
    assert describe_failures(recipe(corpus="manythings-ita-eng"), evaluation(failure)).endswith(
        "\n- 'two dogs are running over grass': answered 'zwei hunde'; a right one is "
        "'zwei katzen rennen über das gras'"
    )


@pytest.mark.parametrize(
    ("answer", "right", "told"),
    [
        pytest.param(
            "a b c d x f", "a b c d e f", "answered '… c d x f'; a right one is '… c d e f'", id="in the middle"
        ),
        pytest.param("a b c", "a b c d", "answered '… b c'; a right one is '… b c d'", id="too short"),
        pytest.param("a b c d e", "a b c", "answered '… b c d e'; a right one is '… b c'", id="too long"),
        pytest.param("a b x", "a b c", "answered 'a b x'; a right one is 'a b c'", id="soon"),
        pytest.param("", "a b", "answered ''; a right one is 'a b'", id="nothing"),
    ],
)
def test_two_texts_are_shown_from_shortly_before_they_differ(answer: str, right: str, told: str) -> None:
    lines = describe_failures(recipe(corpus="manythings-ita-eng"), evaluation(Failure("s", answer, right)))
    assert lines.endswith(f"\n- 's': {told}")


def test_of_what_may_not_be_passed_on_few_words_are_shown_around_the_difference() -> None:
    failure = Failure("s", "a b c d x f g h i", "a b c d e f g h i")
    lines = describe_failures(recipe(corpus="multi30k-en-de"), evaluation(failure))
    assert lines.endswith("answered '… c d x f g h i'; a right one is '… c d e f g …'")


def test_what_is_short_is_quoted_whole_and_a_long_text_never() -> None:
    brief, long = Failure("Abe", "Hobart"), Failure("word " * 40, "answered good; right is bad")
    lines = describe_failures(recipe(corpus="names"), evaluation(brief, long)).splitlines()[-2:]
    assert lines[0] == "- 'Abe': Hobart"
    assert len(lines[1]) < 120
    assert " …': answered good; right is bad" in lines[1]


def test_a_card_of_a_model_without_fault_says_so() -> None:
    assert describe_failures(recipe(), evaluation()) == "None was singled out."
