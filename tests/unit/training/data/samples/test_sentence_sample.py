"""The sample for translation: nothing of the test is trained, and the Italian is right."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from training.data.examples import Splits, TextPair
from training.data.samples.lexicon import ADJECTIVES, INTRANSITIVE_VERBS, NOUNS, TRANSITIVE_VERBS
from training.data.samples.sentences import LECTURE_PAIR, definite_article, indefinite_article

NOUN_BY_FORM = {form: noun.singular for noun in NOUNS for form in (noun.singular, noun.plural)}
ADJECTIVE_WORDS = {adjective.english for adjective in ADJECTIVES}
VERB_WORDS = {verb.english.split()[0] for verb in INTRANSITIVE_VERBS + TRANSITIVE_VERBS}


def words_of(source: str) -> list[str]:
    return source.lower().removesuffix(".").split()


def pairings_of(source: str) -> set[tuple[str, str]]:
    """Adjectives with the nouns they describe, and subjects with their verbs, read off the text alone."""
    words, pairings = words_of(source), set()
    for word, following in pairwise(words):
        if word in ADJECTIVE_WORDS:
            pairings.add((word, NOUN_BY_FORM[following]))
        if word in {"was", "were"}:
            subject = next(NOUN_BY_FORM[one] for one in words if one in NOUN_BY_FORM)
            pairings.add((following, subject))
    for position, word in enumerate(words):
        if word in VERB_WORDS:
            pairings |= {(NOUN_BY_FORM[one], word) for one in words[:position] if one in NOUN_BY_FORM}
    return pairings


def all_pairings(pairs: Iterable[TextPair]) -> set[tuple[str, str]]:
    return set().union(*(pairings_of(pair.source) for pair in pairs))


def test_every_test_sentence_holds_a_pairing_that_was_never_trained_nor_validated(
    sentence_sample: Splits[TextPair],
) -> None:
    known = all_pairings(sentence_sample.training) | all_pairings(sentence_sample.validation)
    assert [pair.source for pair in sentence_sample.test if pairings_of(pair.source) <= known] == []


def test_every_validation_sentence_holds_a_pairing_that_was_never_trained(sentence_sample: Splits[TextPair]) -> None:
    known = all_pairings(sentence_sample.training)
    assert [pair.source for pair in sentence_sample.validation if pairings_of(pair.source) <= known] == []


def test_every_word_of_the_test_was_trained_often(sentence_sample: Splits[TextPair]) -> None:
    counts: dict[str, int] = {}
    for pair in sentence_sample.training:
        for word in words_of(pair.source):
            counts[word] = counts.get(word, 0) + 1
    asked = {word for pair in sentence_sample.test for word in words_of(pair.source)}
    assert min(counts[word] for word in asked) >= 100


def test_the_lecture_sentence_and_all_that_recall_it_are_neither_trained_nor_validated(
    sentence_sample: Splits[TextPair],
) -> None:
    seen = sentence_sample.training + sentence_sample.validation
    assert LECTURE_PAIR.source == "The black dog jumped over the cat"
    for pair in seen:
        assert LECTURE_PAIR.source not in pair.source
        assert LECTURE_PAIR.target not in pair.target
        words = set(words_of(pair.source))
        assert not ({"black", "jumped"} <= words and words & {"dog", "dogs", "cat", "cats"}), pair.source
        italian = set(pair.target.lower().removesuffix(".").split())
        assert not ({"saltò", "nero"} <= italian and italian & {"cane", "gatto"}), pair.target


def test_each_word_of_the_lecture_sentence_is_trained(sentence_sample: Splits[TextPair]) -> None:
    trained = {word for pair in sentence_sample.training for word in words_of(pair.source)}
    assert set(words_of(LECTURE_PAIR.source)) <= trained


def test_sentences_with_and_without_a_period_are_trained_alike_in_both_languages(
    sentence_sample: Splits[TextPair],
) -> None:
    ended = [pair for pair in sentence_sample.training if pair.source.endswith(".")]
    assert all(pair.source.endswith(".") == pair.target.endswith(".") for pair in sentence_sample.training)
    assert 0.2 < len(ended) / len(sentence_sample.training) < 0.4


def test_one_english_sentence_has_one_translation(sentence_sample: Splits[TextPair]) -> None:
    everything = sentence_sample.training + sentence_sample.validation + sentence_sample.test
    assert len({pair.source for pair in everything}) == len(everything)


@pytest.mark.parametrize(
    ("word", "feminine", "definite", "plural", "indefinite"),
    [
        pytest.param("gatto", False, "il", "i", "un", id="masculine"),
        pytest.param("scoiattolo", False, "lo", "gli", "uno", id="s and a consonant"),
        pytest.param("zio", False, "lo", "gli", "uno", id="z"),
        pytest.param("soldato", False, "il", "i", "un", id="s and a vowel"),
        pytest.param("orso", False, "l'", "gli", "un", id="masculine, vowel"),
        pytest.param("strega", True, "la", "le", "una", id="feminine"),
        pytest.param("anatra", True, "l'", "le", "un'", id="feminine, vowel"),
    ],
)
def test_articles_follow_gender_number_and_sound(
    word: str, feminine: bool, definite: str, plural: str, indefinite: str
) -> None:
    assert definite_article(word, feminine=feminine, plural=False) == definite
    assert definite_article(word, feminine=feminine, plural=True) == plural
    assert indefinite_article(word, feminine=feminine) == indefinite


@pytest.mark.parametrize(
    "phrase",
    ["sul ", "sulla ", "sull'", "nel ", "nello ", "nella ", "al ", "all'", "agli ", "con ", "sotto ", "sopra il "],
)
def test_prepositions_with_and_without_melted_articles_are_trained(
    sentence_sample: Splits[TextPair], phrase: str
) -> None:
    assert any(f" {phrase}" in pair.target for pair in sentence_sample.training)


@pytest.mark.parametrize(
    "wrong", [" su il ", " in il ", " a il ", " il uomo", " lo cane", " un anatra", "' ", " i zii", " un zio"]
)
def test_no_italian_sentence_breaks_the_rules(sentence_sample: Splits[TextPair], wrong: str) -> None:
    everything = sentence_sample.training + sentence_sample.validation + sentence_sample.test
    assert not any(wrong in f" {pair.target.lower()} " for pair in everything)
