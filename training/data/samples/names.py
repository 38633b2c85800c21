"""Names of people and places for samples: a few known ones, and as many as wanted put together from syllables."""

from training.data.stable import Chooser

FIRST_NAMES = (
    *("Mary", "John", "Anna", "Peter", "Laura", "Paul", "Clara", "Mark", "Elena", "David", "Julia", "Simon"),
    *("Sofia", "Jordan", "Florence", "Austin", "Chelsea", "Sydney", "Victoria", "Lincoln"),  # places as well
)
PLACES = (
    *("London", "Rome", "Paris", "Athens", "Lisbon", "Berlin", "Madrid", "Oslo", "Turin", "Cairo", "Lima", "Kyoto"),
    *("Sofia", "Jordan", "Florence", "Austin", "Chelsea", "Sydney", "Victoria", "Lincoln"),  # people as well
)
TWO_WORD_PLACES = ("New York", "Buenos Aires", "San Marino", "Cape Town", "Hong Kong", "Los Angeles")

_ONSETS = ("b", "br", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ei", "ou")
_CODAS = ("", "", "l", "n", "r", "s", "k", "nd", "m")


def new_name(chooser: Chooser) -> str:
    """A name that hardly comes twice: two or three syllables."""
    count = 3 if chooser.chance(0.4) else 2
    syllables = (chooser.pick(_ONSETS) + chooser.pick(_VOWELS) + chooser.pick(_CODAS) for _ in range(count))
    return "".join(syllables).capitalize()
