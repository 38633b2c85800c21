"""Recipes: what is right is read as written, what is wrong is one clear line."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.trained import ROOT
from training.errors import RecipeError
from training.settings.recipe import load_recipe, parse_recipe
from training.settings.training import TrainingSettings

CLASSIFIER = """
name = "sample-sentiment"
version = 1
task = "classification"
seed = 7
[data]
corpus = "sample-reviews"
source_language = "en"
[tokenizer]
kind = "words"
lowercase = true
[model]
cell = "lstm"
embedding_size = 64
hidden_size = 96
[training]
epochs = 5
learning_rate = 0.004
"""
TRANSLATOR = (
    CLASSIFIER.replace("classification", "translation")
    .replace("[tokenizer]", '[source_tokenizer]\nkind = "bpe"\n[target_tokenizer]')
    .replace('source_language = "en"', 'source_language = "en"\ntarget_language = "it"')
    .replace('cell = "lstm"', 'cell = "lstm"\nattention = "general"')
)
ONE_VOCABULARY = TRANSLATOR.replace('[source_tokenizer]\nkind = "bpe"\n[target_tokenizer]', "[tokenizer]").replace(
    'attention = "general"', 'attention = "general"\nshare_embeddings = true'
)


def test_a_recipe_is_read_with_its_defaults() -> None:
    recipe = parse_recipe(CLASSIFIER.encode(), where="recipe.toml")
    assert recipe.tokenizer is not None
    assert recipe.tokenizer.lowercase
    assert recipe.training.learning_rate == 0.004
    assert recipe.training.teacher_forcing_ratio == 1.0
    assert recipe.data.max_examples is None
    assert recipe.model.attention is None


def test_a_translation_recipe_has_two_tokenizers() -> None:
    recipe = parse_recipe(TRANSLATOR.encode(), where="recipe.toml")
    assert recipe.source_tokenizer is not None
    assert recipe.target_tokenizer is not None
    assert (recipe.source_tokenizer.kind, recipe.target_tokenizer.kind) == ("bpe", "words")
    assert recipe.data.target_language == "it"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "epochs = 5", "epoch = 5", "training: unknown key 'epoch': did you mean 'epochs'", id="misspelt key"
        ),
        pytest.param("epochs = 5", "threads = 1", "training.epochs: Field required", id="missing key"),
        pytest.param(
            "[model]", "[optimiser]\n[model]", "unknown key 'optimiser': expected some of name, ver", id="far"
        ),
        pytest.param("epochs = 5", 'epochs = "5"', "training.epochs: Input should be a valid integer", id="wrong type"),
        pytest.param("epochs = 5", "epochs = 0", "training.epochs: Input should be greater", id="out of range"),
        pytest.param("0.004", "nan", "training.learning_rate: Input should be a finite number", id="nan"),
        pytest.param(
            '"lstm"', '"transformer"', "model.cell: Input should be 'rnn', 'lstm' or 'gru'", id="unknown cell"
        ),
        pytest.param('"lstm"', '"lstm"\nattention = "dot"', "model.attention is for translation", id="attention"),
        pytest.param("[model]", "[labelling]\n[model]", r"\[labelling\] is for labelling", id="labelling of a text"),
        pytest.param('"lstm"', '"lstm"\ntie_weights = true', "model.tie_weights is not for", id="tied"),
        pytest.param(
            "[model]", "[evaluation]\nbeam_size = 5\n[model]", "evaluation.beam_size, .* for translation", id="a beam"
        ),
        pytest.param(
            "[model]", '[evaluation]\ncorpora = ["imdb", "imdb"]\n[model]', "corpora are named once each", id="twice"
        ),
        pytest.param(
            "epochs = 5", "epochs = 5\nteacher_forcing_ratio = 0.5", "below 1 is for translation", id="teacher forcing"
        ),
        pytest.param("[tokenizer]", "[source_tokenizer]", r"classification takes \[tokenizer\]", id="tokenizers"),
        pytest.param('"lstm"', '"lstm"\nresidual = true', "model: .*residual needs two layers or more", id="residual"),
        pytest.param('"lstm"', '"lstm"\ninput_feeding = true', "input_feeding needs attention", id="input feeding"),
        pytest.param('"lstm"', '"lstm"\ndropout = 1.0', "model.dropout: Input should be less than 1", id="all dropped"),
        pytest.param('"lstm"', '"lstm"\nweight_drop = -0.1', "model.weight_drop: Input should be greater", id="rate"),
        pytest.param(
            '"lstm"', '"lstm"\nshare_embeddings = true', "model.share_embeddings is for translation", id="shared"
        ),
        pytest.param(
            'kind = "words"\nlowercase = true\n[model]',
            'kind = "bpe"\n[model]\nword_dropout = 0.1',
            "model.word_dropout needs <unk>, which a bpe tokenizer lacks",
            id="no unknown token",
        ),
        pytest.param(
            "epochs = 5",
            'epochs = 5\nteacher_forcing_schedule = "linear"',
            "needs teacher_forcing_steps",
            id="no steps",
        ),
        pytest.param(
            "epochs = 5",
            'epochs = 5\nteacher_forcing_schedule = "linear"\nteacher_forcing_steps = 9',
            "a teacher_forcing_ratio below 1 to fall to",
            id="nowhere to fall to",
        ),
        pytest.param(
            "epochs = 5", "epochs = 5\nteacher_forcing_steps = 9", "is for teacher_forcing_schedule", id="steps alone"
        ),
        pytest.param(
            "epochs = 5",
            'epochs = 5\npatience = 6\naveraging = {kind = "triggered", patience = 5}',
            "expected patience of 7 or more",
            id="an average that never begins",
        ),
        pytest.param("epochs = 5", "epochs = 5\nmomentum = 0.9", "momentum is for optimizer sgd", id="momentum"),
        pytest.param("epochs = 5", 'epochs = 5\nprecision = "float16"', "training.precision: Input", id="precision"),
        pytest.param("epochs = 5", 'epochs = 5\ndevice = "tpu"', "training.device: Input should be", id="device"),
        pytest.param(
            "epochs = 5", "epochs = 5\naveraging = {decay = 0.9}", "training.averaging.kind: Field", id="no kind"
        ),
        pytest.param(
            "epochs = 5",
            'epochs = 5\naveraging = {kind = "last", decay = 0.9}',
            "training.averaging: unknown key 'decay': expected some of kind, count",
            id="averaging of another kind",
        ),
        pytest.param("sample-sentiment", "Sample Sentiment", "name: String should match", id="name of no bundle"),
        pytest.param('"words"', '"bpe"\nvocabulary_size = 100', "at least 260", id="bytes do not fit"),
        pytest.param('"words"', '"unigram"\nvocabulary_size = 100', "unigram tokenizer is at least", id="pieces"),
        pytest.param('"words"', '"unigram"\nmin_frequency = 2', "min_frequency is not for a unigram", id="rare pieces"),
        pytest.param("seed = 7", "seed = ", "not valid TOML", id="no TOML"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_file_and_setting(old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        parse_recipe(CLASSIFIER.replace(old, new, 1).encode(), where="recipe.toml")
    assert str(caught.value).startswith("recipe.toml: ")
    assert "\n" not in str(caught.value)


def test_every_setting_that_the_training_page_shows_is_one() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/training.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        lines = [line for line in block.splitlines() if not line.startswith("[")]
        together = {key: value for line in lines for key, value in tomllib.loads(line).items()}
        for line in lines:  # a key may be shown with several values
            TrainingSettings.model_validate({"epochs": 1, **together, **tomllib.loads(line)})


def test_generation_cannot_read_in_both_directions() -> None:
    recipe = CLASSIFIER.replace("classification", "generation").replace('"lstm"', '"lstm"\nbidirectional = true')
    with pytest.raises(RecipeError, match="cannot see what comes next"):
        parse_recipe(recipe.encode(), where="recipe.toml")


def test_pooling_is_for_classifiers() -> None:
    pooled = CLASSIFIER.replace('"lstm"', '"lstm"\npooling = "concat"')
    assert parse_recipe(pooled.encode(), where="recipe.toml").model.pooling == "concat"
    with pytest.raises(RecipeError, match=r'model\.pooling other than "last" is for classification'):
        parse_recipe(pooled.replace("classification", "generation").encode(), where="recipe.toml")


STREAM = CLASSIFIER.replace("classification", "generation") + "[windows]\ntoken_count = 70\n"


def test_windows_are_read_with_their_defaults() -> None:
    recipe = parse_recipe(STREAM.encode(), where="recipe.toml")
    assert recipe.windows is not None
    assert recipe.windows.continuous
    assert not recipe.windows.random_token_count
    assert recipe.continuous
    assert not parse_recipe(CLASSIFIER.encode(), where="recipe.toml").continuous


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param('task = "generation"', 'task = "classification"', r"\[windows\] is for generation", id="task"),
        pytest.param(
            "token_count = 70", "token_count = 3000", "more than training.batch_tokens 2048", id="no row fits"
        ),
        pytest.param(
            "token_count = 70",
            "rows = 3",
            r"windows: unknown key 'rows': expected some of token_count",
            id="unknown key",
        ),
        pytest.param("[data]", '[data]\ntoo_long = "refuse"', "no text is too long", id="too long"),
        pytest.param("[data]", "[data]\nmax_examples = 9", "continuous keeps them in order", id="drawn at random"),
    ],
)
def test_windows_that_contradict_the_rest_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        parse_recipe(STREAM.replace(old, new, 1).encode(), where="recipe.toml")
    assert "\n" not in str(caught.value)


BEGINS = CLASSIFIER.replace('[tokenizer]\nkind = "words"\nlowercase = true', '[pretraining]\nrecipe = "text.toml"')


def test_a_recipe_that_begins_from_a_language_model_has_no_tokenizer_of_its_own() -> None:
    recipe = parse_recipe(BEGINS.encode(), where="recipe.toml")
    assert recipe.pretraining is not None
    assert recipe.pretraining.learning_rate_decay == 1.0
    with pytest.raises(RecipeError, match=r"\[pretraining\] brings the tokenizer with it, found \[tokenizer\] too"):
        parse_recipe(f"{BEGINS}[tokenizer]\nkind = 'words'\n".encode(), where="recipe.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"classification": "translation", '"text.toml"': '"text.toml"\ngradual_unfreezing = true'},
            "gradual_unfreezing are not for translation",
            id="translation",
        ),
        pytest.param({'"text.toml"': '"text.toml"\nlearning_rate_decay = 0.5'}, "learning_rate_decay: In", id="faster"),
        pytest.param(
            {"epochs = 5": "epochs = 2", '"text.toml"': '"text.toml"\ngradual_unfreezing = true'},
            r"frees the embedding in epoch 3, training\.epochs is 2",
            id="never freed",
        ),
    ],
)
def test_a_pretraining_that_cannot_be_is_refused(changes: dict[str, str], message: str) -> None:
    recipe = BEGINS
    for old, new in changes.items():
        recipe = recipe.replace(old, new)
    with pytest.raises(RecipeError, match=message):
        parse_recipe(recipe.encode(), where="recipe.toml")


def test_a_recipe_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml: cannot be read: No such file"):
        load_recipe(tmp_path / "absent.toml")


def test_a_recipe_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(TRANSLATOR)
    assert load_recipe(path).name == "sample-sentiment"


def test_a_recipe_that_is_not_text_is_named() -> None:
    with pytest.raises(RecipeError, match="not valid TOML"):
        parse_recipe(b"\xff\xfe", where="recipe.toml")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        pytest.param(
            'precisions = ["fp32"]\ndefault = "int8"', "export: .*default int8 is not among", id="not exported"
        ),
        pytest.param('precisions = ["int8", "int8"]\ndefault = "int8"', "named once each", id="twice"),
        pytest.param('precisions = ["fp8"]', r"export\.precisions\.0", id="unknown"),
        pytest.param("precisions = []", r"export\.precisions", id="none"),
    ],
)
def test_an_export_that_cannot_be_is_refused(section: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(f"{CLASSIFIER}\n[export]\n{section}\n".encode(), where="recipe.toml")


def test_fp32_alone_is_exported_where_a_recipe_does_not_say() -> None:
    export = parse_recipe(CLASSIFIER.encode(), where="recipe.toml").export
    assert (export.precisions, export.default) == (["fp32"], "fp32")


def test_dropout_is_what_finer_rates_are_unless_they_are_given() -> None:
    recipe = CLASSIFIER.replace('"lstm"', '"lstm"\ndropout = 0.4\nhidden_dropout = 0.25')
    model = parse_recipe(recipe.encode(), where="recipe.toml").model
    assert (model.input_dropout, model.hidden_dropout, model.output_dropout) == (0.4, 0.25, 0.4)
    assert (model.embedding_dropout, model.word_dropout, model.weight_drop) == (0.0, 0.0, 0.0)


def test_translation_takes_one_tokenizer_for_both_sides() -> None:
    recipe = parse_recipe(ONE_VOCABULARY.encode(), where="recipe.toml")
    assert recipe.tokenizer is not None
    assert recipe.model.share_embeddings


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "[tokenizer]", "[source_tokenizer]", r"takes \[source_tokenizer\] and \[target_tokenizer\]", id="half"
        ),
        pytest.param(
            "[tokenizer]",
            '[source_tokenizer]\nkind = "words"\n[target_tokenizer]',
            r"share_embeddings is for translation with one \[tokenizer\]",
            id="two vocabularies",
        ),
        pytest.param(
            'attention = "general"',
            'attention = "dot"\nbidirectional = true\nlayers = 1',
            "even hidden_size, half of it per direction",
            id="odd halves",
        ),
    ],
)
def test_a_translator_that_contradicts_itself_is_refused(old: str, new: str, message: str) -> None:
    recipe = ONE_VOCABULARY.replace(old, new).replace("hidden_size = 96", "hidden_size = 97")
    with pytest.raises(RecipeError, match=message):
        parse_recipe(recipe.encode(), where="recipe.toml")


@pytest.mark.parametrize("rate", ["word_dropout", "embedding_dropout"])
def test_a_recipe_of_readings_has_no_tokens_to_drop(rate: str) -> None:
    readings = CLASSIFIER.replace("classification", "labelling").replace(
        '[tokenizer]\nkind = "words"\nlowercase = true', ""
    )
    assert parse_recipe(readings.encode(), where="recipe.toml").tokenizer is None
    with pytest.raises(RecipeError, match="drop tokens, and readings have none"):
        parse_recipe(readings.replace('"lstm"', f'"lstm"\n{rate} = 0.1').encode(), where="recipe.toml")
