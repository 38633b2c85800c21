"""How a bundle is scored is for the recipe to say, and what is had without a network stands beside it."""

import dataclasses
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from service.engine.requests import DEFAULT_LENGTH_PENALTY
from tests.unit.training.conftest import MakeRecipe
from training.data.encoding.sequences import LabelledSteps, learn_features, read_series
from training.data.examples import AnySplits, LabelledSeries, Splits, TextPair
from training.errors import DataError
from training.evaluation.evaluate import evaluate_bundle, evaluate_variants
from training.evaluation.row_baselines import row_baselines
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.settings.evaluation import EvaluationSettings

Tiny = dict[str, AnySplits]
RUN = "a" * 64


def test_bleu_is_measured_as_the_settings_say(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    bundle = draft_bundle(prepare(make_recipe("translation"), tiny_splits["translation"]), run_sha256=RUN).opened()
    settings = EvaluationSettings(beam_size=2, bleu_tokenization="none")
    method = evaluate_bundle(bundle, tiny_splits["translation"], settings=settings).score.method
    assert "|tok:none|" in method
    assert method.endswith(f"beam of 2, length penalty {DEFAULT_LENGTH_PENALTY}")


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


def test_rows_alone_are_judged_by_a_regression_and_by_boosting(readings: Splits[LabelledSeries]) -> None:
    features = learn_features(readings.training).features
    training, test = (
        [read_series(features, series, "series") for series in part] for part in (readings.training, readings.test)
    )
    scores = row_baselines(training, test, ["dry", "rain"], gaps=(no_gaps(training), no_gaps(test)))
    names = ("ROC-AUC", "average precision", "Brier score", "calibration error")
    models = ("a logistic regression", "gradient boosting")
    assert [score.name for score in scores] == [
        f"{name} of {model} on the row alone" for model in models for name in names
    ]


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


def test_a_labeller_of_readings_says_how_well_it_is_calibrated(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries]
) -> None:
    bundle = draft_bundle(prepare(make_recipe("readings"), readings), run_sha256=RUN).opened()
    evaluation = evaluate_bundle(bundle, readings)
    error = next(score for score in evaluation.further if score.name == "calibration error")
    assert 0 <= error.value <= 1
    assert evaluation.baseline.name == "ROC-AUC of a logistic regression on the row alone"
