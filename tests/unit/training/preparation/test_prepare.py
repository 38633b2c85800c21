"""From recipe and examples to a task: what is learnt from what, and what is refused."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from training.data.examples import AnySplits, LabelledText, PlainText, TextPair
from training.errors import DataError, RecipeError
from training.preparation.prepare import AnyTask, prepare
from training.settings.recipe import Recipe
from training.tasks.classification import ClassificationTask
from training.tasks.generation import TextsTask
from training.tasks.translation import TranslationTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
TASKS = ["classification", "generation", "labelling", "readings", "translation"]


def batch_sizes(task: AnyTask) -> list[int]:
    return [len(batch.indices) for batch in task.batches(1)]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_gives_a_finite_loss_and_a_metric(make_recipe: MakeRecipe, tiny_splits: Tiny, name: str) -> None:
    task = prepare(make_recipe(name), tiny_splits[name])
    assert len(batch_sizes(task)) == task.batch_count()
    assert all(torch.isfinite(task.loss(batch).total) for batch in task.batches(1))
    with torch.no_grad():
        task.model.eval()
        assert np.isfinite(task.validate())


ENDLESS = "good " * 10_000


@pytest.mark.parametrize(
    ("name", "example"),
    [
        pytest.param("classification", LabelledText(ENDLESS, "positive"), id="classification"),
        pytest.param("generation", PlainText(ENDLESS), id="generation"),
        pytest.param("translation", TextPair(ENDLESS, ENDLESS), id="translation"),
    ],
)
def test_a_sentence_of_ten_thousand_tokens_is_left_out_and_told(
    make_recipe: MakeRecipe, tiny_splits: Tiny, name: str, example: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole: Any = tiny_splits[name]
    splits = replace(whole, training=(*whole.training, example))
    with caplog.at_level(logging.WARNING):
        task = prepare(make_recipe(name), splits)
    assert sum(batch_sizes(task)) == len(splits.training) - 1
    widest = max(column.values.size for batch in task.batches(1) for column in batch.columns)
    assert widest <= task.recipe.training.batch_tokens
    assert f"too_long_or_empty=1 of={len(splits.training)} max_token_count=128" in caplog.text


@pytest.mark.parametrize("name", TASKS)
def test_the_seed_decides_the_weights(make_recipe: MakeRecipe, tiny_splits: Tiny, name: str) -> None:
    recipe = make_recipe(name)
    first, same = (prepare(recipe, tiny_splits[name]) for _ in range(2))
    other = prepare(recipe.model_copy(update={"seed": 4}), tiny_splits[name])
    vectors = [torch.nn.utils.parameters_to_vector(task.model.parameters()) for task in (first, same, other)]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


def test_labels_are_sorted_and_fit_their_texts(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    splits = tiny_splits["classification"]
    task = prepare(make_recipe("classification"), splits)
    assert isinstance(task, ClassificationTask)
    assert task.labels == ("negative", "positive")
    expected = [getattr(example, "label", "") for example in splits.training]
    assert [task.labels[index] for index in task.label_ids.tolist()] == expected


def test_sequences_of_a_language_model_begin_and_end(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("generation"), tiny_splits["generation"])
    assert isinstance(task, TextsTask)
    assert all(ids[0] == 1 and ids[-1] == 2 for ids in task.sequences)


def test_sources_end_and_targets_begin_and_end(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("translation"), tiny_splits["translation"])
    assert isinstance(task, TranslationTask)
    assert all(ids[-1] == 2 and 1 not in ids for ids in task.sources)
    assert all(ids[0] == 1 and ids[-1] == 2 for ids in task.targets)


def test_longer_training_examples_are_left_out(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("generation", data={"max_token_count": 9}), tiny_splits["generation"])
    assert isinstance(task, TextsTask)
    assert {len(ids) for ids in task.sequences} == {8, 9}


def test_nothing_short_enough_is_an_error(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(DataError, match=r"at most 2 tokens\) or no validation examples; \[windows\] reads"):
        prepare(make_recipe("generation", data={"max_token_count": 2}), tiny_splits["generation"])


def test_the_padding_of_a_batch_adds_nothing_to_the_loss(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("generation", training={"batch_tokens": 1000}), tiny_splits["generation"])
    single = prepare(make_recipe("generation", training={"batch_tokens": 1}), tiny_splits["generation"])
    task.model.eval()
    single.model.eval()
    with torch.no_grad():
        (together,) = (task.loss(batch) for batch in task.batches(1))
        alone = [single.loss(batch) for batch in single.batches(1)]
    assert together.count == sum(loss.count for loss in alone)
    assert together.total.item() == pytest.approx(sum(loss.total.item() for loss in alone), rel=1e-5)


def test_mixed_teacher_forcing_trains_too(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("translation", training={"teacher_forcing_ratio": 0.5})
    task = prepare(recipe, tiny_splits["translation"])
    losses = [task.loss(batch).total for batch in task.batches(1)]
    torch.autograd.backward(losses)
    assert all(torch.isfinite(loss) for loss in losses)


def test_a_corpus_of_another_task_is_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(RecipeError, match="corpus tiny holds PlainText, which classification cannot use"):
        prepare(make_recipe("classification"), tiny_splits["generation"])


SHARED = {"tokenizer": {"kind": "words"}}


def test_one_tokenizer_for_both_sides_is_learnt_from_both(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("translation", tokenizers=SHARED), tiny_splits["translation"])
    assert isinstance(task, TranslationTask)
    assert task.source is task.target
    assert task.source.tokenizer.tokens(task.source.tokenizer.encode("the cat il gatto")) == [
        "the",
        "cat",
        "il",
        "gatto",
    ]
    assert task.model.source_embedding is not task.model.target_embedding


def test_shared_embeddings_are_trained_by_both_sides(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("translation", tokenizers=SHARED, model={"share_embeddings": True, "tie_weights": True})
    task = prepare(recipe, tiny_splits["translation"])
    assert isinstance(task, TranslationTask)
    assert task.model.source_embedding is task.model.target_embedding
    table = task.model.source_embedding.weight
    torch.autograd.backward(next(task.loss(batch).total for batch in task.batches(1)))
    assert table.grad is not None
    assert (table.grad[task.source.tokenizer.encode("the il")] != 0).all()
