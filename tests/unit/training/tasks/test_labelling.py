"""Labelling as a task: what is learnt from what, what is left out, cut and refused, and how a bundle is scored."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from rich.progress import Progress

from service.bundle.manifest import FeatureInput, Labelling, WordInput
from service.runtime.golden import Array
from service.runtime.models import LabellerModel, load_model
from training.data.examples import AnySplits, LabelledSeries, Origin, Splits, TaggedTokens
from training.errors import DataError, RecipeError
from training.evaluation.evaluate import evaluate_bundle
from training.evaluation.labelling import evaluate_series
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare
from training.run.loop import train
from training.settings.recipe import Recipe
from training.tasks.base import Text
from training.tasks.labelling import LabellingTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]


@pytest.fixture
def words(tiny_splits: Tiny) -> Splits[TaggedTokens]:
    return cast("Splits[TaggedTokens]", tiny_splits["labelling"])


@pytest.fixture
def readings(tiny_splits: Tiny) -> Splits[LabelledSeries]:
    return cast("Splits[LabelledSeries]", tiny_splits["readings"])


def prepared(recipe: Recipe, splits: AnySplits) -> LabellingTask:
    task = prepare(recipe, splits)
    assert isinstance(task, LabellingTask)
    return task


def trained(recipe: Recipe, splits: AnySplits, folder: object) -> LabellingTask:
    task = prepared(recipe, splits)
    with Progress(disable=True) as progress:
        train(task, folder, run_sha256="a" * 64, progress=progress)  # type: ignore[arg-type]
    return task


def test_labels_stand_at_the_words_they_belong_to(make_recipe: MakeRecipe, words: Splits[TaggedTokens]) -> None:
    task = prepared(make_recipe("labelling"), words)
    assert isinstance(task.reads, Text)
    assert (task.labels, task.scheme) == (("B-LOC", "B-PER", "I-PER", "O"), "bio")
    for sequence, label_ids, example in zip(task.sequences, task.label_ids, words.training, strict=True):
        assert task.reads.tokenizer.tokens(list(map(int, sequence))) == list(example.tokens)
        assert tuple(task.labels[index] for index in label_ids) == example.tags


def test_only_the_last_token_of_a_word_is_in_the_loss(make_recipe: MakeRecipe) -> None:
    splits = Splits((TaggedTokens(("a-b", "c"), ("X", "Y")),), (TaggedTokens(("c",), ("Y",)),), ())
    recipe = make_recipe("labelling").model_copy(update={"tokenizer": make_recipe("generation").tokenizer})
    task = prepared(recipe, splits)
    assert task.label_ids == [[-100, -100, 0, 1]]
    (batch,) = task.batches(1)
    assert task.loss(batch).count == 2
    first = prepared(make_recipe("labelling", labelling={"label_position": "first"}), splits)
    assert first.label_ids[0][0] == 0


def test_steps_without_a_label_are_neither_learnt_nor_scored(make_recipe: MakeRecipe) -> None:
    clue = TaggedTokens(("he", "sings"), ("X", "_"))
    other = TaggedTokens(("she", "sings"), ("Y", "_"))
    nothing = TaggedTokens(("it", "rains"), ("_", "_"))
    splits = Splits((clue, other, nothing), (clue, nothing), (other, clue))
    task = prepared(make_recipe("labelling"), splits)
    assert task.labels == ("X", "Y")
    assert [task.loss(batch).count for batch in task.batches(1)] == [2]
    evaluation = evaluate_bundle(draft_bundle(task, run_sha256="a" * 64).opened(), splits)
    assert evaluation.score.method == "percent of 2 words"
    assert evaluation.baseline.value == 100.0


def test_the_loss_is_a_sum_over_labelled_steps_whatever_the_batches(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries]
) -> None:
    sums = []
    for batch_tokens in (1, 1000):
        task = prepared(make_recipe("readings", training={"batch_tokens": batch_tokens}), readings)
        task.model.eval()
        with torch.no_grad():
            losses = [task.loss(batch) for batch in task.batches(1)]
        sums.append((sum(loss.count for loss in losses), sum(loss.total.item() for loss in losses)))
    assert sums[0][0] == sums[1][0] == 160
    assert sums[0][1] == pytest.approx(sums[1][1], rel=1e-5)


def test_part_of_a_batch_costs_its_part(make_recipe: MakeRecipe, words: Splits[TaggedTokens]) -> None:
    task = prepared(make_recipe("labelling", training={"batch_tokens": 1000}), words)
    task.model.eval()
    (batch,) = task.batches(1)
    with torch.no_grad():
        whole, *parts = (task.loss(part) for part in (batch, batch.rows(slice(0, 1)), batch.rows(slice(1, None))))
    assert whole.count == sum(part.count for part in parts)
    assert whole.total.item() == pytest.approx(sum(part.total.item() for part in parts), rel=1e-5)


def test_long_series_are_cut_into_windows_and_never_left_out(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries], caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe("readings", data={"max_token_count": 10}, labelling={"window_length": 8})
    with caplog.at_level(logging.WARNING):
        task = prepared(recipe, readings)
    assert [len(window) for window in task.sequences] == [8, 8, 4] * 8
    assert len(task.validation[0].steps) == 20
    assert not caplog.records


@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_direction_reads_a_series_whole_and_both_read_what_the_service_takes(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries], bidirectional: bool
) -> None:
    recipe = make_recipe("readings", data={"max_token_count": 8}, model={"bidirectional": bidirectional})
    task = prepared(recipe, readings)
    model = load_model(draft_bundle(task, run_sha256="a" * 64).opened())
    assert isinstance(model, LabellerModel)
    seen: list[int] = []

    class Watched(LabellerModel):
        def label(self, steps: Array, lengths: Array) -> Array:
            seen.extend(lengths.tolist())
            return super().label(steps, lengths)

    evaluate_series(Watched(**vars(model)), readings)
    assert sorted(seen) == ([4, 8, 8] if bidirectional else [20])


def test_long_sentences_are_left_out_of_training_and_told(
    make_recipe: MakeRecipe, words: Splits[TaggedTokens], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        task = prepared(make_recipe("labelling", data={"max_token_count": 4}), words)
    assert {len(sequence) for sequence in task.sequences} == {4}
    assert "training_examples_left_out" in caplog.text


def test_a_bundle_says_what_the_recipe_says(
    make_recipe: MakeRecipe, words: Splits[TaggedTokens], readings: Splits[LabelledSeries]
) -> None:
    settings = {"label_position": "first", "split": "whitespace"}
    tagger, forecaster = (
        draft_bundle(prepared(make_recipe(task, labelling=labelling), splits), run_sha256="a" * 64).manifest.spec
        for task, labelling, splits in (("labelling", settings, words), ("readings", {}, readings))
    )
    assert isinstance(tagger, Labelling)
    assert isinstance(tagger.input, WordInput)
    assert (tagger.input.label_position, tagger.input.split, tagger.scheme) == ("first", "whitespace", "bio")
    assert isinstance(forecaster, Labelling)
    assert isinstance(forecaster.input, FeatureInput)
    temperature, humidity = forecaster.input.features
    assert (temperature.name, temperature.unit, temperature.imputation) == ("temperature", "degC", "refuse")
    assert humidity.imputation == pytest.approx(humidity.mean)
    assert (forecaster.labels, forecaster.scheme) == (["dry", "rain"], "plain")


def test_scaling_is_learnt_from_the_training_part_alone(
    make_recipe: MakeRecipe, readings: Splits[LabelledSeries]
) -> None:
    far = replace(readings.test[0], features=tuple((1000.0, 0.0) for _ in range(20)))
    tasks = [prepared(make_recipe("readings"), splits) for splits in (readings, replace(readings, validation=(far,)))]
    assert tasks[0].reads == tasks[1].reads


@pytest.mark.parametrize(
    ("task", "name", "better"),
    [
        pytest.param("labelling", "span F1", True, id="spans"),
        pytest.param("readings", "log loss", False, id="readings"),
    ],
)
def test_early_stopping_goes_by_the_metric_of_what_is_labelled(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str, name: str, better: bool
) -> None:
    labeller = prepared(make_recipe(task), tiny_splits[task])
    assert (labeller.metric, labeller.higher_is_better) == (name, better)


def test_tags_without_spans_go_by_accuracy(make_recipe: MakeRecipe, words: Splits[TaggedTokens]) -> None:
    task = prepared(make_recipe("labelling", labelling={"scheme": "plain"}), words)
    assert (task.metric, task.scheme) == ("accuracy", "plain")


@pytest.mark.parametrize("task", ["labelling", "readings"])
def test_a_labeller_learns_and_its_bundle_scores_as_torch_does(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str, tmp_path: object
) -> None:
    recipe = make_recipe(task, training={"epochs": 25, "patience": 25, "learning_rate": 0.03})
    splits = tiny_splits[task]
    labeller = trained(recipe, splits, tmp_path)
    evaluation = evaluate_bundle(draft_bundle(labeller, run_sha256="a" * 64).opened(), splits)
    assert evaluation.score.value > 0.9 * (100 if task == "labelling" else 1)
    swapped = replace(cast("Splits[TaggedTokens]", splits), validation=cast("Splits[TaggedTokens]", splits).test)
    in_torch = replace(labeller, validation=prepared(recipe, swapped).validation)
    with torch.no_grad():
        value = in_torch.validate()
    scores = {score.name: score.value for score in (evaluation.score, *evaluation.further)}
    assert scores[labeller.metric] == pytest.approx(value, rel=1e-4)


def test_the_commonest_tag_of_each_word_is_the_baseline(make_recipe: MakeRecipe) -> None:
    training = TaggedTokens(("a", "a", "a", "b"), ("X", "X", "Y", "Y"))
    test = TaggedTokens(("a", "b", "new"), ("X", "Y", "Y"))
    splits = Splits((training,), (training,), (test,))
    evaluation = evaluate_bundle(
        draft_bundle(prepared(make_recipe("labelling"), splits), run_sha256="a" * 64).opened(), splits
    )
    assert evaluation.baseline.name == "accuracy of each word's commonest tag"
    assert evaluation.baseline.value == pytest.approx(200 / 3)  # the new word gets X, the first of the commonest


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_unknown_label_stops_the_run_before_it_begins(
    make_recipe: MakeRecipe, words: Splits[TaggedTokens], part: str
) -> None:
    strange = TaggedTokens(("Rex", "barks"), ("B-DOG", "O"), origin=Origin("dev.conll", 31))
    with pytest.raises(DataError, match=rf"dev\.conll, line 31: .* found 'B-DOG' at step 1 in the {part} part"):
        prepare(make_recipe("labelling"), replace(words, **{part: (strange,)}))


def test_a_label_of_training_examples_that_are_not_kept_is_known(
    make_recipe: MakeRecipe, words: Splits[TaggedTokens]
) -> None:
    task = prepared(make_recipe("labelling", data={"max_examples": 1}), words)
    assert len(task.sequences) == 1
    assert len(task.labels) == 4


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        pytest.param("readings", {"label_position": "last"}, "no use for labelling.label_position", id="position"),
        pytest.param("readings", {"split": "tokenizer"}, "holds readings, .* labelling.split", id="split"),
        pytest.param("labelling", {"window_length": 8}, "holds words, .* labelling.window_length", id="window"),
    ],
)
def test_settings_without_a_use_are_refused(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare(make_recipe(task, labelling=changes), tiny_splits[task])


def test_words_take_a_tokenizer_and_readings_none(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(RecipeError, match="corpus tiny holds words, which take a"):
        prepare(make_recipe("readings"), tiny_splits["labelling"])
    with pytest.raises(RecipeError, match="corpus tiny holds readings, which have no use for tokenizer"):
        prepare(make_recipe("labelling"), tiny_splits["readings"])


def test_one_label_is_nothing_to_learn(make_recipe: MakeRecipe) -> None:
    one = TaggedTokens(("a",), ("X",))
    with pytest.raises(DataError, match="expected two labels or more in the training part, found 1"):
        prepare(make_recipe("labelling"), Splits((one,), (one,), (one,)))


def test_a_bundle_of_readings_is_not_measured_on_words(
    make_recipe: MakeRecipe, words: Splits[TaggedTokens], readings: Splits[LabelledSeries]
) -> None:
    draft = draft_bundle(prepared(make_recipe("readings"), readings), run_sha256="a" * 64)
    with pytest.raises(DataError, match="no test examples for labelling"):
        evaluate_bundle(draft.opened(), words)


@pytest.mark.parametrize("task", ["labelling", "readings"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_int8_is_near_fp32_and_its_proof_holds(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str, bidirectional: bool
) -> None:
    recipe = make_recipe(task, model={"bidirectional": bidirectional}, export={"precisions": ["fp32", "int8"]})
    bundle = draft_bundle(prepared(recipe, tiny_splits[task]), run_sha256="a" * 64).opened()
    assert 0 < bundle.manifest.variants["int8"].golden.deviation_from_fp32 < 0.05
    model = load_model(bundle, precision="int8")
    assert isinstance(model, LabellerModel)
    width = len(model.spec.labels)
    steps = np.array([[5, 6, 4]]) if task == "labelling" else np.zeros((1, 3, 2), dtype=np.float32)
    assert model.label(steps, np.array([3])).shape == (1, 3, width)
