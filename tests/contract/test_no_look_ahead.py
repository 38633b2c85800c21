"""Rain tomorrow is told from today and the days before: the day after, which holds the answer, changes nothing."""

from typing import cast

import numpy as np

from service.bundle.store import open_bundle
from service.runtime.models import LabellerModel, load_model
from tests.published import newest_published
from tests.trained import ROOT
from training.data.examples import FeatureColumn, LabelledSeries, Splits
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe, load_recipe

DAYS, CHANGED = 30, 17
FEATURES = ("Humidity3pm", "Pressure3pm", "RainToday")


def weather() -> Splits[LabelledSeries]:
    """A station where it rains on every third day."""
    rows = tuple((60.0 + day % 5, 1010.0 - day % 7, float(day % 3 == 0)) for day in range(DAYS))
    labels = tuple("Yes" if day % 3 == 2 else "No" for day in range(DAYS))
    columns = tuple(FeatureColumn(name, "1") for name in FEATURES)
    series = (LabelledSeries(rows, labels, "Albury", columns),)
    return Splits(series, series, series)


def answers(recipe: Recipe, *, changed: bool) -> np.ndarray:
    """As `logits_of`, of a new model."""
    model = load_model(draft_bundle(prepare(recipe, weather()), run_sha256="a" * 64).opened())
    return logits_of(cast("LabellerModel", model), changed=changed)


def logits_of(model: LabellerModel, *, changed: bool) -> np.ndarray:
    """Logits [days, labels] of random days; where `changed`, one day is all different."""
    count = len(model.spec.input.features)  # type: ignore[union-attr]  # it reads numbers
    days = np.random.default_rng(7).standard_normal((1, DAYS, count)).astype(np.float32)
    if changed:
        days[0, CHANGED] += 5.0
    logits: np.ndarray = model.label(days, np.array([DAYS], dtype=np.int64))[0]
    return logits


def rain_recipe(*, bidirectional: bool) -> Recipe:
    """The project's own, with another direction where that is asked for."""
    recipe = load_recipe(ROOT / "training/recipes/rain-tomorrow.toml")
    assert not recipe.model.bidirectional
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"bidirectional": bidirectional})})


def test_another_tomorrow_leaves_the_answer_of_today_as_it_is_bit_for_bit() -> None:
    before, after = (answers(rain_recipe(bidirectional=False), changed=changed) for changed in (False, True))
    assert before[:CHANGED].tobytes() == after[:CHANGED].tobytes()
    assert not np.array_equal(before[CHANGED], after[CHANGED])


def test_the_published_model_does_not_look_ahead_either() -> None:
    model = cast("LabellerModel", load_model(open_bundle(newest_published("rain-tomorrow"))))
    before, after = (logits_of(model, changed=changed) for changed in (False, True))
    assert before[:CHANGED].tobytes() == after[:CHANGED].tobytes()
    assert not np.array_equal(before[CHANGED], after[CHANGED])


def test_both_directions_would_read_the_answer() -> None:
    before, after = (answers(rain_recipe(bidirectional=True), changed=changed) for changed in (False, True))
    assert not np.array_equal(before[CHANGED - 1], after[CHANGED - 1])
