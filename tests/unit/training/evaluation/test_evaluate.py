"""How a bundle is scored is for the recipe to say, and what is had without a network stands beside it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from service.engine.requests import DEFAULT_LENGTH_PENALTY
from tests.unit.training.conftest import MakeRecipe
from training.data.encoding.sequences import LabelledSteps, learn_features, read_series
from training.data.examples import AnySplits, LabelledSeries, PlainText, Splits, TextPair
from training.errors import DataError
from training.evaluation.evaluate import evaluate_bundle, evaluate_variants
from training.evaluation.row_baselines import row_baselines
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.scoring.answers import LabelAnswers, LikelihoodAnswers
from training.scoring.label_scores import reading_scores
from training.settings.evaluation import EvaluationSettings

Tiny = dict[str, AnySplits]
RUN = "a" * 64


def test_bleu_is_measured_as_the_settings_say(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    bundle = draft_bundle(prepare(make_recipe("translation"), tiny_splits["translation"]), run_sha256=RUN).opened()
    settings = EvaluationSettings(beam_size=2, bleu_tokenization="none")
    method = evaluate_bundle(bundle, tiny_splits["translation"], settings=settings).score.method
    assert "|tok:none|" in method
    assert method.endswith(f"beam of 2, length penalty {DEFAULT_LENGTH_PENALTY}")


def test_a_beam_s_score_has_the_greedy_one_beside_it_and_says_how_it_is_asked_for(
    make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    splits = tiny_splits["translation"]
    bundle = draft_bundle(prepare(make_recipe("translation"), splits), run_sha256=RUN).opened()
    beam, greedy = (evaluate_bundle(bundle, splits, settings=EvaluationSettings(beam_size=size)) for size in (3, 1))
    assert [(one.name, one.value) for one in beam.further] == [("BLEU, greedy", greedy.score.value)]
    assert beam.asked == ("beam_size=3", "length_penalty=0.6")
    assert (greedy.further, greedy.asked) == ((), ())


def test_of_several_references_the_first_alone_is_scored_too(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    splits = cast("Splits[TextPair]", tiny_splits["translation"])
    bundle = draft_bundle(prepare(make_recipe("translation"), splits), run_sha256=RUN).opened()
    first, second = splits.test
    both = dataclasses.replace(splits, test=(first, second, dataclasses.replace(first, target="un altro gatto")))
    score, (alone,) = (found := evaluate_bundle(bundle, both)).score, found.further
    assert score.method.endswith("2 sentences, 1.50 references each on average")
    assert alone.name == "BLEU, first reference alone"
    assert alone.value == evaluate_bundle(bundle, splits).score.value


@pytest.mark.parametrize("task", ["classification", "translation"])
def test_texts_that_are_cut_are_asked_for_so_and_others_plainly(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str
) -> None:
    splits: Any = tiny_splits[task]
    bundle = draft_bundle(prepare(make_recipe(task, data={"max_token_count": 4}), splits), run_sha256=RUN).opened()
    assert evaluate_bundle(bundle, splits).asked == ()
    side = "source" if task == "translation" else "text"
    longer = dataclasses.replace(splits.test[0], **{side: "the the the the the"})
    others = {"longer": dataclasses.replace(splits, test=(longer,))}
    assert evaluate_bundle(bundle, others["longer"]).asked == ("truncation=TRUNCATION_KEEP_BEGINNING",)
    assert evaluate_variants(bundle, splits, others=others)["fp32"].asked == ("truncation=TRUNCATION_KEEP_BEGINNING",)


@pytest.mark.parametrize(
    ("both", "how"),
    [
        pytest.param(False, "each from the state_token of the one before", id="one"),
        pytest.param(True, "by themselves", id="both"),
    ],
)
def test_series_that_are_read_in_pieces_are_asked_for_in_pieces(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries], both: bool, how: str
) -> None:
    recipe = make_recipe("readings", data={"max_token_count": 8}, model={"bidirectional": both})
    bundle = draft_bundle(prepare(recipe, readings), run_sha256=RUN).opened()
    assert evaluate_bundle(bundle, readings).asked == (f"1 that are longer in pieces of 8, {how}",)


def test_the_series_that_come_off_worst_are_named_the_worst_first(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries]
) -> None:
    several = dataclasses.replace(readings, test=readings.training)
    bundle = draft_bundle(prepare(make_recipe("readings"), readings), run_sha256=RUN).opened()
    evaluation = evaluate_bundle(bundle, several)
    answers, failures = evaluation.answers, evaluation.failures
    assert isinstance(answers, LabelAnswers)
    shares, expected = np.split(answers.probabilities, 8), np.split(np.array(answers.expected), 8)
    alone = {
        one.name: reading_scores(shares[index], expected[index].tolist(), answers.labels)[0]
        for index, one in enumerate(several.test)
    }
    worst = sorted(alone, key=lambda name: alone[name].value)[:5]
    assert [one.text for one in failures] == worst
    assert failures[0].outcome == f"ROC-AUC {alone[worst[0]].shown}, over 20 steps"


def test_a_series_without_a_label_to_find_is_not_ranked(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries]
) -> None:
    (one,) = readings.test
    dry = dataclasses.replace(one, name="dry", labels=("dry",) * len(one.labels))
    bundle = draft_bundle(prepare(make_recipe("readings"), readings), run_sha256=RUN).opened()
    evaluation = evaluate_bundle(bundle, dataclasses.replace(readings, test=(one, dry)))
    assert [failure.text for failure in evaluation.failures] == ["j"]


def test_the_least_expected_passages_of_a_language_model_are_told(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    splits = cast("Splits[PlainText]", tiny_splits["generation"])
    odd = dataclasses.replace(splits, test=(*splits.test, PlainText("||||||||||||"), PlainText("|")))
    bundle = draft_bundle(prepare(make_recipe("generation"), splits), run_sha256=RUN).opened()
    evaluation = evaluate_bundle(bundle, odd)
    answers = evaluation.answers
    assert isinstance(answers, LikelihoodAnswers)
    bits = -answers.log_likelihoods[-2][:-1].sum() / math.log(2) / 12
    assert [(one.text, one.outcome) for one in evaluation.failures] == [
        ("||||||||||||", f"bits per character {bits:.4f}, over 12 tokens")
    ]


def test_a_long_text_is_looked_at_in_passages(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    splits = cast("Splits[PlainText]", tiny_splits["generation"])
    text = PlainText("K:C\nAAA|" * 30 + "|")
    bundle = draft_bundle(prepare(make_recipe("generation"), splits), run_sha256=RUN).opened()
    failures = evaluate_bundle(bundle, dataclasses.replace(splits, test=(text,))).failures
    assert [len(one.text) for one in failures] == [40] * 5
    assert {one.text in text.text for one in failures} == {True}


@pytest.mark.parametrize(
    ("kind", "text", "shown", "count"),
    [
        pytest.param("characters", "K:C\nABß|ßBCA|", "K:C\nABß|ßBCA|", 13, id="letters, as the corpus spells them"),
        pytest.param("whitespace", "ß K:C ß " * 5, "<unk> K:C <unk> " * 5, 15, id="words, in their places"),
    ],
)
def test_what_a_vocabulary_lacks_is_shown_and_counted(
    make_recipe: MakeRecipe, tiny_splits: Tiny, kind: str, text: str, shown: str, count: int
) -> None:
    splits = cast("Splits[PlainText]", tiny_splits["generation"])
    recipe = make_recipe("generation", tokenizers={"tokenizer": {"kind": kind}})
    bundle = draft_bundle(prepare(recipe, splits), run_sha256=RUN).opened()
    (failure,) = evaluate_bundle(bundle, dataclasses.replace(splits, test=(PlainText(text),))).failures
    assert failure.text == shown.strip()
    assert failure.outcome.endswith(f", over {count} tokens, {text.count('ß')} of them unknown to it")


def test_a_bundle_is_scored_on_further_corpora_by_their_names(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    splits = cast("Splits[TextPair]", tiny_splits["translation"])
    bundle = draft_bundle(prepare(make_recipe("translation"), splits), run_sha256=RUN).opened()
    other = dataclasses.replace(splits, test=splits.test[:1])
    further = evaluate_variants(bundle, splits, others={"captions": other})["fp32"].further
    assert [score.name for score in further] == ["BLEU on captions"]
    assert further[0].method.endswith("1 sentences")


@pytest.fixture(scope="module")
def readings(tiny_splits: Tiny) -> Splits[LabelledSeries]:
    return cast("Splits[LabelledSeries]", tiny_splits["readings"])


def no_gaps(sequences: Sequence[LabelledSteps]) -> npt.NDArray[np.bool_]:
    return np.zeros(np.concatenate([sequence.steps for sequence in sequences]).shape, bool)


def test_rows_are_judged_by_a_regression_and_by_boosting_and_a_week_of_them_by_boosting(
    readings: Splits[LabelledSeries],
) -> None:
    features = learn_features(readings.training).features
    training, test = (
        [read_series(features, series, "series") for series in part] for part in (readings.training, readings.test)
    )
    scores = row_baselines(training, test, ["dry", "rain"], gaps=(no_gaps(training), no_gaps(test)))
    names = ("ROC-AUC", "average precision", "Brier score", "calibration error")
    models = (
        "a logistic regression on the row alone",
        "gradient boosting on the row alone",
        "gradient boosting on 7 rows",
    )
    assert [score.name for score in scores] == [f"{name} of {model}" for model in models for name in names]


def test_rows_of_other_labels_than_the_bundle_s_are_refused(readings: Splits[LabelledSeries]) -> None:
    features = learn_features(readings.training).features
    series = [read_series(features, one, "series") for one in readings.training]
    with pytest.raises(DataError, match="the bundle"):
        row_baselines(series, series, ["dry", "snow"], gaps=(no_gaps(series), no_gaps(series)))


def test_boosting_is_told_what_is_missing(readings: Splits[LabelledSeries]) -> None:
    """The rain is told by a gap alone, which a mean in its place hides."""
    values = np.zeros((200, 1), np.float32)
    rain = np.arange(200) % 3 == 0
    series = LabelledSteps(values, tuple(range(200)), tuple("rain" if wet else "dry" for wet in rain))
    gap = rain[:, None]
    scores = row_baselines([series], [series], ["dry", "rain"], gaps=(gap, gap))
    found = {score.name: score.value for score in scores}
    assert found["ROC-AUC of a logistic regression on the row alone"] == 0.5
    assert found["ROC-AUC of gradient boosting on the row alone"] == 1.0


def test_a_week_of_rows_is_of_its_own_series_and_ends_with_the_row_that_is_asked_for() -> None:
    """Each series' rain follows a sign of the day before; its first day, whose sign nobody has seen, is dry."""
    random = np.random.default_rng(0)
    training: list[LabelledSteps] = []
    test: list[LabelledSteps] = []
    for number, into in enumerate([training] * 60 + [test] * 20):
        signs = random.integers(0, 2, 20)
        signs[-1] = number % 2  # what a window across the border would take for the next first day's
        wet = [False, *(signs[:-1] == 1)]
        labels = tuple("rain" if one else "dry" for one in wet)
        into.append(LabelledSteps(signs[:, None].astype(np.float32), tuple(range(20)), labels))
    scores = row_baselines(training, test, ["dry", "rain"], gaps=(no_gaps(training), no_gaps(test)))
    found = {score.name: score.value for score in scores}
    assert found["ROC-AUC of gradient boosting on the row alone"] < 0.6
    assert found["ROC-AUC of gradient boosting on 7 rows"] == 1.0


@pytest.mark.parametrize("unread", [[0], [0, 1]], ids=["one feature is never read", "none is ever read"])
def test_series_of_one_row_and_features_that_nobody_read_are_judged_all_the_same(unread: list[int]) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(100, 1, 2)).astype(np.float32)
    series = [LabelledSteps(row, (0,), ("rain" if row[0, 1] > 0 else "dry",)) for row in rows]
    gaps = np.zeros((100, 2), bool)
    gaps[:, unread] = True
    found = {score.name: score.value for score in row_baselines(series, series, ["dry", "rain"], gaps=(gaps, gaps))}
    for one in ("the row alone", "7 rows"):
        assert found[f"ROC-AUC of gradient boosting on {one}"] == (1.0 if unread == [0] else 0.5)


def test_a_labeller_of_readings_says_how_well_it_is_calibrated(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries]
) -> None:
    bundle = draft_bundle(prepare(make_recipe("readings"), readings), run_sha256=RUN).opened()
    evaluation = evaluate_bundle(bundle, readings)
    error = next(score for score in evaluation.further if score.name == "calibration error")
    assert 0 <= error.value <= 1
    assert evaluation.baseline.name == "ROC-AUC of a logistic regression on the row alone"
