"""Labels: strange ones are refused by place, and schemes are seen or said."""

import pytest

from training.data.examples import LabelledSeries, LabelledText, Origin, Splits, TaggedTokens
from training.data.labels import known_labels, require_known_labels, scheme_of
from training.errors import DataError


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_label_that_training_lacks_is_named_with_file_line_and_step(part: str) -> None:
    known = TaggedTokens(("a", "b"), ("X", "Y"))
    strange = TaggedTokens(("a", "b", "c"), ("X", "_", "Z"), origin=Origin("dev.conll", 12))
    parts = {name: (known, strange) if name == part else (known,) for name in ("training", "validation", "test")}
    message = rf"dev\.conll, line 12: expected a label .* \('X', 'Y'\), found 'Z' at step 3 in the {part} part"
    with pytest.raises(DataError, match=message):
        require_known_labels(Splits(**parts))


def test_an_example_of_no_file_is_named_by_its_number() -> None:
    known, strange = LabelledSeries(((1.0,),), ("x",)), LabelledSeries(((1.0,),), ("y",))
    with pytest.raises(DataError, match="validation example 2: expected a label"):
        require_known_labels(Splits((known,), (known, strange), ()))


def test_a_step_without_a_label_is_no_label() -> None:
    assert known_labels([TaggedTokens(("a", "b"), ("_", "Y")), LabelledText("a", "_")]) == ("Y", "_")
    splits = Splits((TaggedTokens(("a",), ("Y",)),), (TaggedTokens(("a",), ("_",)),), ())
    assert require_known_labels(splits) is splits


def tagged(*tags: str, line: int = 1) -> TaggedTokens:
    return TaggedTokens(("a",) * len(tags), tags, origin=Origin("train.conll", line))


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        pytest.param(("B-LOC", "I-LOC", "O"), "bio", id="spans"),
        pytest.param(("B-LOC", "O"), "bio", id="spans of one step"),
        pytest.param(("ADJ", "NOUN"), "plain", id="tags"),
        pytest.param(("A-", "O"), "plain", id="an O alone"),
        pytest.param(("B-", "C-"), "plain", id="grades"),
    ],
)
def test_labels_that_look_like_spans_mark_them(labels: tuple[str, ...], scheme: str) -> None:
    assert scheme_of([tagged(*labels)], None) == scheme


def test_labels_that_only_half_look_like_spans_are_asked_about() -> None:
    iob1 = [tagged("B-LOC", "I-LOC", "O"), tagged("O", "I-PER", line=7), tagged("I-PER", line=9)]
    with pytest.raises(
        DataError,
        match=r"^train\.conll, line 7: at step 2, label 'I-PER' does not fit scheme bio: .*; `scheme = \"plain\"`",
    ):
        scheme_of(iob1, None)
    assert scheme_of(iob1, "plain") == "plain"
    with pytest.raises(DataError, match="'NOUN' does not fit scheme bio"):
        scheme_of([tagged("NOUN", "O")], "bio")
