"""A model begins from another: its tokenizer, its weights where they fit, its pace, its run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress

from training.data.examples import AnySplits, PlainText, Splits
from training.errors import RecipeError
from training.preparation.prepare import prepare
from training.preparation.pretraining import Pretrained, parameter_groups
from training.run.checkpoint import load_checkpoint
from training.run.loop import LAST, train
from training.settings.pretraining import PretrainingSettings
from training.settings.recipe import Recipe
from training.tasks.classification import ClassificationTask
from training.tasks.generation import TextsTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
BEGINS = {"recipe": "language-model.toml"}


def test_a_tagger_takes_over_tokenizer_embedding_and_layers(
    make_recipe: MakeRecipe, tiny_splits: Tiny, texts: Splits[PlainText]
) -> None:
    language_model = prepare(make_recipe("generation", tokenizer={"kind": "words"}), texts)
    assert isinstance(language_model, TextsTask)
    recipe = make_recipe("labelling", tokenizers={"tokenizer": None}, model={"bidirectional": True}, pretraining=BEGINS)
    tagger = prepare(recipe, tiny_splits["labelling"], Pretrained.of(language_model))
    assert isinstance(tagger, LabellingTask)
    assert tagger.reads is language_model.text
    theirs, ours = language_model.model.state_dict(), tagger.model.state_dict()
    shared = [name for name in theirs if name.startswith(("embedding.", "recurrent."))]
    assert len(shared) == 1 + 4
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    assert all(torch.isfinite(tagger.loss(batch).total) for batch in tagger.batches(1))


def test_readings_cannot_begin_from_a_language_model(
    make_recipe: MakeRecipe, tiny_splits: Tiny, texts: Splits[PlainText]
) -> None:
    language_model = prepare(make_recipe("generation", tokenizer={"kind": "words"}), texts)
    recipe = make_recipe("readings", pretraining=BEGINS)
    with pytest.raises(RecipeError, match="holds readings, which have no use for pretraining"):
        prepare(recipe, tiny_splits["readings"], Pretrained.of(language_model))


Begin = Callable[..., tuple[TextsTask, ClassificationTask]]


@pytest.fixture
def begin(make_recipe: MakeRecipe, tiny_splits: Tiny, texts: Splits[PlainText]) -> Begin:
    """A language model, and a classifier that begins from it; settings of the latter's [model] can be changed."""

    def begin_it(pretrained_layers: int = 1, pretraining: Mapping[str, Any] = BEGINS, **model: Any) -> Any:
        layers = {"layers": pretrained_layers}
        language_model = prepare(make_recipe("generation", model=layers, tokenizer={"kind": "words"}), texts)
        classifier = make_recipe(
            "classification",
            model=layers | model,
            training={"epochs": 9},
            tokenizer=None,
            pretraining=dict(pretraining),
        )
        return language_model, prepare(classifier, tiny_splits["classification"], Pretrained.of(language_model))

    return begin_it


def test_a_classifier_takes_over_tokenizer_embedding_and_layers(begin: Begin) -> None:
    language_model, classifier = begin(2)
    assert classifier.text is language_model.text
    theirs, ours = language_model.model.state_dict(), classifier.model.state_dict()
    shared = [name for name in ours if name.startswith(("embedding.", "recurrent."))]
    assert len(shared) == 1 + 2 * 4
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)


@torch.no_grad()
def test_the_forward_direction_of_both_gives_at_first_what_the_language_model_gives(begin: Begin) -> None:
    language_model, classifier = begin(2, bidirectional=True)
    language_model.model.eval()
    classifier.model.eval()
    token_ids = torch.tensor([classifier.text.tokenizer.encode("the film was good")])
    one, _ = language_model.model.recurrent.read(language_model.model.embedding(token_ids))
    both, _ = classifier.model.recurrent(classifier.model.embedding(token_ids), torch.tensor([4]))
    assert torch.allclose(both[:, :, :12], one, atol=1e-6)
    assert not torch.allclose(both[:, :, 12:], one, atol=1e-2)


def test_a_language_model_takes_over_the_output_layer_too(make_recipe: MakeRecipe, texts: Splits[PlainText]) -> None:
    first = prepare(make_recipe("generation", tokenizer={"kind": "words"}), texts)
    recipe = make_recipe("generation", tokenizer=None, pretraining=BEGINS).model_copy(update={"seed": 9})
    second = prepare(recipe, texts, Pretrained.of(first))
    theirs, ours = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param({"hidden_size": 13}, "model.hidden_size is 13, in recipe tiny-generation.* it is 12", id="width"),
        pytest.param({"scale_embeddings": True}, "model.scale_embeddings is True, .* it is False", id="scale"),
        pytest.param({"cell": "gru"}, "model.cell is gru, in recipe tiny-generation.* it is lstm", id="cell"),
        pytest.param({"layers": 2}, "model.layers is 2, in recipe tiny-generation.* it is 1", id="layers"),
    ],
)
def test_another_architecture_is_refused(begin: Begin, model: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        begin(**model)


def test_words_cannot_be_dropped_where_the_language_model_has_no_token_for_them(
    make_recipe: MakeRecipe, tiny_splits: Tiny, texts: Splits[PlainText]
) -> None:
    language_model = prepare(make_recipe("generation", tokenizer={"kind": "bpe", "vocabulary_size": 300}), texts)
    recipe = make_recipe("classification", model={"word_dropout": 0.1}, tokenizer=None, pretraining=BEGINS)
    with pytest.raises(RecipeError, match="word_dropout needs <unk>, the tokenizer of tiny-generation lacks it"):
        prepare(recipe, tiny_splits["classification"], Pretrained.of(language_model))


def test_layers_learn_slower_and_later_the_deeper_they_are(begin: Begin) -> None:
    settings = {"recipe": "x.toml", "learning_rate_decay": 2.0, "gradual_unfreezing": True}
    _, classifier = begin(2, bidirectional=True)
    groups = parameter_groups(classifier.model, PretrainingSettings.model_validate(settings))
    names = {id(parameter): name for name, parameter in classifier.model.named_parameters()}
    assert [(group.rate_factor, group.frozen_epochs) for group in groups] == [
        (1.0, 0),
        (0.5, 1),
        (0.25, 2),
        (0.125, 3),
    ]
    found = [sorted(names[id(parameter)] for parameter in group.parameters) for group in groups]
    assert all(name.startswith("output.") or name.endswith("_reverse") for name in found[0])
    assert len(found[0]) == 2 + 2 * 4, "a backward direction is as new as the output"
    assert len(found[1]) == len(found[2]) == 4
    assert found[3] == ["embedding.weight"]
    assert sum(map(len, found)) == len(names)


def test_without_pretraining_everything_learns_at_one_pace(begin: Begin) -> None:
    _, classifier = begin()
    (group,) = parameter_groups(classifier.model, None)
    assert len(group.parameters) == len(list(classifier.model.parameters()))
    assert (group.rate_factor, group.frozen_epochs) == (1.0, 0)


@pytest.mark.parametrize(
    ("epochs", "moved"),
    [
        pytest.param(1, {"output"}, id="the new layer first"),
        pytest.param(2, {"output", "recurrent"}, id="then the recurrent one"),
        pytest.param(3, {"output", "recurrent", "embedding"}, id="the embedding last"),
    ],
)
def test_layers_are_freed_one_after_another(begin: Begin, tmp_path: Path, epochs: int, moved: set[str]) -> None:
    _, task = begin(pretraining=BEGINS | {"gradual_unfreezing": True})
    training = task.recipe.training.model_copy(update={"epochs": epochs, "patience": 9})
    task = replace(task, recipe=task.recipe.model_copy(update={"training": training}))
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    with Progress(disable=True) as progress:
        train(task, tmp_path, run_sha256="a" * 64, progress=progress)
    after = load_checkpoint(tmp_path / LAST, run_sha256="a" * 64).weights
    assert {name.partition(".")[0] for name, value in after.items() if not value.equal(before[name])} == moved


NO_TOKENIZERS = {"tokenizer": None}


def test_a_translator_takes_over_a_whole_translator(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    model = {"bidirectional": True, "attention": "general"}
    first = prepare(make_recipe("translation", model=model), tiny_splits["translation"])
    assert isinstance(first, TranslationTask)
    recipe = make_recipe("translation", tokenizers=NO_TOKENIZERS, model=model, pretraining=BEGINS)
    second = prepare(recipe.model_copy(update={"seed": 9}), tiny_splits["translation"], Pretrained.of(first))
    assert isinstance(second, TranslationTask)
    assert (second.source, second.target) == (first.source, first.target)
    theirs, ours = first.model.state_dict(), second.model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_translator_with_input_feeding_says_at_first_what_the_one_without_says(
    make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    model = {"bidirectional": True, "attention": "general"}
    first = prepare(make_recipe("translation", model=model), tiny_splits["translation"])
    fed = model | {"input_feeding": True}
    recipe = make_recipe("translation", tokenizers=NO_TOKENIZERS, model=fed, pretraining=BEGINS)
    second = prepare(recipe, tiny_splits["translation"], Pretrained.of(first))
    assert isinstance(first, TranslationTask)
    assert isinstance(second, TranslationTask)
    read = torch.tensor([[4, 5, 6], [5, 2, 0]]), torch.tensor([3, 2]), torch.tensor([[1, 4, 5, 6], [1, 5, 2, 0]])
    with torch.no_grad():
        torch.testing.assert_close(second.model.eval()(*read), first.model.eval()(*read))
    back = make_recipe("translation", tokenizers=NO_TOKENIZERS, model=model, pretraining=BEGINS)
    with pytest.raises(RecipeError, match=r"model.input_feeding is False, in recipe tiny-translation.* it is True"):
        prepare(back, tiny_splits["translation"], Pretrained.of(second))


def test_a_translator_with_another_attention_is_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    first = prepare(make_recipe("translation", model={"attention": "dot"}), tiny_splits["translation"])
    general = {"attention": "general"}
    recipe = make_recipe("translation", tokenizers=NO_TOKENIZERS, model=general, pretraining=BEGINS)
    with pytest.raises(RecipeError, match=r"model.attention is general, in recipe tiny-translation.* it is dot"):
        prepare(recipe, tiny_splits["translation"], Pretrained.of(first))


def test_layers_of_a_translator_learn_at_one_pace(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ValueError, match="learning_rate_decay and gradual_unfreezing are not for translation"):
        make_recipe("translation", tokenizers=NO_TOKENIZERS, pretraining=BEGINS | {"learning_rate_decay": 2.0})


def test_nothing_begins_from_a_model_of_readings(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"recipe tiny-.* makes no model of text, for another to begin from"):
        Pretrained.of(prepare(make_recipe("readings"), tiny_splits["readings"]))


def test_a_recipe_and_its_language_model_are_given_together(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("classification", tokenizer=None, pretraining=BEGINS)
    with pytest.raises(ValueError, match="goes with \\[pretraining\\]"):
        prepare(recipe, tiny_splits["classification"])
