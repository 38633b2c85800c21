"""Words become tokens one by one, and one token of each carries its label."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from service.text.tokenizer import Tokenizer
from service.text.words import EmptyWordError, LabelPosition, encode_words, split_words
from tests.bundles import ENGLISH, MELODIES, REVIEWS, bytes_tokenizer, characters_tokenizer, words_tokenizer

BYTES = Tokenizer.from_bytes(bytes_tokenizer(ENGLISH)[0])
WORDS = Tokenizer.from_bytes(words_tokenizer(REVIEWS)[0])
CHARACTERS = Tokenizer.from_bytes(characters_tokenizer(MELODIES)[0])
TEXT = "The black cat, naïve! <eos>"


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        pytest.param(BYTES, ["The", "black", "cat", ",", "naïve", "!", "<", "eos", ">"], id="bytes"),
        pytest.param(WORDS, ["The", "black", "cat", ",", "naïve", "!", "<", "eos", ">"], id="words"),
        pytest.param(CHARACTERS, [one for one in TEXT if one != " "], id="characters"),
    ],
)
def test_a_text_is_cut_where_the_tokenizer_cuts(tokenizer: Tokenizer, words: list[str]) -> None:
    assert split_words(tokenizer, TEXT, "tokenizer") == words


def test_a_text_may_be_cut_at_white_space_alone() -> None:
    assert split_words(CHARACTERS, " The\tcat,\n naïve! ", "whitespace") == ["The", "cat,", "naïve!"]


@pytest.mark.parametrize("split", ["tokenizer", "whitespace"])
@given(text=st.text())
def test_words_are_slices_of_the_text_in_order_and_none_is_blank(split: str, text: str) -> None:
    place = 0
    for word in split_words(BYTES, text, split):  # type: ignore[arg-type]
        assert word.strip()
        place = text.index(word, place) + len(word)


@given(st.lists(st.text(min_size=1)))
def test_a_words_ids_depend_on_no_neighbour(words: list[str]) -> None:
    found = encode_words(BYTES, words, "first")
    assert found.token_ids == [one for word in words for one in BYTES.encode(word)]


@pytest.mark.parametrize(
    ("tokenizer", "position", "expected"),
    [
        pytest.param(CHARACTERS, "first", [0, 3, 4], id="first of several"),
        pytest.param(CHARACTERS, "last", [2, 3, 5], id="last of several"),
        pytest.param(WORDS, "first", [0, 1, 2], id="first of one"),
        pytest.param(WORDS, "last", [0, 1, 2], id="last of one"),
    ],
)
def test_one_token_of_each_word_carries_its_label(
    tokenizer: Tokenizer, position: LabelPosition, expected: list[int]
) -> None:
    assert encode_words(tokenizer, ["cat", "a", "is"], position).positions == expected


def test_special_tokens_among_the_words_are_text() -> None:
    special = {WORDS.id_of(name) for name in ("<pad>", "<bos>", "<eos>")}
    assert not special & set(encode_words(WORDS, ["<eos>", "<pad>"], "first").token_ids)


def test_a_word_without_a_token_is_named_by_its_index() -> None:
    knows_a_alone = Tokenizer(Backend(models.BPE({"a": 0}, [])))
    with pytest.raises(EmptyWordError) as refused:
        encode_words(knows_a_alone, ["a", "b", "a"], "first")
    assert refused.value.index == 1
