"""The classification sample: short film reviews, positive or negative.   A grammar of opinions; no corpus.

What has to be learnt: that a negation turns an opinion round, and which of two contrasting clauses is the main one.
So counting good and bad words is not enough. A pairing is (aspect, opinion) or (negation, opinion).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from training.data.examples import LabelledText, Splits
from training.data.samples.held_out import Draft, Pairing, Part, collect
from training.data.stable import Chooser

SIZES: dict[Part, int] = {"training": 8_000, "validation": 600, "test": 1_000}
POSITIVE, NEGATIVE = "positive", "negative"

_SINGULAR_ASPECTS = (
    *("film", "movie", "acting", "plot", "music", "ending", "dialogue", "script", "story", "pacing", "cast"),
    *("soundtrack", "humour", "lighting", "direction", "editing"),
)
_PLURAL_ASPECTS = ("jokes", "effects", "costumes", "songs", "characters", "scenes")
ASPECTS = (*_SINGULAR_ASPECTS, *_PLURAL_ASPECTS)

POSITIVE_ADJECTIVES = (
    *("good", "great", "brilliant", "moving", "clever", "charming", "superb", "gripping", "fresh", "honest"),
    *("wonderful", "touching", "excellent", "convincing", "original", "lively"),
)
NEGATIVE_ADJECTIVES = (
    *("bad", "boring", "dull", "clumsy", "weak", "predictable", "lazy", "awful", "flat", "tedious"),
    *("silly", "confusing", "poor", "terrible", "slow", "forgettable"),
)
_POSITIVE_VERBS = {"love": "loved", "enjoy": "enjoyed", "admire": "admired", "like": "liked"}
_NEGATIVE_VERBS = {"hate": "hated", "dislike": "disliked", "loathe": "loathed", "despise": "despised"}
VERBS = {**_POSITIVE_VERBS, **_NEGATIVE_VERBS}
"""Base form and past tense."""

_EXCEPTIONS: dict[Pairing, Part] = {("did not", verb): "training" for verb in VERBS}
"""Base forms stand behind `did not` alone: held out, the word itself would never be trained."""

_INTENSIFIERS = ("", "", "", "very", "really", "truly", "quite")
_ENDS = (".", ".", ".", "!", "")

Pole = bool
"""True for a positive opinion, False for a negative one."""


@dataclass(frozen=True)
class _Clause:
    """One statement about one aspect of a film, without capital letter and full stop."""

    text: str
    pairings: frozenset[Pairing]


def load() -> Splits[LabelledText]:
    """Generate the sample: 8,000 training, 600 validation and 1,000 test reviews, half of each positive."""
    return collect(_drafts(Chooser("reviews")), strata=2, sizes=SIZES, exceptions=_EXCEPTIONS)


def _drafts(chooser: Chooser) -> Iterator[Draft[LabelledText]]:
    structures: tuple[Callable[[Chooser, Pole], _Clause], ...] = (
        *(_statement, _statement, _agreement),
        *(_contrast, _contrast, _concession_first, _concession_last, _despite, _hearsay),
    )
    while True:
        pole = chooser.chance(0.5)
        clause = chooser.pick(structures)(chooser, pole)
        text = clause.text[0].upper() + clause.text[1:] + chooser.pick(_ENDS)
        label = POSITIVE if pole else NEGATIVE
        yield Draft(LabelledText(text, label), clause.pairings, stratum=label)


def _statement(chooser: Chooser, pole: Pole) -> _Clause:
    """The acting was never dull."""
    forms = (_described, _described, _felt, _denied, _denied, _not_felt)
    return chooser.pick(forms)(chooser, pole)


def _agreement(chooser: Chooser, pole: Pole) -> _Clause:
    """The plot was weak and I hated the ending."""
    return _joined("{} and {}", _statement(chooser, pole), _statement(chooser, pole))


def _contrast(chooser: Chooser, pole: Pole) -> _Clause:
    """The plot was weak, but I loved the music: the last clause decides."""
    return _joined("{}, but {}", _statement(chooser, not pole), _statement(chooser, pole))


def _concession_first(chooser: Chooser, pole: Pole) -> _Clause:
    """Although the plot was weak, the jokes were great: the main clause decides."""
    opener = chooser.pick(("although", "even though", "while"))
    return _joined(opener + " {}, {}", _statement(chooser, not pole), _statement(chooser, pole))


def _concession_last(chooser: Chooser, pole: Pole) -> _Clause:
    """The jokes were great, although the plot was weak: the main clause comes first."""
    opener = chooser.pick(("although", "even though"))
    return _joined("{}, " + opener + " {}", _statement(chooser, pole), _statement(chooser, not pole))


def _despite(chooser: Chooser, pole: Pole) -> _Clause:
    """Despite the clumsy dialogue, the story was never boring."""
    aspect, adjective = chooser.pick(ASPECTS), chooser.pick(_adjectives(not pole))
    phrase = _Clause(f"the {adjective} {aspect}", frozenset({(aspect, adjective)}))
    return _joined("despite {}, {}", phrase, _statement(chooser, pole))


def _hearsay(chooser: Chooser, pole: Pole) -> _Clause:
    """Critics say that the plot was dull, and they are wrong: the end decides about what came before."""
    right = chooser.chance(0.5)
    speakers = chooser.pick(("critics say that", "my friends say that", "people say that"))
    verdict = "and they are right" if right else chooser.pick(("and they are wrong", "but they are wrong"))
    said = _statement(chooser, pole if right else not pole)
    return _Clause(f"{speakers} {said.text}, {verdict}", said.pairings)


def _described(chooser: Chooser, pole: Pole) -> _Clause:
    aspect, adjective = chooser.pick(ASPECTS), chooser.pick(_adjectives(pole))
    words = (f"the {aspect}", _was(chooser, aspect), chooser.pick(_INTENSIFIERS), adjective)
    return _Clause(" ".join(filter(None, words)), frozenset({(aspect, adjective)}))


def _felt(chooser: Chooser, pole: Pole) -> _Clause:
    aspect, verb = chooser.pick(ASPECTS), chooser.pick(_verbs(pole))
    adverb = chooser.pick(("", "really", "truly"))
    words = ("I", adverb, VERBS[verb], f"the {aspect}")
    return _Clause(" ".join(filter(None, words)), frozenset({(aspect, verb)}))


def _denied(chooser: Chooser, pole: Pole) -> _Clause:
    aspect, adjective = chooser.pick(ASPECTS), chooser.pick(_adjectives(not pole))
    negation = chooser.pick(("not", "not", "never", "hardly", "anything but", "far from", "nobody"))
    pairings = frozenset({(aspect, adjective), (negation, adjective)})
    if negation == "nobody":
        return _Clause(f"nobody could call the {aspect} {adjective}", pairings)
    intensifier = chooser.pick(("", "", "very", "really")) if negation == "not" else ""
    words = (f"the {aspect}", _was(chooser, aspect), negation, intensifier, adjective)
    return _Clause(" ".join(filter(None, words)), pairings)


def _not_felt(chooser: Chooser, pole: Pole) -> _Clause:
    aspect, verb = chooser.pick(ASPECTS), chooser.pick(_verbs(not pole))
    negation = chooser.pick(("did not", "did not", "never", "nobody"))
    beginnings = {"did not": f"I did not {verb}", "never": f"I never {VERBS[verb]}", "nobody": f"nobody {VERBS[verb]}"}
    return _Clause(f"{beginnings[negation]} the {aspect}", frozenset({(aspect, verb), (negation, verb)}))


def _joined(pattern: str, first: _Clause, second: _Clause) -> _Clause:
    return _Clause(pattern.format(first.text, second.text), first.pairings | second.pairings)


def _adjectives(pole: Pole) -> tuple[str, ...]:
    return POSITIVE_ADJECTIVES if pole else NEGATIVE_ADJECTIVES


def _verbs(pole: Pole) -> tuple[str, ...]:
    return tuple(_POSITIVE_VERBS if pole else _NEGATIVE_VERBS)


def _was(chooser: Chooser, aspect: str) -> str:
    return chooser.pick(("were", "were", "are") if aspect in _PLURAL_ASPECTS else ("was", "was", "is"))
