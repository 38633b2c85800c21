"""The verb `tunes` writes as many tunes as it reads held-out ones, and says of both how well they hold together."""

import re
from pathlib import Path

import pytest

from tests.unit.training.conftest import MakeRecipe
from training.commands.tunes import tunes
from training.data.examples import PlainText, Splits
from training.errors import DataError
from training.export.bundle import draft_bundle
from training.preparation.prepare import prepare

RECIPE = """
name = "tunes"
version = 1
task = "generation"
seed = 1
data = {max_output_token_count = 20, files = {format = "abc", training = "t.abc", validation = "v.abc", test = "v.abc"}}
tokenizer = {kind = "characters"}
model = {cell = "lstm", embedding_size = 8, hidden_size = 8}
training = {epochs = 1}
"""


@pytest.fixture
def bundle(tmp_path: Path, make_recipe: MakeRecipe) -> Path:
    """Of a model that has learnt nothing, beside the recipe that names its tunes."""
    tune = "X:1\nM:2/4\nL:1/8\nK:G\nGABc|d4|\n\n"
    (tmp_path / "t.abc").write_text(tune)
    (tmp_path / "v.abc").write_text(tune + tune.replace("d4", "d3"))
    (tmp_path / "tunes.toml").write_text(RECIPE)
    known = (PlainText("M:2/4\nL:1/8\nK:G\nGABc|d4|"),)
    splits = Splits(known, known, known)
    recipe = make_recipe("generation", data={"max_output_token_count": 20})
    return draft_bundle(prepare(recipe, splits), run_sha256="a" * 64).publish("card", tmp_path / "models")


def test_written_and_held_out_tunes_are_checked_alike(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tunes(bundle, recipe=bundle.parents[2] / "tunes.toml", count=3)
    written, held_out = capsys.readouterr().out.splitlines()
    assert re.match(r"written at temperature 0\.8, seed 1: [\d.]+ % of 3 tunes are read by music21", written)
    assert held_out == "held out: 100.0 % of 3 tunes are read by music21, 83.3 % of their 6 bars are full"


def test_blocks_have_seeds_of_their_own_and_a_mean(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tunes(bundle, recipe=bundle.parents[2] / "tunes.toml", count=3, temperature=0.5, seed=4, blocks=2)
    *written, together, _ = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in written] == [
        "written at temperature 0.5, seed 4",
        "written at temperature 0.5, seed 7",
    ]
    shares = [float(line.partition(": ")[2].partition(" %")[0]) for line in written]
    mean = f"{sum(shares) / 2:.1f} ± "
    assert together.startswith(f"mean and standard deviation of 2 blocks: {mean}")


def test_too_few_held_out_tunes_are_an_error(bundle: Path) -> None:
    with pytest.raises(DataError, match="expected 9 tunes or more in validation and test parts, found 4"):
        tunes(bundle, recipe=bundle.parents[2] / "tunes.toml", count=9)
