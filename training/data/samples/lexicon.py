"""The words of the sentence sample, English with Italian.   A word list; `sentences` knows the grammar."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["animal", "person", "thing"]


@dataclass(frozen=True)
class Noun:
    """A noun in both languages and numbers.

    Attributes:
        roles: what it can be besides something to see: `inside` (things happen in it), `surface` (on it),
            `portable` (people carry, lose and buy it).
    """

    singular: str
    plural: str
    italian_singular: str
    italian_plural: str
    feminine: bool
    kind: Kind
    roles: frozenset[str]


@dataclass(frozen=True)
class Adjective:
    """An adjective.

    Attributes:
        italian: masculine and feminine singular, then masculine and feminine plural.
        kinds: kinds of nouns that it describes.
    """

    english: str
    italian: tuple[str, str, str, str]
    kinds: frozenset[Kind]


@dataclass(frozen=True)
class Verb:
    """A verb in the past tense (Italian: passato remoto, third person singular and plural).

    Attributes:
        objects: kinds of nouns that it takes; none for an intransitive verb.
        object_role: the role that its objects have, or any (empty).
        sociable: people and animals do it `with` one another.
    """

    english: str
    italian_singular: str
    italian_plural: str
    objects: frozenset[Kind] = frozenset()
    object_role: str = ""
    sociable: bool = False


@dataclass(frozen=True)
class Preposition:
    """A preposition.

    Attributes:
        italian: its words, as they stand before an article of their own.
        articulated: the last of these words melts with a definite article (su + il = sul), or not (sopra il).
        kinds: kinds of nouns that follow it.
        role: the role that the noun after it has, or any (empty).
    """

    english: str
    italian: str
    articulated: bool
    kinds: frozenset[Kind]
    role: str = ""


_ANYTHING: frozenset[Kind] = frozenset({"animal", "person", "thing"})
_ANIMATE: frozenset[Kind] = frozenset({"animal", "person"})
_THINGS: frozenset[Kind] = frozenset({"thing"})
_THINGS_AND_ANIMALS: frozenset[Kind] = frozenset({"animal", "thing"})
_KINDS: dict[str, Kind] = {"animal": "animal", "person": "person", "thing": "thing"}


def _nouns(table: str) -> tuple[Noun, ...]:
    nouns = []
    for line in table.strip().splitlines():
        singular, plural, italian_singular, italian_plural, gender, kind, *roles = line.split()
        feminine = gender == "f"
        nouns.append(Noun(singular, plural, italian_singular, italian_plural, feminine, _KINDS[kind], frozenset(roles)))
    return tuple(nouns)


def _adjectives(table: str, kinds: frozenset[Kind]) -> tuple[Adjective, ...]:
    adjectives = []
    for line in table.strip().splitlines():
        english, masculine, feminine, masculine_plural, feminine_plural = line.split()
        forms = (masculine, feminine, masculine_plural, feminine_plural)
        adjectives.append(Adjective(english, forms, kinds))
    return tuple(adjectives)


NOUNS = _nouns("""
dog         dogs         cane        cani        m  animal
cat         cats         gatto       gatti       m  animal
horse       horses       cavallo     cavalli     m  animal
wolf        wolves       lupo        lupi        m  animal
bear        bears        orso        orsi        m  animal
rabbit      rabbits      coniglio    conigli     m  animal
squirrel    squirrels    scoiattolo  scoiattoli  m  animal
donkey      donkeys      asino       asini       m  animal
bird        birds        uccello     uccelli     m  animal
fox         foxes        volpe       volpi       f  animal
cow         cows         mucca       mucche      f  animal
duck        ducks        anatra      anatre      f  animal
eagle       eagles       aquila      aquile      f  animal
frog        frogs        rana        rane        f  animal
monkey      monkeys      scimmia     scimmie     f  animal
goat        goats        capra       capre       f  animal
boy         boys         ragazzo     ragazzi     m  person
man         men          uomo        uomini      m  person
student     students     studente    studenti    m  person
uncle       uncles       zio         zii         m  person
soldier     soldiers     soldato     soldati     m  person
farmer      farmers      contadino   contadini   m  person
girl        girls        ragazza     ragazze     f  person
woman       women        donna       donne       f  person
aunt        aunts        zia         zie         f  person
queen       queens       regina      regine      f  person
nurse       nurses       infermiera  infermiere  f  person
witch       witches      strega      streghe     f  person
table       tables       tavolo      tavoli      m  thing  surface
tree        trees        albero      alberi      m  thing  surface
bridge      bridges      ponte       ponti       m  thing  surface
wall        walls        muro        muri        m  thing  surface
river       rivers       fiume       fiumi       m  thing  inside
garden      gardens      giardino    giardini    m  thing  inside
bed         beds         letto       letti       m  thing  surface
book        books        libro       libri       m  thing  portable
mirror      mirrors      specchio    specchi     m  thing  portable
backpack    backpacks    zaino       zaini       m  thing  portable inside surface
umbrella    umbrellas    ombrello    ombrelli    m  thing  portable
hat         hats         cappello    cappelli    m  thing  portable
house       houses       casa        case        f  thing  inside
chair       chairs       sedia       sedie       f  thing  surface portable
box         boxes        scatola     scatole     f  thing  inside portable surface
boat        boats        barca       barche      f  thing  inside surface
kitchen     kitchens     cucina      cucine      f  thing  inside
apple       apples       mela        mele        f  thing  portable
letter      letters      lettera     lettere     f  thing  portable
island      islands      isola       isole       f  thing  surface
stone       stones       pietra      pietre      f  thing  surface portable
""")

ADJECTIVES = (
    *_adjectives(
        """
black      nero     nera     neri     nere
white      bianco   bianca   bianchi  bianche
red        rosso    rossa    rossi    rosse
grey       grigio   grigia   grigi    grigie
dirty      sporco   sporca   sporchi  sporche
""",
        _THINGS_AND_ANIMALS,
    ),
    *_adjectives(
        """
small      piccolo  piccola  piccoli  piccole
old        vecchio  vecchia  vecchi   vecchie
strange    strano   strana   strani   strane
""",
        _ANYTHING,
    ),
    *_adjectives(
        """
young      giovane  giovane  giovani  giovani
strong     forte    forte    forti    forti
sad        triste   triste   tristi   tristi
happy      felice   felice   felici   felici
tired      stanco   stanca   stanchi  stanche
hungry     affamato affamata affamati affamate
""",
        _ANIMATE,
    ),
)

INTRANSITIVE_VERBS = (
    Verb("jumped", "saltò", "saltarono", sociable=True),
    Verb("ran", "corse", "corsero", sociable=True),
    Verb("walked", "camminò", "camminarono", sociable=True),
    Verb("danced", "ballò", "ballarono", sociable=True),
    Verb("waited", "aspettò", "aspettarono", sociable=True),
    Verb("played", "giocò", "giocarono", sociable=True),
    Verb("sang", "cantò", "cantarono", sociable=True),
    Verb("slept", "dormì", "dormirono"),
    Verb("rested", "riposò", "riposarono"),
    Verb("fell", "cadde", "caddero"),
)

TRANSITIVE_VERBS = (
    Verb("saw", "vide", "videro", _ANYTHING),
    Verb("watched", "guardò", "guardarono", _ANYTHING),
    Verb("found", "trovò", "trovarono", _ANYTHING),
    Verb("looked for", "cercò", "cercarono", _ANYTHING),
    Verb("followed", "seguì", "seguirono", _ANIMATE),
    Verb("helped", "aiutò", "aiutarono", _ANIMATE),
    Verb("heard", "sentì", "sentirono", _ANIMATE),
    Verb("loved", "amò", "amarono", _ANIMATE),
    Verb("touched", "toccò", "toccarono", _THINGS),
    Verb("lost", "perse", "persero", _THINGS, object_role="portable"),
    Verb("carried", "portò", "portarono", _THINGS, object_role="portable"),
)

PREPOSITIONS = (
    Preposition("over", "sopra", articulated=False, kinds=_THINGS_AND_ANIMALS),
    Preposition("under", "sotto", articulated=False, kinds=_THINGS),
    Preposition("behind", "dietro", articulated=False, kinds=_ANYTHING),
    Preposition("near", "vicino a", articulated=True, kinds=_ANYTHING),
    Preposition("on", "su", articulated=True, kinds=_THINGS, role="surface"),
    Preposition("in", "in", articulated=True, kinds=_THINGS, role="inside"),
)

COMPANY = Preposition("with", "con", articulated=False, kinds=_ANIMATE)
"""Follows sociable verbs alone."""
