"""`python -m training data`: what a person sees."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.trained import ROOT
from training.commands.data import data_app
from training.errors import DataError

RECIPE = """
name = "mine"
version = 1
task = "classification"
seed = 1
[data]
max_token_count = 5
[data.files]
format = "csv"
training = "train.csv"
validation = "dev.csv"
test = "dev.csv"
text = "text"
label = "label"
[tokenizer]
kind = "words"
[model]
cell = "lstm"
embedding_size = 8
hidden_size = 8
[training]
epochs = 1
"""
PARTS = 'training = "texts.txt", validation = "texts.txt", test = "texts.txt"'
LINES = f'files = {{ format = "text", unit = "lines", {PARTS} }}\n'


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(
        "text,label\na good film,good\n[bold]bad,bad\none two three four five six,bad\n"
    )
    (tmp_path / "dev.csv").write_text("text,label\nA good film.,good\n")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def inspect(*arguments: str) -> str:
    result = CliRunner().invoke(data_app, ["inspect", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def row(output: str, first: str) -> list[str]:
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return next(found for found in cells if found[0] == first)


def test_texts_that_are_read_in_windows_are_never_too_long(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a long line of words\nand another\n")
    text = RECIPE.replace("classification", "generation").partition("[data.files]")[0]
    rest = RECIPE[RECIPE.index("[tokenizer]") :]
    recipe.write_text(f"{text}{LINES}{rest}[windows]\ntoken_count = 70\n")
    assert "none: read in windows of 70" in inspect(str(recipe))


def test_a_recipe_that_begins_from_a_language_model_is_counted_with_its_tokenizer(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a good film\n")
    language_model = RECIPE.replace("classification", "generation").partition("[data.files]")[0]
    (tmp_path / "text.toml").write_text(f"{language_model}{LINES}{RECIPE[RECIPE.index('[tokenizer]') :]}")
    recipe.write_text(RECIPE.replace('[tokenizer]\nkind = "words"', '[pretraining]\nrecipe = "text.toml"'))
    assert row(inspect(str(recipe)), "text")[1:3] == ["7", "76.92% of 13"], "`a`, `good` and `film` are known"


def test_inspect_shows_files_examples_lengths_labels_vocabulary_and_leaks(recipe: Path) -> None:
    output = inspect(str(recipe))
    assert output.startswith("mine: classification on files csv")
    assert row(output, "training")[1:3] == ["3", "1 text over 5"]
    assert "training: '[bold]bad' -> bad" in output, "the user's text is not markup"
    assert "train.csv, line 3" in output
    assert row(output, "longest")[2:] == ["6", "4", "4"]
    assert row(output, "bad")[1:] == ["2 (66.7%)", "0 (0.0%)", "0 (0.0%)"]
    assert row(output, "text")[2:] == ["0.00% of 13", "50.00% of 4", "50.00% of 4"], "`A` and `.`"
    assert row(output, "text, case and punctuation aside")[1:] == ["1", "1", "1", "0"]
    assert row(output, "text, letter by letter")[1:] == ["0", "0", "1", "0"]


def test_inspect_shows_as_many_examples_as_asked(recipe: Path) -> None:
    output = inspect(str(recipe), "--examples", "1")
    assert output.count("\ntraining: ") == 1
    assert "\ntraining: " not in inspect(str(recipe), "--examples", "0")


def test_inspect_knows_samples() -> None:
    assert "generated" in inspect(str(ROOT / "training/recipes/sample-sentiment.toml"), "--examples", "0")


def test_a_wrong_file_is_one_line_and_exit_code_2(recipe: Path) -> None:
    (recipe.parent / "dev.csv").write_text("text,label\na,good\nb\n")
    command = [sys.executable, "-m", "training", "data", "inspect", str(recipe)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {recipe.parent / 'dev.csv'}, line 3: expected 2 columns as in line 1, found 1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["sst3", "--data", "."], "corpus 'sst3' has no address; known are imdb", id="unknown"),
        pytest.param(["ptb"], "expected the folder to fetch into: --data DIR", id="no folder"),
        pytest.param(["folk-abc"], "expected the folder to fetch into: --data DIR", id="made of other corpora"),
    ],
)
def test_fetch_says_what_it_needs(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQSERVE_DATA", raising=False)
    with pytest.raises(DataError, match=message):
        CliRunner().invoke(data_app, ["fetch", *arguments], catch_exceptions=False)
