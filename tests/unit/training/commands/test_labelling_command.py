"""The command line on a user's own sequences: trained, scored, looked into; a mistake is one line with its place."""

from pathlib import Path

import pytest

from tests.unit.training.quick_recipe import Training

HEAD = """
name = "mine"
version = 1
task = "labelling"
seed = 1
model = {cell = "lstm", embedding_size = 8, hidden_size = 8}
training = {epochs = 2, threads = 1}
export = {precisions = ["fp32", "int8"]}
"""
WORDS = (
    HEAD
    + """
tokenizer = {kind = "words"}
data.files = {format = "conll", training = "train.conll", validation = "dev.conll", test = "test.conll",
    token_column = 1, tag_column = 2}
""".replace("\n    ", " ")
)
READINGS = (
    HEAD
    + """
data.files = {format = "series", training = "days.csv", time_column = "day", target_column = "rain",
    features = [{column = "wind", unit = "m/s"}, {column = "humidity", unit = "%"}],
    time_split = {validation_from = 21, test_from = 31}}
""".replace("\n    ", " ")
)


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """Recipes beside their files."""
    sentences = "Mary\tB-PER\nlives\tO\nhere\tO\n\nJohn\tB-PER\nSmith\tI-PER\ncame\tO\n\n"
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.conll").write_text(sentences)
    rows = [f"{day},{day % 5},{'' if day == 3 else 50 + day % 7},{'yes' if day % 3 else 'no'}" for day in range(1, 41)]
    (tmp_path / "days.csv").write_text("\n".join(["day,wind,humidity,rain", *rows]) + "\n")
    (tmp_path / "words.toml").write_text(WORDS)
    (tmp_path / "readings.toml").write_text(READINGS)


@pytest.mark.parametrize(
    ("recipe", "measures", "text"),
    [
        pytest.param("words.toml", ("span F1", "accuracy", "word's commonest tag"), "John Smith came", id="words"),
        pytest.param(
            "readings.toml", ("ROC-AUC", "Brier score", "row alone"), "wind=3 humidity=55; wind=4", id="series"
        ),
    ],
)
def test_sequences_are_trained_on_scored_and_looked_into(
    training: Training, tmp_path: Path, recipe: str, measures: tuple[str, ...], text: str
) -> None:
    code, output, errors = training("train", recipe)
    assert code == 0, errors
    assert [measure for measure in measures if measure not in output] == []
    assert "(int8)" in output
    card = (tmp_path / ".build/models/mine/1/MODEL_CARD.md").read_text()
    assert [measure for measure in measures if measure not in card] == []

    code, output, _ = training("evaluate", ".build/models/mine/1", "--recipe", recipe)
    assert (code, measures[0] in output) == (0, True)

    code, _, errors = training("gates", recipe, text, "--output", "g.png")
    assert code == 0, errors
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("file", "content", "recipe", "complaint"),
    [
        pytest.param(
            "test.conll",
            "Mary\tB-PER\n\nRex\tB-DOG\n",
            "words.toml",
            "test.conll, line 3: expected a label",
            id="label",
        ),
        pytest.param(
            "dev.conll", "Mary\n", "words.toml", "dev.conll, line 1: expected at least 2 columns", id="column"
        ),
        pytest.param(
            "days.csv",
            "day,wind,humidity,rain\n1,mild,2,no\n",
            "readings.toml",
            "line 2: expected a number",
            id="number",
        ),
        pytest.param(
            "days.csv",
            "day,wind,humidity,rain\n1,2,3,no\n2,3,4,yes\n25,,3,no\n35,1,2,no\n",
            "readings.toml",
            "days.csv, line 4: days.csv steps[0].wind is missing",
            id="missing",
        ),
    ],
)
def test_a_wrong_file_is_one_line_with_its_place(
    training: Training, tmp_path: Path, file: str, content: str, recipe: str, complaint: str
) -> None:
    (tmp_path / file).write_text(content)
    code, output, errors = training("train", recipe)
    assert (code, output) == (2, "")
    (line,) = filter(None, errors.splitlines())  # a progress bar that ends leaves an empty one
    assert line.startswith("error: ")
    assert complaint in line


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        pytest.param(
            "labelling = {window = 3}", "labelling: unknown key 'window': did you mean 'window_length'", id="unknown"
        ),
        pytest.param('labelling = {scheme = "iob"}', "labelling.scheme: Input should be", id="no such scheme"),
        pytest.param("labelling = {window_length = 9}", "no use for labelling.window_length", id="without a use"),
    ],
)
def test_a_wrong_setting_is_named(training: Training, tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "words.toml").write_text(line + "\n" + WORDS)
    code, _, errors = training("train", "words.toml")
    assert code == 2
    assert complaint in errors
