"""A model begins from another: its tokenizer, its weights where they fit, its pace, its run."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress

from training.data.examples import AnySplits, LabelledText, PlainText, Splits
from training.errors import CheckpointError, RecipeError
from training.pipeline import Run, open_run, publish_run, restore_run, train_run
from training.preparation.prepare import prepare
from training.preparation.pretraining import Pretrained, parameter_groups
from training.preparation.pretraining_chain import pretraining_text
from training.run.checkpoint import load_checkpoint
from training.run.loop import LAST, train
from training.settings.pretraining import PretrainingSettings
from training.settings.recipe import Recipe, load_recipe
from training.tasks.classification import ClassificationTask
from training.tasks.generation import TextsTask
from training.tasks.labelling import LabellingTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
BEGINS = {"recipe": "language-model.toml"}


@pytest.fixture
def texts(tiny_splits: Tiny) -> Splits[PlainText]:
    """The tiny reviews without their labels."""
    reviews = tiny_splits["classification"]
    parts = [
        tuple(PlainText(one.text) for one in part if isinstance(one, LabelledText))
        for part in (reviews.training, reviews.validation, reviews.test)
    ]
    return Splits(*parts)


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


# Runs

COMMON = """
version = 1
seed = 1
model = { cell = "lstm", embedding_size = 8, hidden_size = 12 }
"""
LANGUAGE_MODEL = f"""
name = "tiny-text"
task = "generation"
{COMMON}
training = {{ epochs = 2, batch_tokens = 64, threads = 1 }}
tokenizer = {{ kind = "words" }}
windows = {{ token_count = 8, continuous = false }}
[data.files]
format = "text"
training = "texts.txt"
validation = "texts.txt"
test = "texts.txt"
unit = "lines"
"""
CLASSIFIER = f"""
name = "tiny-reviews"
task = "classification"
{COMMON}
training = {{ epochs = 2, batch_tokens = 64, threads = 1 }}
pretraining = {{ recipe = "language-model.toml" }}
[data.files]
format = "tsv"
training = "reviews.tsv"
validation = "reviews.tsv"
test = "reviews.tsv"
text = "text"
label = "label"
"""
TAGGER = f"""
name = "tiny-tags"
task = "labelling"
{COMMON}
training = {{ epochs = 2, batch_tokens = 64, threads = 1 }}
tokenizer = {{ kind = "words" }}
[data.files]
format = "conll"
token_column = 1
tag_column = 2
training = "tags.conll"
validation = "tags.conll"
test = "tags.conll"
"""


@pytest.fixture
def folder(tmp_path: Path, texts: Splits[PlainText], tiny_splits: Tiny) -> Path:
    """Recipes and their files."""
    reviews = [one for one in tiny_splits["classification"].training if isinstance(one, LabelledText)]
    (tmp_path / "texts.txt").write_text("".join(f"{one.text}\n" for one in texts.training))
    (tmp_path / "reviews.tsv").write_text("text\tlabel\n" + "".join(f"{one.text}\t{one.label}\n" for one in reviews))
    (tmp_path / "language-model.toml").write_text(LANGUAGE_MODEL)
    (tmp_path / "classifier.toml").write_text(CLASSIFIER)
    return tmp_path


def opened(folder: Path, name: str = "classifier", max_epochs: int | None = None) -> Run:
    recipe = load_recipe(folder / f"{name}.toml")
    return open_run(recipe, runs=folder / "runs", data_folder=None, files_folder=folder, max_epochs=max_epochs)


def test_the_language_model_is_trained_first_and_only_once(folder: Path) -> None:
    run = opened(folder)
    assert run.pretraining is not None
    with pytest.raises(CheckpointError, match=r"tiny-reviews.*train the recipe first"):
        restore_run(run)
    with Progress(disable=True) as progress:
        task, outcome = train_run(run, progress)
        last = run.pretraining.folder / LAST
        written = last.stat().st_mtime_ns
        train_run(run, progress)
    assert last.stat().st_mtime_ns == written
    assert run.pretraining.folder == opened(folder, "language-model").folder, "as if it had been trained by itself"
    published, _ = publish_run(run, task, outcome, folder / "models")
    card = (published / "MODEL_CARD.md").read_text()
    assert re.search(
        r"- Begins from the language model of recipe `tiny-text`, 2 epochs in \d+ s\. The files that", card
    )
    restored, _ = restore_run(run)
    assert all(torch.equal(value, task.model.state_dict()[name]) for name, value in restored.model.state_dict().items())


def test_what_decides_the_language_model_decides_the_run(folder: Path) -> None:
    first = opened(folder).sha256
    assert opened(folder).sha256 == first
    assert opened(folder, max_epochs=1).sha256 != first
    (folder / "language-model.toml").write_text(LANGUAGE_MODEL.replace("token_count = 8", "token_count = 9"))
    second = opened(folder).sha256
    assert second != first
    (folder / "texts.txt").write_text("another text\n")
    assert opened(folder).sha256 not in {first, second}


def test_a_shorter_run_shortens_the_language_model_too(folder: Path) -> None:
    run = opened(folder, max_epochs=1)
    assert run.pretraining is not None
    assert (run.recipe.training.epochs, run.pretraining.recipe.training.epochs) == (1, 1)


def test_a_language_model_may_begin_from_another(folder: Path) -> None:
    second = LANGUAGE_MODEL.replace(
        'tokenizer = { kind = "words" }', 'pretraining = { recipe = "language-model.toml" }'
    )
    (folder / "second.toml").write_text(second.replace("tiny-text", "tiny-second"))
    (folder / "classifier.toml").write_text(CLASSIFIER.replace("language-model.toml", "second.toml"))
    run = opened(folder)
    assert [one.recipe.name for one in run.begins_from] == ["tiny-second", "tiny-text"]
    with Progress(disable=True) as progress:
        task, _ = train_run(run, progress)
    text = pretraining_text(run.recipe, data_folder=None, files_folder=folder)
    assert text is not None
    assert isinstance(task, ClassificationTask)
    assert text.raw == task.text.raw


def test_a_classifier_may_begin_from_a_classifier(folder: Path) -> None:
    second = CLASSIFIER.replace("tiny-reviews", "tiny-second").replace("language-model.toml", "classifier.toml")
    (folder / "second.toml").write_text(second)
    run = opened(folder, "second")
    assert [one.recipe.name for one in run.begins_from] == ["tiny-reviews", "tiny-text"]
    assert run.pretraining is not None
    with Progress(disable=True) as progress:
        begun, _ = train_run(run.pretraining, progress)
        task = prepare(run.recipe, run.splits, Pretrained.of(begun))
        outcome = train_run(run, progress)[1]
    ours, theirs = task.model.state_dict(), begun.model.state_dict()
    same = {name.partition(".")[0] for name in theirs if torch.equal(ours[name], theirs[name])}
    assert same == {"embedding", "recurrent"}, "the output layer is learnt anew"
    published, _ = publish_run(run, task, outcome, folder / "models")
    assert (
        "- Begins from the classifier of recipe `tiny-reviews`, 2 epochs" in (published / "MODEL_CARD.md").read_text()
    )


def test_a_classifier_that_others_begin_from_may_have_its_own_tokenizer(folder: Path) -> None:
    alone = CLASSIFIER.replace('pretraining = { recipe = "language-model.toml" }', 'tokenizer = { kind = "words" }')
    (folder / "language-model.toml").write_text(alone.replace("tiny-reviews", "tiny-first"))
    run = opened(folder)
    text = pretraining_text(run.recipe, data_folder=None, files_folder=folder)
    assert text is not None
    with Progress(disable=True) as progress:
        task, _ = train_run(run, progress)
    assert isinstance(task, ClassificationTask)
    assert text.raw == task.text.raw


@pytest.mark.parametrize(
    ("language_model", "message"),
    [
        pytest.param(
            LANGUAGE_MODEL.replace(
                'tokenizer = { kind = "words" }', 'pretraining = { recipe = "language-model.toml" }'
            ),
            r"goes in a circle: language-model\.toml -> language-model\.toml",
            id="circle",
        ),
        pytest.param(
            TAGGER,
            r"language-model\.toml: tiny-reviews .* generation or classification, and this one is for labelling",
            id="another task",
        ),
        pytest.param(
            CLASSIFIER.replace(
                'pretraining = { recipe = "language-model.toml" }', 'tokenizer = { kind = "words" }'
            ).replace("hidden_size = 12", "hidden_size = 12, bidirectional = true"),
            r"language-model\.toml: expected a model of one direction, for tiny-reviews to begin from, not of both",
            id="both directions",
        ),
        pytest.param(
            LANGUAGE_MODEL.replace("hidden_size = 12", "hidden_size = 16"),
            "model.hidden_size is 12, in recipe tiny-text, to begin from, it is 16",
            id="other layers",
        ),
        pytest.param(None, r"language-model\.toml: cannot be read: No such file", id="missing"),
    ],
)
def test_a_recipe_that_nothing_can_begin_from_is_one_line(
    folder: Path, language_model: str | None, message: str
) -> None:
    path = folder / "language-model.toml"
    path.unlink() if language_model is None else path.write_text(language_model)
    with pytest.raises(RecipeError, match=message) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_a_recipe_and_its_language_model_are_given_together(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("classification", tokenizer=None, pretraining=BEGINS)
    with pytest.raises(ValueError, match="goes with \\[pretraining\\]"):
        prepare(recipe, tiny_splits["classification"])
