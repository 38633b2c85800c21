"""What the recipes must reach on examples that were never trained, and that a run on broken answers does not.

Shortened runs: the published models train for longer. Scores are measured on the bundle, as it would ship.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.progress import Progress

from service.engine.offline import decode_all
from service.engine.rows import TranslationRows
from service.runtime.models import TranslationModel, load_model
from service.text.tokenizer import Tokenizer
from training.evaluation.evaluate import evaluate_bundle
from training.export.bundle import Draft, draft_bundle
from training.pipeline import open_run, train_run
from training.scoring.scores import Evaluation
from training.settings.recipe import Recipe, load_recipe

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
LECTURE = ("The black dog jumped over the cat", "Il cane nero saltò sopra il gatto")


def shortened(name: str, *, epochs: int, **data: object) -> Recipe:
    """A recipe with fewer epochs and changes to its [data]."""
    recipe = load_recipe(RECIPES / f"{name}.toml")
    training = recipe.training.model_copy(update={"epochs": epochs})
    return recipe.model_copy(update={"training": training, "data": recipe.data.model_copy(update=data)})


def trained(recipe: Recipe, folder: Path) -> tuple[Draft, Evaluation]:
    """Train, export, prove and measure, as `python -m training train` does."""
    data_folder = os.environ.get("SEQSERVE_DATA")
    run = open_run(recipe, runs=folder, data_folder=Path(data_folder) if data_folder else None, files_folder=folder)
    with Progress(disable=True) as progress:
        task, _ = train_run(run, progress)
    draft = draft_bundle(task, run_sha256=run.sha256)
    return draft, evaluate_bundle(draft.opened(), run.splits)


def translate(draft: Draft, text: str) -> str:
    bundle = draft.opened()
    model = load_model(bundle)
    assert isinstance(model, TranslationModel)
    source, target = model.spec.source, model.spec.target
    ids = Tokenizer.from_bytes(bundle.files[source.tokenizer]).encode(text)
    (produced,) = decode_all(TranslationRows(model), [ids], max_output_token_count=model.spec.max_output_token_count)
    return Tokenizer.from_bytes(bundle.files[target.tokenizer]).decode(produced)


def is_accurate(evaluation: Evaluation) -> bool:
    return evaluation.score.value >= 90


def finds_95_percent_of_spans(evaluation: Evaluation) -> bool:
    return evaluation.score.name == "span F1" and evaluation.score.value >= 95


def ranks_rain_better_than_today_alone(evaluation: Evaluation) -> bool:
    return evaluation.score.name == "ROC-AUC" and evaluation.score.value >= max(0.95, evaluation.baseline.value + 0.1)


def knows_whom_the_clue_means(evaluation: Evaluation) -> bool:
    return evaluation.score.value >= 95


def has_bleu_80(evaluation: Evaluation) -> bool:
    return evaluation.score.value >= 80


def is_below_a_trigram(evaluation: Evaluation) -> bool:
    return evaluation.score.value < evaluation.baseline.value


SAMPLES = [
    pytest.param("sample-sentiment", is_accurate, 4, 4, id="sentiment"),
    pytest.param("sample-melody", is_below_a_trigram, 2, 2, id="melody"),
    pytest.param("sample-tags", finds_95_percent_of_spans, 4, 4, id="tags"),
    pytest.param("sample-rain", ranks_rain_better_than_today_alone, 12, 4, id="rain"),
    pytest.param("sample-clue", knows_whom_the_clue_means, 2, 2, id="clue"),
    pytest.param("sample-en-it", has_bleu_80, 5, 3, id="en-it"),
]


@pytest.mark.training
@pytest.mark.parametrize(("name", "reaches_floor", "epochs", "control_epochs"), SAMPLES)
def test_a_sample_recipe_reaches_its_floor(
    name: str, reaches_floor: Callable[[Evaluation], bool], epochs: int, control_epochs: int, tmp_path: Path
) -> None:
    draft, evaluation = trained(shortened(name, epochs=epochs), tmp_path)
    assert reaches_floor(evaluation), f"{evaluation.score}; {evaluation.baseline}"
    if name == "sample-en-it":
        assert translate(draft, LECTURE[0]) == LECTURE[1]


@pytest.mark.training
@pytest.mark.parametrize(("name", "reaches_floor", "epochs", "control_epochs"), SAMPLES)
def test_the_same_recipe_on_broken_answers_does_not(
    name: str, reaches_floor: Callable[[Evaluation], bool], epochs: int, control_epochs: int, tmp_path: Path
) -> None:
    """The negative control. One that reaches the floor would mean that the floor shows nothing."""
    _, evaluation = trained(shortened(name, epochs=control_epochs, shuffle_labels=True), tmp_path)
    assert not reaches_floor(evaluation), f"{evaluation.score}; {evaluation.baseline}"


CHANCE = 50.0
"""Of two labels, each of them half of the answers."""


def near_chance(evaluation: Evaluation, count: int) -> bool:
    """Whether a coin is as good, within three standard deviations of what it would get."""
    return abs(evaluation.score.value - CHANCE) <= 3 * CHANCE / math.sqrt(count)


@pytest.mark.training
def test_a_clue_that_comes_later_is_used_by_both_directions_and_lost_on_one(tmp_path: Path) -> None:
    """The lecture's "He needs to work harder, Pavlos said about Srivatsan"; the pronoun alone is scored."""
    reached = {}
    for name in ("sample-clue", "sample-clue-one-direction"):
        _, evaluation = trained(shortened(name, epochs=3), tmp_path)
        assert evaluation.score.method == "percent of 600 words", "the pronoun of each test sentence"
        reached[name] = evaluation
    assert knows_whom_the_clue_means(reached["sample-clue"]), reached
    assert near_chance(reached["sample-clue-one-direction"], 600), reached


def test_the_two_clue_recipes_differ_in_their_direction_alone() -> None:
    both, one = (load_recipe(RECIPES / f"{name}.toml") for name in ("sample-clue", "sample-clue-one-direction"))
    assert one == both.model_copy(
        update={"name": one.name, "model": both.model.model_copy(update={"bidirectional": False})}
    )


needs_data = pytest.mark.skipif("SEQSERVE_DATA" not in os.environ, reason="SEQSERVE_DATA names no folder of corpora")


@pytest.mark.data
@needs_data
def test_one_epoch_of_phrases_of_sst2_beats_the_commonest_label(tmp_path: Path) -> None:
    _, evaluation = trained(shortened("sst2-phrases", epochs=1, max_examples=6_000), tmp_path)
    assert evaluation.score.value > evaluation.baseline.value, f"{evaluation.score}; {evaluation.baseline}"


def few_steps(name: str, **data: object) -> Recipe:
    """One epoch on one thread, over as many examples as `data` says."""
    recipe = shortened(name, epochs=1, **data)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"threads": 1})})


@pytest.mark.data
@needs_data
def test_a_few_steps_of_tagging_real_sentences_are_scored_word_by_word(tmp_path: Path) -> None:
    draft, evaluation = trained(few_steps("pos-tags", max_examples=1000), tmp_path)
    assert evaluation.score.name == "accuracy"
    assert evaluation.score.method == "percent of 25094 words"
    assert evaluation.score.value > 20
    assert evaluation.baseline.value > 80
    assert len(draft.manifest.spec.labels) == 17  # type: ignore[union-attr]


@pytest.mark.data
@needs_data
def test_a_few_steps_of_tagging_real_names_are_scored_by_spans(tmp_path: Path) -> None:
    recipe = few_steps("names-in-posts", max_examples=500)
    alone = {"pretraining": None, "tokenizer": load_recipe(RECIPES / "pos-tags.toml").tokenizer}
    draft, evaluation = trained(recipe.model_copy(update=alone), tmp_path)
    assert evaluation.score.name == "span F1"
    assert draft.manifest.spec.scheme == "bio"  # type: ignore[union-attr]
    assert len(draft.manifest.spec.labels) == 13  # type: ignore[union-attr]


@pytest.mark.data
@needs_data
def test_one_epoch_of_real_weather_reads_stations_whole_and_ranks_rain(tmp_path: Path) -> None:
    draft, evaluation = trained(few_steps("rain-tomorrow"), tmp_path)
    assert evaluation.score.name == "ROC-AUC"
    assert evaluation.score.value > 0.8
    assert {score.name for score in evaluation.further} >= {"average precision", "Brier score", "log loss"}
    assert draft.manifest.spec.state_size is not None


@pytest.mark.data
@needs_data
def test_one_epoch_of_en_it_beats_copying_the_source(tmp_path: Path) -> None:
    """One epoch over the whole corpus, by a narrower model in larger batches: about five minutes on one core."""
    recipe = shortened("en-it-first", epochs=1)
    model = recipe.model.model_copy(update={"embedding_size": 64, "hidden_size": 96})
    training = recipe.training.model_copy(update={"batch_tokens": 4096, "threads": 1})
    _, evaluation = trained(recipe.model_copy(update={"model": model, "training": training}), tmp_path)
    assert evaluation.score.value > evaluation.baseline.value, f"{evaluation.score}; {evaluation.baseline}"
