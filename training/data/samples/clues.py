"""The sample of a clue that comes later: whom a pronoun means is decided by words behind it.   A grammar; no corpus.

"He needs to work harder, Pavlos said about Srivatsan": he is the second of the two who are named. "..., Pavlos was told
by Srivatsan": he is the first. Only the pronoun has a label. Whatever comes before it, its sort and its place are as
likely under either label, so a model that has read no further can do no better than guess: half of its answers are
right. Names are new in every sentence: no name tells anything. A pairing is (the statement, how it was reported).
"""

from collections.abc import Iterator

from training.data.examples import UNLABELLED, Splits, TaggedTokens
from training.data.samples.held_out import Draft, Pairing, Part, collect
from training.data.samples.names import new_name
from training.data.stable import Chooser

SIZES: dict[Part, int] = {"training": 2_400, "validation": 300, "test": 600}
FIRST, SECOND = "first", "second"
"""Which of the two who are named behind the pronoun is meant."""

_PRONOUNS = ("he", "she")
_OPENINGS = ("", "", "", "perhaps", "I know that", "it seems that", "they think that", "no wonder that")
_STATEMENTS = (
    *("needs to work harder", "should rest more", "is always late", "sings very well", "works too much"),
    *("never forgets a face", "was right after all", "has won the prize", "drives too fast", "must leave soon"),
    *("writes good letters", "will miss the train", "deserves more money", "ought to see a doctor"),
)
_REPORTS = {
    FIRST: ("was told by", "heard from", "was warned by", "learnt from", "was reminded by", "read in a note from"),
    SECOND: ("said about", "wrote about", "complained about", "reported about", "told us about", "joked about"),
}
_TIMES = ("", "", "", "today", "last night", "after the lesson", "on the phone")

_EXCEPTIONS: dict[Pairing, Part] = {(_STATEMENTS[0], "said about"): "test"}
"""The sentence of the lecture is asked, never shown."""


def load() -> Splits[TaggedTokens]:
    """Generate the sample: 2,400 training, 300 validation and 600 test sentences, half of each with either label."""
    strata = len(_PRONOUNS) * len(_REPORTS)
    return collect(_drafts(Chooser("clues")), strata=strata, sizes=SIZES, exceptions=_EXCEPTIONS)


def _drafts(chooser: Chooser) -> Iterator[Draft[TaggedTokens]]:
    while True:
        label, pronoun = chooser.pick((FIRST, SECOND)), chooser.pick(_PRONOUNS)
        statement, report = chooser.pick(_STATEMENTS), chooser.pick(_REPORTS[label])
        before = chooser.pick(_OPENINGS).split()
        names = new_name(chooser), new_name(chooser)
        after = [*statement.split(), ",", names[0], *report.split(), names[1], *chooser.pick(_TIMES).split()]
        tokens = [*before, pronoun, *after]
        tokens[0] = tokens[0][0].upper() + tokens[0][1:]
        tags = [UNLABELLED] * len(tokens)
        tags[len(before)] = label
        yield Draft(TaggedTokens(tuple(tokens), tuple(tags)), frozenset({(statement, report)}), f"{label} {pronoun}")
