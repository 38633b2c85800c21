"""Tables and JSON lines: what becomes an example, and which line is at fault."""

from collections.abc import Callable
from typing import Any

import pytest

from training.data.examples import AnySplits, LabelledText, PlainText, TextPair
from training.errors import DataError

Read = Callable[..., AnySplits]
FILES = {"training": "a", "validation": "b", "test": "c"}
LABELLED = {**FILES, "text": "text", "label": "label"}


def three(text: str) -> dict[str, str]:
    return dict.fromkeys("abc", text)


def test_columns_are_found_by_the_header(read: Read) -> None:
    table = 'id\tlabel\ttext\n7\tgood\t a fine "film" \r\n8\tbad\ta bore\n'
    splits = read(three(table), format="tsv", **LABELLED)
    assert splits.training == (LabelledText('a fine "film"', "good"), LabelledText("a bore", "bad"))
    assert str(splits.test[1].origin).endswith("c, line 3")


def test_columns_are_found_by_number_without_a_header(read: Read) -> None:
    splits = read(three("good\tfine\n"), format="tsv", header=False, **FILES, text=2, label=1)
    assert splits.training == (LabelledText("fine", "good"),)


def test_a_quoted_field_may_hold_delimiters_quotes_and_lines(read: Read) -> None:
    table = 'text;label\n"a; ""b""\nc";x\nd;y\n'
    splits = read(three(table), format="csv", delimiter=";", **LABELLED)
    assert splits.training == (LabelledText('a; "b"\nc', "x"), LabelledText("d", "y"))
    assert [str(example.origin)[-6:] for example in splits.training] == ["line 2", "line 4"]


def test_json_labels_may_be_numbers_and_truth_values(read: Read) -> None:
    lines = '{"text": "a\\nb", "label": 1, "other": null}\n{"label": true, "text": "c"}\n'
    splits = read(three(lines), format="jsonl", **LABELLED)
    assert splits.training == (LabelledText("a\nb", "1"), LabelledText("c", "true"))


def test_the_roles_decide_what_an_example_is(read: Read) -> None:
    table = "en,it\nhi,ciao\n"
    assert read(three(table), format="csv", **FILES, source="en", target="it").test == (TextPair("hi", "ciao"),)
    assert read(three(table), format="csv", **FILES, text="it").test == (PlainText("ciao"),)


@pytest.mark.parametrize(
    ("settings", "text", "message"),
    [
        pytest.param(
            {"format": "tsv"},
            "text\tlabel\na\tx\nb\n",
            "b, line 3: expected 2 columns as in line 1, found 1",
            id="ragged",
        ),
        pytest.param(
            {"format": "csv"},
            "text,label\na,x\n\n",
            "b, line 3: expected 2 columns as in line 1, found 0",
            id="empty line",
        ),
        pytest.param(
            {"format": "tsv"},
            "txt\tlabel\na\tx\n",
            "b, line 1: expected a header with a column 'text', found 'txt', 'label'",
            id="column",
        ),
        pytest.param(
            {"format": "csv"}, "text,text,label\na,b,x\n", "column 'text', found it 2 times", id="column twice"
        ),
        pytest.param(
            {"format": "tsv"}, "text\tlabel\n \tx\n", "b, line 2: expected a text in 'text', found none", id="no text"
        ),
        pytest.param(
            {"format": "csv"},
            'text,label\n"a,x\nb,y\n',
            "b, line 2: expected a row of CSV, found unexpected end",
            id="open quote",
        ),
        pytest.param(
            {"format": "csv"}, 'text,label\n"a"b,x\n', "b, line 2: expected a row of CSV, found", id="stray quote"
        ),
        pytest.param(
            {"format": "jsonl"},
            '{"text": "a", "label": "x"}\n{"text": \n',
            "b, line 2: expected a JSON object",
            id="no JSON",
        ),
        pytest.param({"format": "jsonl"}, '["a", "x"]\n', "b, line 1: expected a JSON object", id="an array"),
        pytest.param(
            {"format": "jsonl"}, '{"text": "a"}\n', "b, line 1: expected a key 'label', found 'text'", id="key"
        ),
        pytest.param(
            {"format": "jsonl"},
            '{"text": 1.5, "label": "x"}\n',
            "expected a string or an integer under 'text'",
            id="a fraction",
        ),
        pytest.param({"format": "jsonl"}, '{"text": "a", "label": null}\n', "under 'label', found 'null'", id="null"),
        pytest.param(
            {"format": "tsv", "header": False, "text": 1, "label": 3},
            "a\tb\n",
            "b, line 1: expected at least 3 columns, found 2",
            id="number",
        ),
    ],
)
def test_a_wrong_line_is_named(read: Read, settings: dict[str, Any], text: str, message: str) -> None:
    good = {"tsv": "text\tlabel\na\tx\n", "csv": "text,label\na,x\n", "jsonl": '{"text": "a", "label": "x"}\n'}
    first = good[settings["format"]] if settings.get("header", True) else "a\tb\tx\n"
    with pytest.raises(DataError, match=message) as caught:
        read({"a": first, "b": text, "c": first}, **{**LABELLED, **settings})
    assert "\n" not in str(caught.value)


def test_a_label_that_training_lacks_is_refused_with_its_line(read: Read) -> None:
    files = {"a": "text\tlabel\na\tx\nb\ty\n", "b": "text\tlabel\na\tx\n", "c": "text\tlabel\na\tx\nc\tz\n"}
    message = r"c, line 3: expected a label that the training examples have \('x', 'y'\), found 'z' in the test part"
    with pytest.raises(DataError, match=message):
        read(files, format="tsv", **LABELLED)


def test_shares_are_set_apart_by_what_a_text_says(read: Read) -> None:
    table = "text\tlabel\n" + "".join(f"text {n}\tx\nTEXT {n}!\tx\n" for n in range(200))
    splits = read(
        {"a": table}, format="tsv", training="a", text="text", label="label", split={"validation": 0.2, "test": 0.2}
    )
    sizes = [len(part) for part in (splits.training, splits.validation, splits.test)]
    assert sum(sizes) == 400
    assert all(40 < size < 120 for size in sizes[1:])
    for part in (splits.training, splits.validation, splits.test):
        texts = {example.text for example in part if isinstance(example, LabelledText)}
        assert {f"{text.upper()}!" for text in texts if text.islower()} == {text for text in texts if text.isupper()}


def test_a_share_of_too_few_examples_is_refused(read: Read) -> None:
    with pytest.raises(
        DataError, match="expected examples in each part, found training / validation / test 1 / 0 / 0 by split"
    ):
        read({"a": "text\nonly one\n"}, format="tsv", training="a", text="text", split={"validation": 0.1, "test": 0.1})
