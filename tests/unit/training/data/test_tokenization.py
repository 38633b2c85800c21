"""Learnt tokenizers: read by the service's own code, and text survives them."""

import pytest

from service.text.tokenizer import Tokenizer
from training.data.examples import PlainText, Splits, TextPair
from training.data.tokenization import BOS, BOS_ID, EOS, EOS_ID, PAD, PAD_ID, UNKNOWN, UNKNOWN_ID, train_tokenizer
from training.errors import DataError
from training.settings import TokenizerKind, TokenizerSettings

TEXTS = ["Il cane nero saltò sopra l'albero.", "Un'anatra dormì, e poi?", "Il gatto guardò il cane."]
KINDS: list[TokenizerKind] = ["characters", "words", "bpe"]


def learnt(kind: TokenizerKind, texts: list[str] = TEXTS, *, lowercase: bool = False, size: int = 500) -> Tokenizer:
    settings = TokenizerSettings(kind=kind, lowercase=lowercase, vocabulary_size=size)
    return Tokenizer.from_bytes(train_tokenizer(texts, settings))


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_have_the_same_ids_in_every_kind(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert [tokenizer.id_of(token) for token in (PAD, BOS, EOS)] == [PAD_ID, BOS_ID, EOS_ID] == [0, 1, 2]
    assert tokenizer.id_of(UNKNOWN) == (None if kind == "bpe" else UNKNOWN_ID)


@pytest.mark.parametrize("kind", KINDS)
def test_trained_text_survives(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS


@pytest.mark.parametrize("kind", KINDS)
def test_learning_twice_gives_the_same_bytes(kind: TokenizerKind) -> None:
    settings = TokenizerSettings(kind=kind, vocabulary_size=400)
    assert train_tokenizer(TEXTS, settings) == train_tokenizer(iter(TEXTS), settings)


@pytest.mark.parametrize("kind", KINDS)
def test_composed_and_decomposed_accents_are_the_same_text(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert tokenizer.encode("salt\N{LATIN SMALL LETTER O}\N{COMBINING GRAVE ACCENT}") == tokenizer.encode("saltò")


@pytest.mark.parametrize("kind", KINDS)
def test_a_special_token_in_the_text_is_only_text(kind: TokenizerKind) -> None:
    tokenizer = learnt(kind)
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(tokenizer.encode("<eos> il <bos><pad>"))


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_what_was_never_seen_is_unknown(kind: TokenizerKind) -> None:
    assert learnt(kind).encode("€") == [UNKNOWN_ID]


def test_bytes_know_every_text() -> None:
    tokenizer = learnt("bpe")
    text = "Größe: 5 €\n\t\N{GRINNING FACE}"
    assert tokenizer.decode(tokenizer.encode(text)) == text


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
    settings = TokenizerSettings(kind="words", min_frequency=2)
    tokenizer = Tokenizer.from_bytes(train_tokenizer(["a a b"], settings))
    assert tokenizer.id_of("b") is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_at_all_is_an_error(kind: TokenizerKind) -> None:
    with pytest.raises(DataError, match="no text"):
        train_tokenizer([""], TokenizerSettings(kind=kind))


def test_every_sentence_of_the_sample_survives_words(sentence_sample: Splits[TextPair]) -> None:
    tokenizer = learnt("words", [pair.target for pair in sentence_sample.training])
    for pair in sentence_sample.test:
        ids = tokenizer.encode(pair.target)
        assert tokenizer.decode(ids) == pair.target
        assert UNKNOWN_ID not in ids


def test_every_tune_of_the_sample_survives_characters(melody_sample: Splits[PlainText]) -> None:
    tokenizer = learnt("characters", [tune.text for tune in melody_sample.training])
    assert all(tokenizer.decode(tokenizer.encode(tune.text)) == tune.text for tune in melody_sample.test)
