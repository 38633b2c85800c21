"""The table `[data.files]`: what is right is read, what is unknown or contradictory is one clear line."""

import pytest

from training.errors import RecipeError
from training.settings.files import SeriesFiles
from training.settings.recipe import Recipe, parse_recipe

RECIPE = """
name = "mine"
version = 1
task = "TASK"
seed = 1
[data]
DATA
[tokenizer]
kind = "words"
[model]
cell = "lstm"
embedding_size = 8
hidden_size = 8
[training]
epochs = 1
"""
TSV = 'format = "tsv", text = "t", label = "l"'
PARTS = 'training = "a", validation = ["b", "c"], test = "d"'
SERIES = (
    f'format = "series", {PARTS}, time_column = "t", target_column = "y", features = [{{ column = "x", unit = "m" }}]'
)


def parse(data: str, task: str = "classification") -> Recipe:
    return parse_recipe(RECIPE.replace("TASK", task).replace("DATA", data).encode(), where="recipe.toml")


def test_one_file_or_several_make_a_part() -> None:
    files = parse(f'files = {{ format = "tsv", {PARTS}, text = "t", label = 2 }}').data.files
    assert files is not None
    assert (files.training, files.validation, files.test) == (("a",), ("b", "c"), ("d",))
    assert files.task == "classification"


def test_numbers_need_no_tokenizer() -> None:
    text = RECIPE.replace('[tokenizer]\nkind = "words"\n', "").replace("TASK", "labelling")
    recipe = parse_recipe(text.replace("DATA", f"files = {{ {SERIES} }}").encode(), where="recipe.toml")
    assert isinstance(recipe.data.files, SeriesFiles)
    with pytest.raises(RecipeError, match=r"labelling takes none and no other tokenizer, found \[tokenizer\]"):
        parse(f"files = {{ {SERIES} }}", task="labelling")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param("max_examples = 1", "neither", id="neither"),
        pytest.param(f'corpus = "a"\nfiles = {{ format = "text", {PARTS}, unit = "lines" }}', "both", id="both"),
    ],
)
def test_examples_have_one_origin(data: str, found: str) -> None:
    with pytest.raises(RecipeError, match=rf"data: .*expected `corpus` or `\[data.files\]`, found {found}"):
        parse(data)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param('training = "a"', r"data\.files\.format: Field required", id="no format"),
        pytest.param('format = "xml"', r"data\.files: Input tag 'xml' found .* 'tsv', 'csv'", id="unknown format"),
        pytest.param(
            f'{TSV}, {PARTS}, txt = "t"', r"data\.files: unknown key 'txt': did you mean 'text'", id="unknown key"
        ),
        pytest.param('format = "text", unit = "lines"', r"data\.files\.training: Field required", id="no training"),
        pytest.param(f'format = "text", {PARTS}, unit = "words"', r"data\.files\.unit: Input should be", id="unit"),
        pytest.param(f'format = "csv", {PARTS}, text = "t"', "for generation; the task is classification", id="task"),
        pytest.param(f'{TSV}, {PARTS}, source = "s"', "found `text`, `label`, `source`", id="roles"),
        pytest.param(f'format = "csv", {PARTS}, text = "t", label = "t"', "a column of its own", id="a column twice"),
        pytest.param(f"{TSV}, {PARTS}, header = false", "columns are numbers, counted from 1", id="names, no header"),
        pytest.param(f'{TSV}, {PARTS}, delimiter = ";"', "`delimiter` is for csv", id="delimiter"),
        pytest.param(f'format = "jsonl", {PARTS}, text = "t", label = 2', "`label` is a number", id="no key"),
        pytest.param(f'{TSV}, training = "a", test = "b"', "validation comes .*found neither", id="no validation"),
        pytest.param(f"{TSV}, {PARTS}, split = {{ test = 0.1 }}", "found `test` and `split.test`", id="test twice"),
        pytest.param(
            f'{TSV}, training = "a", split = {{ validation = 0.5, test = 0.1 }}',
            r"data\.files\.split\.validation: Input should be less",
            id="share",
        ),
        pytest.param(
            f"{SERIES}, time_split = {{ validation_from = 1, test_from = 2 }}",
            "found `validation` and `time_split`",
            id="twice by time",
        ),
        pytest.param(f'format = "conll", {PARTS}, token_column = 1, tag_column = 1', "must differ", id="columns"),
        pytest.param(
            SERIES.replace(', unit = "m"', ""), r"data\.files\.features\.0\.unit: Field req", id="unit left out"
        ),
        pytest.param(SERIES.replace('"y"', '"x"'), "'x' is also a feature", id="target as feature"),
    ],
)
def test_a_wrong_description_is_one_line_that_names_the_setting(files: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        parse(f"files = {{ {files} }}")
    assert str(caught.value).startswith("recipe.toml: ")
    assert "\n" not in str(caught.value)
