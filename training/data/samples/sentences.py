"""The translation sample: short English sentences in the past tense, with their Italian.   A grammar; no corpus.

What has to be learnt: articles by gender, number and the sound that follows; adjectives behind their nouns, agreeing;
one past form per number; prepositions that melt with articles. A pairing is (adjective, noun) or (subject, verb).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from training.data.examples import Splits, TextPair
from training.data.samples.held_out import Draft, Pairing, Part, collect
from training.data.samples.lexicon import (
    ADJECTIVES,
    COMPANY,
    INTRANSITIVE_VERBS,
    NOUNS,
    PREPOSITIONS,
    TRANSITIVE_VERBS,
    Adjective,
    Kind,
    Noun,
    Preposition,
    Verb,
)
from training.data.stable import Chooser

SIZES: dict[Part, int] = {"training": 10_000, "validation": 600, "test": 800}

LECTURE_PAIR = TextPair("The black dog jumped over the cat", "Il cane nero saltò sopra il gatto")
"""What the demo asks. Its adjective and noun are a test pairing, and see `_recalls_the_lecture`."""

_EXCEPTIONS: dict[Pairing, Part] = {("black", "dog"): "test", ("dog", "jumped"): "training"}

_PERIOD_SHARE = 0.3
"""Share of sentences that end with a period, in both languages, so that both ways of writing are known."""

_ANIMATE: frozenset[Kind] = frozenset({"animal", "person"})
_ANYTHING: frozenset[Kind] = _ANIMATE | {"thing"}

_DEFINITE, _INDEFINITE = "the", "a"
_QUANTITIES = {"two": ("due", "due"), "three": ("tre", "tre"), "many": ("molti", "molte")}

_MELTED = {
    "su": {"il": "sul", "lo": "sullo", "la": "sulla", "l'": "sull'", "i": "sui", "gli": "sugli", "le": "sulle"},
    "in": {"il": "nel", "lo": "nello", "la": "nella", "l'": "nell'", "i": "nei", "gli": "negli", "le": "nelle"},
    "a": {"il": "al", "lo": "allo", "la": "alla", "l'": "all'", "i": "ai", "gli": "agli", "le": "alle"},
}


@dataclass(frozen=True)
class _NounPhrase:
    """A noun with its determiner and perhaps an adjective."""

    noun: Noun
    determiner: str
    plural: bool
    adjective: Adjective | None

    def english(self) -> str:
        words = [self.adjective.english] if self.adjective else []
        words.append(self.noun.plural if self.plural else self.noun.singular)
        determiner = "an" if self.determiner == _INDEFINITE and words[0][0] in "aeiou" else self.determiner
        return " ".join([determiner, *words])

    def italian(self) -> str:
        return _attach(self._article(), self.italian_words())

    def italian_words(self) -> str:
        """Noun and adjective, without what comes before them."""
        return f"{self._noun()} {self.agreeing(self.adjective)}" if self.adjective else self._noun()

    def melted_with(self, preposition: str) -> str:
        """The phrase behind a preposition that melts with its article, if it has a definite one."""
        if self.determiner != _DEFINITE:
            return f"{preposition} {self.italian()}"
        return _attach(_MELTED[preposition][self._article()], self.italian_words())

    def agreeing(self, adjective: Adjective) -> str:
        """The Italian form of an adjective that describes this noun."""
        return adjective.italian[2 * self.plural + self.noun.feminine]

    def pairings(self) -> set[Pairing]:
        return {(self.adjective.english, self.noun.singular)} if self.adjective else set()

    def _noun(self) -> str:
        return self.noun.italian_plural if self.plural else self.noun.italian_singular

    def _article(self) -> str:
        if self.determiner == _DEFINITE:
            return definite_article(self._noun(), feminine=self.noun.feminine, plural=self.plural)
        if self.determiner == _INDEFINITE:
            return indefinite_article(self._noun(), feminine=self.noun.feminine)
        return _QUANTITIES[self.determiner][self.noun.feminine]


@dataclass(frozen=True)
class _Place:
    """A preposition and what stands behind it."""

    preposition: Preposition
    phrase: _NounPhrase

    def english(self) -> str:
        return f"{self.preposition.english} {self.phrase.english()}"

    def italian(self) -> str:
        if not self.preposition.articulated:
            return f"{self.preposition.italian} {self.phrase.italian()}"
        *before, last = self.preposition.italian.split()
        return " ".join([*before, self.phrase.melted_with(last)])


def definite_article(word: str, *, feminine: bool, plural: bool) -> str:
    """The Italian definite article before a word: il, lo, la, l', i, gli or le."""
    vowel, hard = _begins_with_vowel(word), _takes_lo(word)
    if feminine:
        return "le" if plural else "l'" if vowel else "la"
    if plural:
        return "gli" if vowel or hard else "i"
    return "l'" if vowel else "lo" if hard else "il"


def indefinite_article(word: str, *, feminine: bool) -> str:
    """The Italian indefinite article before a word: un, uno, una or un'."""
    if feminine:
        return "un'" if _begins_with_vowel(word) else "una"
    return "uno" if _takes_lo(word) else "un"


def load() -> Splits[TextPair]:
    """Generate the sample: 10,000 training, 600 validation and 800 test pairs, all sources distinct."""
    return collect(_drafts(Chooser("sentences")), strata=1, sizes=SIZES, exceptions=_EXCEPTIONS)


def _drafts(chooser: Chooser) -> Iterator[Draft[TextPair]]:
    structures = (
        *(_with_place, _with_place, _with_object, _with_object),  # twice as often as the others
        *(_with_object_and_place, _described, _described_in_place, _together),
    )
    while True:
        draft = chooser.pick(structures)(chooser)
        if _recalls_the_lecture(draft.example) and ("black", "dog") not in draft.pairings:
            continue
        yield draft


def _recalls_the_lecture(pair: TextPair) -> bool:
    """Whether a noun of the lecture's sentence, its adjective and its verb are all there, wherever they stand."""
    words = set(pair.source.lower().removesuffix(".").split())
    return {"black", "jumped"} <= words and not words.isdisjoint({"dog", "dogs", "cat", "cats"})


def _with_place(chooser: Chooser) -> Draft[TextPair]:
    """The old cat slept on a chair."""
    subject, verb = _noun_phrase(chooser, _ANIMATE), chooser.pick(INTRANSITIVE_VERBS)
    place = _place(chooser, verb, adjective_share=0.3)
    return _draft(
        chooser,
        f"{subject.english()} {verb.english} {place.english()}",
        f"{subject.italian()} {_conjugated(verb, subject.plural)} {place.italian()}",
        subject.pairings() | place.phrase.pairings() | _acts(subject, verb),
    )


def _with_object(chooser: Chooser) -> Draft[TextPair]:
    """Two girls saw the red boat."""
    subject, verb = _noun_phrase(chooser, _ANIMATE), chooser.pick(TRANSITIVE_VERBS)
    thing = _noun_phrase(chooser, verb.objects, role=verb.object_role)
    return _draft(
        chooser,
        f"{subject.english()} {verb.english} {thing.english()}",
        f"{subject.italian()} {_conjugated(verb, subject.plural)} {thing.italian()}",
        subject.pairings() | thing.pairings() | _acts(subject, verb),
    )


def _with_object_and_place(chooser: Chooser) -> Draft[TextPair]:
    """The wolf followed a man in the garden."""
    subject, verb = _noun_phrase(chooser, _ANIMATE, adjective_share=0.3), chooser.pick(TRANSITIVE_VERBS)
    thing = _noun_phrase(chooser, verb.objects, role=verb.object_role, adjective_share=0.2)
    place = _place(chooser, verb, adjective_share=0.2)
    return _draft(
        chooser,
        f"{subject.english()} {verb.english} {thing.english()} {place.english()}",
        f"{subject.italian()} {_conjugated(verb, subject.plural)} {thing.italian()} {place.italian()}",
        subject.pairings() | thing.pairings() | place.phrase.pairings() | _acts(subject, verb),
    )


def _described(chooser: Chooser) -> Draft[TextPair]:
    """The cows were tired."""
    subject = _noun_phrase(chooser, _ANYTHING, adjective_share=0)
    adjective = chooser.pick(_fitting(subject.noun))
    return _draft(
        chooser,
        f"{subject.english()} {'were' if subject.plural else 'was'} {adjective.english}",
        f"{subject.italian()} {'erano' if subject.plural else 'era'} {subject.agreeing(adjective)}",
        {(adjective.english, subject.noun.singular)},
    )


def _described_in_place(chooser: Chooser) -> Draft[TextPair]:
    """The apples on the table were red."""
    subject = _noun_phrase(chooser, _ANYTHING, adjective_share=0)
    adjective, place = chooser.pick(_fitting(subject.noun)), _place(chooser, None, adjective_share=0.2)
    return _draft(
        chooser,
        f"{subject.english()} {place.english()} {'were' if subject.plural else 'was'} {adjective.english}",
        f"{subject.italian()} {place.italian()} {'erano' if subject.plural else 'era'} {subject.agreeing(adjective)}",
        {(adjective.english, subject.noun.singular)} | place.phrase.pairings(),
    )


def _together(chooser: Chooser) -> Draft[TextPair]:
    """The queen and a small frog danced under the tree."""
    first, second = (_noun_phrase(chooser, _ANIMATE, adjective_share=0.3) for _ in range(2))
    verb = chooser.pick(INTRANSITIVE_VERBS)
    place = _place(chooser, None, adjective_share=0.2)
    return _draft(
        chooser,
        f"{first.english()} and {second.english()} {verb.english} {place.english()}",
        f"{first.italian()} e {second.italian()} {verb.italian_plural} {place.italian()}",
        first.pairings() | second.pairings() | place.phrase.pairings() | _acts(first, verb) | _acts(second, verb),
    )


def _draft(chooser: Chooser, english: str, italian: str, pairings: set[Pairing]) -> Draft[TextPair]:
    end = "." if chooser.chance(_PERIOD_SHARE) else ""
    pair = TextPair(english[0].upper() + english[1:] + end, italian[0].upper() + italian[1:] + end)
    return Draft(pair, frozenset(pairings))


def _place(chooser: Chooser, verb: Verb | None, *, adjective_share: float) -> _Place:
    with_company = verb is not None and verb.sociable and chooser.chance(0.15)
    preposition = COMPANY if with_company else chooser.pick(PREPOSITIONS)
    phrase = _noun_phrase(chooser, preposition.kinds, role=preposition.role, adjective_share=adjective_share)
    return _Place(preposition, phrase)


def _noun_phrase(
    chooser: Chooser, kinds: frozenset[Kind], *, role: str = "", adjective_share: float = 0.5
) -> _NounPhrase:
    noun = chooser.pick([noun for noun in NOUNS if noun.kind in kinds and (not role or role in noun.roles)])
    determiner = _DEFINITE if chooser.chance(0.6) else chooser.pick([*[_INDEFINITE] * 4, *_QUANTITIES])
    plural = determiner in _QUANTITIES or (determiner == _DEFINITE and chooser.chance(0.4))
    adjective = chooser.pick(_fitting(noun)) if chooser.chance(adjective_share) else None
    return _NounPhrase(noun, determiner, plural, adjective)


def _fitting(noun: Noun) -> list[Adjective]:
    return [adjective for adjective in ADJECTIVES if noun.kind in adjective.kinds]


def _acts(subject: _NounPhrase, verb: Verb) -> set[Pairing]:
    return {(subject.noun.singular, verb.english)}


def _conjugated(verb: Verb, plural: bool) -> str:
    return verb.italian_plural if plural else verb.italian_singular


def _attach(article: str, words: str) -> str:
    return article + words if article.endswith("'") else f"{article} {words}"


def _begins_with_vowel(word: str) -> bool:
    return word[0] in "aeiou"


def _takes_lo(word: str) -> bool:
    """Z, or s before a consonant: the sounds of this lexicon that take lo, gli and uno."""
    return word[0] == "z" or (word[0] == "s" and not _begins_with_vowel(word[1:]))
