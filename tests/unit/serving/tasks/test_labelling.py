"""Sequences become rows for the engine, and probabilities labels and spans, by what the bundle says."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.bundle.manifest import FeatureInput, Labelling, WordInput
from service.errors import InvalidArgumentError, SequenceTooLongError, ServiceError, TextTooLongError, WrongInputError
from service.serving.api import LabelSpan
from service.serving.sequences import FeatureRows, InputSequence, Words
from service.serving.tasks.labelling import (
    MAX_LABEL_SCORES,
    ReadSequence,
    SequenceReader,
    character_counts,
    labelled_sequence,
    reading_count,
)
from service.serving.truncation import Truncation
from service.text.tokenizer import Tokenizer
from tests.bundles import MELODIES, characters_tokenizer, tiny_bundle

READING = {"temperature": 12.5, "humidity": 70.0, "wind": 3.2}
NO_WIND = {**READING, "wind": math.nan}


def spec_of(task: str) -> Labelling:
    spec = tiny_bundle(task)[0].spec
    assert isinstance(spec, Labelling)
    return spec


def word_reader(**changes: Any) -> SequenceReader:
    """A reader of words whose spec is changed, over the tiny tokenizer of words."""
    spec = spec_of("labelling").model_copy(update=changes)
    tokenizer = Tokenizer.from_bytes(tiny_bundle("labelling")[1]["tokenizer.json"])
    return SequenceReader(spec, (tokenizer,))


def character_reader(**changes: Any) -> SequenceReader:
    """A reader of words that become a token for each character."""
    reads = spec_of("labelling").input.model_copy(update=changes)
    tokenizer = Tokenizer.from_bytes(characters_tokenizer(MELODIES)[0])
    return replace(word_reader(input=reads), tokenizers=(tokenizer,))


def row_reader(**changes: Any) -> SequenceReader:
    return SequenceReader(spec_of("labelling-features").model_copy(update=changes), ())


def test_a_text_gives_the_same_row_as_its_words() -> None:
    text, words = word_reader().read(["Mary lives in Rome", Words(("Mary", "lives", "in", "Rome"))])
    assert text == replace(words, words=["Mary", "lives", "in", "Rome"])
    assert (len(text.row), list(text.positions)) == (4, [0, 1, 2, 3])


def test_the_label_of_a_word_of_several_tokens_stands_where_the_bundle_says() -> None:
    words = Words(("cat", "a", "is"))
    (first,) = character_reader(label_position="first").read([words])
    (last,) = character_reader(label_position="last").read([words])
    assert (list(first.positions), list(last.positions)) == ([0, 3, 4], [2, 3, 5])
    assert list(first.row) == list(last.row)


def test_a_text_is_split_as_the_bundle_says() -> None:
    (at_white_space,) = character_reader(split="whitespace").read(["cat, a"])
    (by_tokenizer,) = character_reader(split="tokenizer").read(["cat, a"])
    assert (list(at_white_space.words), list(by_tokenizer.words)) == (["cat,", "a"], ["c", "a", "t", ",", "a"])


def test_rows_are_scaled_and_every_one_is_answered() -> None:
    (read,) = row_reader().read([FeatureRows((READING, {"temperature": 20.5, "wind": 1.7}))])
    assert [pytest.approx(row) for row in read.row] == [[0, 0, 0], [1, 0, -1]]
    assert (list(read.positions), list(read.words)) == ([0, 1], ["", ""])


@pytest.mark.parametrize(
    ("sequence", "error", "field"),
    [
        pytest.param("a " * 65, TextTooLongError, "sequences[1].text", id="words of a text"),
        pytest.param(Words(("a",) * 65), TextTooLongError, "sequences[1].words", id="words"),
        pytest.param(Words(("a-b",) * 22), TextTooLongError, "sequences[1].words", id="tokens of words"),
        pytest.param(Words(("a", "\u200a")), InvalidArgumentError, "sequences[1].words[1]", id="a word of nothing"),
        pytest.param("\u200a", InvalidArgumentError, "sequences[1].text", id="a text of nothing"),
        pytest.param(FeatureRows((READING,)), WrongInputError, "sequences[1].rows", id="rows"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_by_name(
    sequence: InputSequence, error: type[ServiceError], field: str
) -> None:
    with pytest.raises(error) as refused:
        word_reader().read(["Mary", sequence])
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("sequence", "error", "field"),
    [
        pytest.param("Mary", WrongInputError, "sequences[1].text", id="text"),
        pytest.param(Words(("Mary",)), WrongInputError, "sequences[1].words", id="words"),
        pytest.param(FeatureRows((READING,) * 65), SequenceTooLongError, "sequences[1].rows", id="too many"),
        pytest.param(FeatureRows((READING, NO_WIND)), InvalidArgumentError, "sequences[1].rows[1].wind", id="NaN"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(
    sequence: InputSequence, error: type[ServiceError], field: str
) -> None:
    with pytest.raises(error) as refused:
        row_reader().read([FeatureRows((READING,)), sequence])
    assert refused.value.field == field


def words_read(reader: SequenceReader, truncation: Truncation, *words: str) -> tuple[list[str], list[int], bool]:
    """The words that are read, the tokens of their labels among those that are read, and whether a part is missing."""
    (read,) = replace(reader, truncation=truncation).read([Words(words)])
    return list(read.words), [int(str(read.row[position])) for position in read.positions], read.truncated


@pytest.mark.parametrize("label_position", ["first", "last"])
@pytest.mark.parametrize(
    ("truncation", "limit", "kept"),
    [
        pytest.param(Truncation.KEEP_BEGINNING, 5, ["cat", "a"], id="beginning"),
        pytest.param(Truncation.KEEP_BEGINNING, 4, ["cat", "a"], id="beginning, to the token"),
        pytest.param(Truncation.KEEP_BEGINNING, 6, ["cat", "a", "is"], id="all of it"),
        pytest.param(Truncation.KEEP_END, 5, ["a", "is"], id="end"),
        pytest.param(Truncation.KEEP_END, 3, ["a", "is"], id="end, to the token"),
        pytest.param(Truncation.KEEP_END, 2, ["is"], id="the last word"),
    ],
)
def test_of_too_many_tokens_whole_words_are_read_with_the_labels_that_are_theirs(
    truncation: Truncation, limit: int, kept: list[str], label_position: str
) -> None:
    words = ("cat", "a", "is")
    reader = character_reader(label_position=label_position)
    _, labelled_tokens, _ = words_read(reader, Truncation.REFUSE, *words)
    expected = [labelled_tokens[words.index(word)] for word in kept]
    short = replace(reader, spec=reader.spec.model_copy(update={"max_token_count": limit}))
    assert words_read(short, truncation, *words) == (kept, expected, len(kept) < 3)


@pytest.mark.parametrize("truncation", [Truncation.KEEP_BEGINNING, Truncation.KEEP_END])
def test_a_word_that_is_too_long_by_itself_is_refused(truncation: Truncation) -> None:
    reader = character_reader()
    short = replace(reader, spec=reader.spec.model_copy(update={"max_token_count": 2}), truncation=truncation)
    with pytest.raises(TextTooLongError):
        short.read([Words(("cat",))])


def test_of_too_many_rows_the_beginning_or_the_end_is_read_and_all_are_checked() -> None:
    rows = FeatureRows(tuple({**READING, "wind": float(wind)} for wind in range(4)))
    whole = row_reader().read([rows])[0]
    reader = row_reader(max_token_count=3)
    for truncation, part in ((Truncation.KEEP_BEGINNING, slice(0, 3)), (Truncation.KEEP_END, slice(1, 4))):
        (read,) = replace(reader, truncation=truncation).read([rows])
        assert (list(read.row), list(read.positions), read.truncated) == (list(whole.row)[part], [0, 1, 2], True)
        with pytest.raises(InvalidArgumentError) as refused:
            replace(reader, truncation=truncation).read([FeatureRows((NO_WIND, *rows.rows, NO_WIND))])
        assert refused.value.field == "sequences[0].rows[0].wind"


def test_characters_and_readings_are_counted_before_anything_is_read() -> None:
    sequences: list[InputSequence] = ["Mary ", FeatureRows((READING, {"wind": 1.0})), Words(("a", "bc"))]
    assert character_counts(sequences) == [("sequences[0].text", 5), ("sequences[2].words", 3)]
    assert reading_count(sequences) == 4


def test_longest_sequences_are_taken() -> None:
    assert len(word_reader().read(["a " * 64])[0].row) == 64
    assert len(row_reader().read([FeatureRows((READING,) * 64)])[0].row) == 64


def test_more_labels_than_a_reply_holds_are_refused_with_the_number_of_steps_that_fit() -> None:
    labels = ["O", *(f"B-{index}" for index in range(49))]
    reader = word_reader(labels=labels, max_token_count=10_000)
    reader.read([Words(("a",) * 400)] * 5)
    with pytest.raises(InvalidArgumentError) as refused:
        reader.read([Words(("a",) * 400)] * 6)
    assert refused.value.field == "sequences"
    assert refused.value.facts == {"step_count": "2400", "limit": str(MAX_LABEL_SCORES // 50)}


def labelled(probabilities: Sequence[Sequence[float]], count: int | None = None, **changes: Any) -> Any:
    spec = spec_of("labelling").model_copy(update={"labels": ["O", "B-PER", "I-PER"], **changes})
    words = [f"word{index}" for index in range(len(probabilities))]
    read = ReadSequence([5] * len(probabilities), range(len(probabilities)), words)
    return labelled_sequence(spec, read, probabilities, count)


def test_steps_have_their_labels_best_first() -> None:
    found = labelled([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    assert [[score.label for score in step.labels] for step in found.steps] == [
        ["B-PER", "I-PER", "O"],
        ["O", "I-PER", "B-PER"],
    ]
    assert [step.word for step in found.steps] == ["word0", "word1"]


def test_as_many_labels_are_given_as_were_asked_for_and_spans_are_the_same() -> None:
    probabilities = [[0.0, 0.75, 0.25], [0.2, 0.15, 0.65], [1.0, 0.0, 0.0]]
    few, many = labelled(probabilities, 1), labelled(probabilities)
    assert [len(step.labels) for step in few.steps] == [1, 1, 1]
    assert few.spans == many.spans == (LabelSpan("PER", 0, 1, 0.7),)


def test_a_plain_scheme_has_no_spans() -> None:
    assert labelled([[0.1, 0.8, 0.1]], scheme="plain").spans == ()


def test_only_the_token_that_carries_a_label_is_looked_at() -> None:
    spec = spec_of("labelling").model_copy(update={"labels": ["O", "B-PER"]})
    read = ReadSequence([5, 6, 7], [2], ["cat"])
    found = labelled_sequence(spec, read, [[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]], 1)
    assert [step.labels[0].label for step in found.steps] == ["B-PER"]
    assert (found.spans[0].first_step_index, found.spans[0].last_step_index, found.token_count) == (0, 0, 3)


def test_tiny_labellers_read_what_their_names_say() -> None:
    assert isinstance(spec_of("labelling").input, WordInput)
    assert isinstance(spec_of("labelling-features").input, FeatureInput)
