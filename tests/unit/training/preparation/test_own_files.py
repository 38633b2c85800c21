"""From a recipe and a user's own files to a task that can be trained; and the page that tells how."""

import logging
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from tests.trained import ROOT
from training.data.corpora import CORPORA
from training.errors import DataError, RecipeError
from training.pipeline import Run, open_run
from training.preparation.prepare import prepare
from training.settings.labelling import LabellingSettings
from training.settings.recipe import DataSettings, TokenizerKind, parse_recipe
from training.tasks.classification import ClassificationTask

RECIPE = """
name = "mine"
version = 1
task = "TASK"
seed = 1
[data]
max_token_count = 3
too_long = "drop"
files = { FILES }
[tokenizer]
kind = "words"
[model]
cell = "lstm"
embedding_size = 8
hidden_size = 8
[training]
epochs = 1
"""
TABLE = 'format = "tsv", training = "a.tsv", validation = "a.tsv", test = "a.tsv", text = "text", label = "label"'


def opened(folder: Path, recipe: str, task: str = "classification") -> Run:
    folder.mkdir(exist_ok=True)
    (folder / "a.tsv").write_text("text\tlabel\na fine film\tgood\na bore\tbad\nmuch too long for this\tbad\n")
    text = recipe.replace("TASK", task)
    return open_run(parse_recipe(text.encode(), where="r"), runs=folder, data_folder=None, files_folder=folder)


def test_own_files_become_a_task_and_what_is_too_long_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = opened(tmp_path, RECIPE.replace("FILES", TABLE))
    with caplog.at_level(logging.WARNING):
        task = prepare(run.recipe, run.splits)
    assert isinstance(task, ClassificationTask)
    assert task.labels == ("bad", "good")
    assert len(task.sequences) == 2
    assert "too_long_or_empty=1 of=3" in caplog.text


def test_a_run_is_the_same_wherever_its_files_are(tmp_path: Path) -> None:
    one, other = (opened(tmp_path / folder, RECIPE.replace("FILES", TABLE)) for folder in ("one", "other"))
    assert one.splits.training[0].origin != other.splits.training[0].origin
    assert one.sha256 == other.sha256


def test_what_is_too_long_can_be_refused(tmp_path: Path) -> None:
    run = opened(tmp_path, RECIPE.replace("FILES", TABLE).replace('"drop"', '"refuse"'))
    with pytest.raises(DataError, match=r"a\.tsv, line 4: expected at most 3 tokens .* found 5"):
        prepare(run.recipe, run.splits)


def test_labelling_examples_are_read_and_no_other_task_takes_them(tmp_path: Path) -> None:
    files = TABLE.replace("tsv", "conll", 1).replace(
        'text = "text", label = "label"', "token_column = 1, tag_column = 2"
    )
    run = opened(tmp_path, RECIPE.replace("FILES", files), task="labelling")
    assert len(run.splits.training) == 1
    with pytest.raises(RecipeError, match="examples for labelling; the task is classification"):
        opened(tmp_path, RECIPE.replace("FILES", files))


def test_every_description_on_the_data_page_is_a_valid_one() -> None:
    page = (ROOT / "docs/data.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    documents = [tomllib.loads(block) for block in blocks]
    found = [DataSettings.model_validate(one["data"]).files for one in documents if "data" in one]
    assert {files.format for files in found if files} == {"csv", "jsonl", "parallel", "conll", "series", "text", "abc"}
    (labelling,) = [LabellingSettings.model_validate(one["labelling"]) for one in documents if "data" not in one]
    assert set(labelling.model_fields_set) == set(LabellingSettings.model_fields)


def test_every_recipe_on_the_page_of_language_models_is_a_valid_one() -> None:
    page = (ROOT / "docs/language-models.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    windowed, pretrained = (parse_recipe(block.encode(), where="docs/language-models.md") for block in blocks)
    assert windowed.windows is not None
    assert pretrained.pretraining is not None


def test_every_tokenizer_is_on_the_page_of_language_models() -> None:
    page = (ROOT / "docs/language-models.md").read_text()
    assert [kind for kind in get_args(TokenizerKind) if f"| `{kind}` |" not in page] == []


def test_every_corpus_is_on_the_data_page() -> None:
    page = (ROOT / "docs/data.md").read_text()
    views = {"multi30k-en-de-2017", "multi30k-en-de-tok", "multi30k-en-de-tok-2017"}
    assert [name for name in CORPORA if name not in views and f"`{name}`" not in page] == []
