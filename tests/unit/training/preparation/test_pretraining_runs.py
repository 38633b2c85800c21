"""Runs that begin from others: trained first and only once, and what cannot be begun from."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from rich.progress import Progress

from training.data.examples import AnySplits, LabelledText, PlainText, Splits, TaggedTokens
from training.errors import CheckpointError, RecipeError
from training.pipeline import Run, open_run, publish_run, restore_run, train_run
from training.preparation.prepare import prepare
from training.preparation.pretraining import Pretrained
from training.preparation.pretraining_chain import pretraining_texts
from training.run.loop import LAST
from training.settings.recipe import load_recipe
from training.tasks.base import Text
from training.tasks.classification import ClassificationTask
from training.tasks.labelling import LabellingTask

Tiny = Mapping[str, AnySplits]

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
        task, _ = train_run(run, progress)
        last = run.pretraining.folder / LAST
        written = last.stat().st_mtime_ns
        train_run(run, progress)
    assert last.stat().st_mtime_ns == written
    assert run.pretraining.folder == opened(folder, "language-model").folder, "as if it had been trained by itself"
    published, _ = publish_run(run, task, folder / "models")
    card = (published / "MODEL_CARD.md").read_text()
    assert re.search(
        r"- Begins from the language model of recipe `tiny-text`, 2 epochs in \d+ s\. The files that", card
    )
    assert re.search(
        r"\n- Before that, `tiny-text` 1: Trained on 20\S+Z at commit \S+, on .*, 1 thread, float32,", card
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
    (text,) = pretraining_texts(run.recipe, data_folder=None, files_folder=folder)
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
        train_run(run, progress)
    ours, theirs = task.model.state_dict(), begun.model.state_dict()
    same = {name.partition(".")[0] for name in theirs if torch.equal(ours[name], theirs[name])}
    assert same == {"embedding", "recurrent"}, "the output layer is learnt anew"
    published, _ = publish_run(run, task, folder / "models")
    assert (
        "- Begins from the classifier of recipe `tiny-reviews`, 2 epochs" in (published / "MODEL_CARD.md").read_text()
    )


def test_a_classifier_that_others_begin_from_may_have_its_own_tokenizer(folder: Path) -> None:
    alone = CLASSIFIER.replace('pretraining = { recipe = "language-model.toml" }', 'tokenizer = { kind = "words" }')
    (folder / "language-model.toml").write_text(alone.replace("tiny-reviews", "tiny-first"))
    run = opened(folder)
    (text,) = pretraining_texts(run.recipe, data_folder=None, files_folder=folder)
    with Progress(disable=True) as progress:
        task, _ = train_run(run, progress)
    assert isinstance(task, ClassificationTask)
    assert text.raw == task.text.raw


BOTH = "hidden_size = 12, bidirectional = true"
BEGINNER = TAGGER.replace("tiny-tags", "tiny-names").replace(
    'tokenizer = { kind = "words" }', 'pretraining = { recipe = "tagger.toml" }'
)


@pytest.fixture
def taggers(folder: Path, tiny_splits: Tiny) -> Path:
    """A tagger in both directions, and one that begins from it."""
    sentences = [one for one in tiny_splits["labelling"].training if isinstance(one, TaggedTokens)]
    words = [
        [f"{number}\t{word}\t{tag}\n" for number, (word, tag) in enumerate(zip(one.tokens, one.tags, strict=True), 1)]
        for one in sentences
    ]
    (folder / "tags.conll").write_text("\n".join("".join(lines) for lines in words))
    (folder / "tagger.toml").write_text(TAGGER.replace("hidden_size = 12", BOTH))
    (folder / "beginner.toml").write_text(BEGINNER.replace("hidden_size = 12", BOTH))
    return folder


def test_a_tagger_may_begin_from_a_tagger_in_both_directions(taggers: Path) -> None:
    run = opened(taggers, "beginner")
    assert run.pretraining is not None
    with Progress(disable=True) as progress:
        begun, _ = train_run(run.pretraining, progress)
        task = prepare(run.recipe, run.splits, Pretrained.of(begun))
        train_run(run, progress)
    ours, theirs = task.model.state_dict(), begun.model.state_dict()
    taken = [name for name in theirs if torch.equal(ours[name], theirs[name])]
    assert sum(name.endswith("_reverse") for name in taken) == 4
    assert {name.partition(".")[0] for name in taken} == {"embedding", "recurrent"}, "the output layer is learnt anew"
    published, _ = publish_run(run, task, taggers / "models")
    assert "- Begins from the tagger of recipe `tiny-tags`, 2 epochs" in (published / "MODEL_CARD.md").read_text()
    (text,) = pretraining_texts(run.recipe, data_folder=None, files_folder=taggers)
    assert isinstance(begun, LabellingTask)
    assert isinstance(begun.reads, Text)
    assert text.raw == begun.reads.raw


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"hidden_size = 12": "hidden_size = 12"}, "expected a model of one direction", id="one direction"),
        pytest.param(
            {"hidden_size = 12": BOTH, '"tagger.toml"': '"tagger.toml", learning_rate_decay = 2.0'},
            "recipe tiny-names: pretraining.learning_rate_decay and gradual_unfreezing .* tagger.toml has both",
            id="slower layers",
        ),
    ],
)
def test_what_a_tagger_in_both_directions_cannot_begin(taggers: Path, change: Mapping[str, str], message: str) -> None:
    recipe = BEGINNER
    for old, new in change.items():
        recipe = recipe.replace(old, new)
    (taggers / "beginner.toml").write_text(recipe)
    with pytest.raises(RecipeError, match=message):
        opened(taggers, "beginner")


def test_a_recipe_of_readings_is_refused_before_anything_is_trained(folder: Path) -> None:
    readings = BEGINNER.partition("[data.files]")[0].replace("tagger.toml", "first.toml")
    (folder / "beginner.toml").write_text(f'{readings}[data]\ncorpus = "sample-weather"\n')
    first = readings.replace('pretraining = { recipe = "first.toml" }', "").replace("tiny-names", "tiny-first")
    (folder / "first.toml").write_text(f'{first}[data]\ncorpus = "sample-weather"\n')
    with pytest.raises(RecipeError, match=r"sample-weather.* holds readings, which no pretraining is for"):
        opened(folder, "beginner")
    assert not (folder / "runs").exists()


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
            id="a tagger, for a classifier",
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
