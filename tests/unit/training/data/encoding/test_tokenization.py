"""Learnt tokenizers: read by the service's own code, and text survives them."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text.tokenizer import TextStream, Tokenizer
from service.text.words import encode_words, split_words
from tests.trained import ROOT
from training.data.encoding import tokenization
from training.data.encoding.tokenization import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    PAD,
    PAD_ID,
    UNKNOWN,
    UNKNOWN_ID,
    encode_long,
    is_character_level,
    train_tokenizer,
)
from training.data.examples import PlainText, Splits, TextPair
from training.errors import DataError
from training.settings.recipe import TokenizerKind, TokenizerSettings

TEXTS = ["Il cane nero saltò sopra l'albero.", "Un'anatra dormì, e poi?", "Il gatto guardò il cane."]
KINDS: list[TokenizerKind] = ["characters", "words", "whitespace", "bpe", "unigram"]
OVER_BYTES: list[TokenizerKind] = ["bpe", "unigram"]


def learnt(kind: TokenizerKind, texts: list[str] = TEXTS, *, lowercase: bool = False, size: int = 500) -> Tokenizer:
    wanted = TokenizerSettings(kind=kind, lowercase=lowercase, vocabulary_size=size)
    return Tokenizer.from_bytes(train_tokenizer(texts, wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_have_the_same_ids_in_every_kind(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert [tokenizer.id_of(token) for token in (PAD, BOS, EOS)] == [PAD_ID, BOS_ID, EOS_ID] == [0, 1, 2]
    assert tokenizer.id_of(UNKNOWN) == (None if kind in OVER_BYTES else UNKNOWN_ID)


@pytest.mark.parametrize("kind", KINDS)
def test_trained_text_survives(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS


@pytest.mark.parametrize("kind", ["characters", "bpe", "unigram"])
def test_pieces_of_words_tell_where_a_word_begins(kind: TokenizerKind) -> None:
    wanted = TokenizerSettings(kind=kind, vocabulary_size=300)
    words = ["gatto", "il", "cane", "l'albero"]
    tokenizer = Tokenizer.from_bytes(train_tokenizer(words * 20, wanted, of_words=True))
    tokenizer.prove()
    ids, owners = tokenizer.encode_words(words)
    begins = [index for index, owner in enumerate(owners) if index == 0 or owner != owners[index - 1]]
    assert begins == [index for index, piece in enumerate(tokenizer.tokens(ids)) if piece.startswith(" ")]
    assert len(begins) == len(words)


@pytest.mark.parametrize("kind", KINDS)
def test_learning_twice_gives_the_same_bytes(kind: TokenizerKind) -> None:
    same = TokenizerSettings(kind=kind, vocabulary_size=400)
    assert train_tokenizer(TEXTS, same) == train_tokenizer(iter(TEXTS), same)


def test_another_process_learns_the_same_unigram_bytes() -> None:
    """The library's own sums come out a little different in every process."""
    program = (
        "import hashlib; from training.data.samples import reviews;"
        "from training.data.encoding.tokenization import train_tokenizer;"
        "from training.settings.recipe import TokenizerSettings;"
        "texts = [example.text for example in reviews.load().training];"
        "raw = train_tokenizer(texts, TokenizerSettings(kind='unigram', vocabulary_size=400));"
        "print(hashlib.sha256(raw).hexdigest())"
    )
    command = [sys.executable, "-c", program]
    runs = [subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True) for _ in range(3)]
    assert len({run.stdout for run in runs}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_composed_and_decomposed_accents_are_the_same_text(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert tokenizer.encode("salt\N{LATIN SMALL LETTER O}\N{COMBINING GRAVE ACCENT}") == tokenizer.encode("saltò")


@pytest.mark.parametrize("kind", KINDS)
def test_a_special_token_in_the_text_is_only_text(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(tokenizer.encode("<eos> il <bos><pad>"))


@pytest.mark.parametrize("kind", ["characters", "words", "whitespace"])
def test_what_was_never_seen_is_unknown(kind: TokenizerKind) -> None:
    assert learnt(kind).encode("€") == [UNKNOWN_ID]


@pytest.mark.parametrize("kind", OVER_BYTES)
def test_bytes_know_every_text(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    text = "Größe: 5 €\n\t\N{GRINNING FACE}"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_unigram_tokenizer_cuts_an_unknown_word_into_known_pieces(sentence_sample: Splits[TextPair]) -> None:
    tokenizer = learnt("unigram", [pair.source for pair in sentence_sample.training], size=400)
    assert tokenizer.tokens(tokenizer.encode(" soldier")) == [" soldier"]
    pieces = tokenizer.tokens(tokenizer.encode(" soldierly birds"))
    assert pieces[0] == " soldier"
    assert "".join(pieces) == " soldierly birds"
    assert 300 < tokenizer.vocabulary_size <= 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_learnt_tokenizer_may_serve(kind: TokenizerKind) -> None:
    learnt(kind).prove()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_any_ids_joins_to_the_whole(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)

    @settings(max_examples=100)
    @given(st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=30))
    def check(ids: list[int]) -> None:
        stream = TextStream(tokenizer)
        assert "".join([*(stream.push([one]) for one in ids), stream.finish()]) == tokenizer.decode(ids)

    check()


@pytest.mark.parametrize("kind", ["words", "whitespace", "bpe", "unigram"])
def test_words_are_encoded_one_by_one_and_found_in_a_text(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    words = split_words(tokenizer, "Il gatto dormì", "tokenizer")
    assert words == ["Il", "gatto", "dormì"]
    encoded = encode_words(tokenizer, words, "last")
    assert encoded.token_ids == [one for word in words for one in tokenizer.encode(word)]
    ends = [len([one for word in words[: count + 1] for one in tokenizer.encode(word)]) for count in range(3)]
    assert encoded.positions == [end - 1 for end in ends]


def test_white_space_alone_separates_what_a_corpus_has_tokenised() -> None:
    tokenizer = learnt("whitespace", ["mr. <unk> owns n.v. 's N shares"])
    tokens = tokenizer.tokens(tokenizer.encode("mr. <unk> owns  shares\n's n.v. <eos>"))
    assert tokens == ["mr.", UNKNOWN, "owns", "shares", "'s", "n.v.", UNKNOWN, UNKNOWN]
    assert tokenizer.vocabulary_size == 4 + 6


@pytest.mark.parametrize("kind", KINDS)
def test_only_characters_are_character_level(kind: TokenizerKind) -> None:
    assert is_character_level(learnt(kind)) == (kind == "characters")
    assert is_character_level(learnt(kind, ["a b c"], size=300)) == (kind == "characters")


def test_words_split_off_punctuation_and_keep_the_apostrophe_of_an_elision() -> None:
    tokenizer = learnt("words")
    assert tokenizer.tokens(tokenizer.encode("Il cane, l'albero.")) == ["Il", "cane", ",", "l'", "albero", "."]
    assert tokenizer.encode("l\N{RIGHT SINGLE QUOTATION MARK}albero") == tokenizer.encode("l'albero")


def test_lowercase_folds_case() -> None:
    tokenizer = learnt("words", lowercase=True)
    assert tokenizer.encode("IL CANE") == tokenizer.encode("il cane")
    assert tokenizer.decode(tokenizer.encode("Il cane")) == "il cane"


def test_the_vocabulary_keeps_the_most_frequent_words() -> None:
    tokenizer = learnt("words", ["a a a b b c"], size=6)
    assert [tokenizer.id_of(word) for word in "abc"] == [4, 5, None]
    assert tokenizer.vocabulary_size == 6


def test_rare_words_get_no_token() -> None:
    rare = TokenizerSettings(kind="words", min_frequency=2)
    tokenizer = Tokenizer.from_bytes(train_tokenizer(["a a b"], rare))
    assert tokenizer.id_of("b") is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_at_all_is_an_error(kind: TokenizerKind) -> None:
    with pytest.raises(DataError, match="no text"):
        train_tokenizer([""], TokenizerSettings(kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_is_encoded_in_parts_as_if_it_were_whole(
    kind: TokenizerKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " \n\n".join(
        [*TEXTS, "  two  blanks, e\N{COMBINING ACUTE ACCENT} a-b 'x' <eos>", "\N{GRINNING FACE} 12 3 "] * 9
    )
    wanted = TokenizerSettings(kind=kind, vocabulary_size=400)
    whole = train_tokenizer([text], wanted)
    expected = Tokenizer.from_bytes(whole).encode(text)
    for length in (1, 7, 50):
        monkeypatch.setattr(tokenization, "_PART_LENGTH", length)
        assert train_tokenizer([text], wanted) == whole
        assert encode_long(Tokenizer.from_bytes(whole), text) == expected


def test_every_sentence_of_the_sample_survives_words(sentence_sample: Splits[TextPair]) -> None:
    tokenizer = learnt("words", [pair.target for pair in sentence_sample.training])
    for pair in sentence_sample.test:
        ids = tokenizer.encode(pair.target)
        assert tokenizer.decode(ids) == pair.target
        assert UNKNOWN_ID not in ids


def test_every_tune_of_the_sample_survives_characters(melody_sample: Splits[PlainText]) -> None:
    tokenizer = learnt("characters", [tune.text for tune in melody_sample.training])
    assert all(tokenizer.decode(tokenizer.encode(tune.text)) == tune.text for tune in melody_sample.test)
