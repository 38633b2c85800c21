"""The demo's questions to labellers: names in sentences, rain tomorrow, and a clue that comes later."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from seqserve import Client, LabelledSequence
from training.data.examples import UNLABELLED, TaggedTokens
from training.data.samples import clues

CLUE_SENTENCE = "He needs to work harder, Pavlos said about Srivatsan"
OTHER_CLUE = "He needs to work harder, Pavlos was told by Srivatsan"
CLUE_MODELS = {"both directions": "sample-clue", "one direction": "sample-clue-one-direction"}
_MOST_SEQUENCES = 256

Day = dict[str, float | None]
WEEK: Sequence[Day] = (
    {"temperature": 14.5, "humidity": 57, "wind": 2.0},
    {"temperature": 14.0, "humidity": 61, "wind": 3.1},
    {"temperature": 14.8, "humidity": None, "wind": 2.4},
    {"temperature": 16.4, "humidity": 67, "wind": 6.2},
    {"temperature": 11.7, "humidity": 88, "wind": 5.1},
    {"temperature": 11.2, "humidity": 86, "wind": 4.8},
    {"temperature": 11.5, "humidity": 84, "wind": 5.3},
)


def tag(client: Client, console: Console) -> None:
    """Many to many, aligned: the names in sentences, people and places that share a name among them."""
    sentences = [
        "Mary Smith lives in New York",
        "Florence met Jordan in Sofia",
        "Jordan is larger than Florence",
        "Lisbon Steel bought a boat from Srivatsan",
    ]
    table = Table("sentence", "spans", title="LabelSequence (sample-tags)")
    for sentence, found in zip(sentences, client.label("sample-tags", sentences).sequences, strict=True):
        table.add_row(sentence, ", ".join(_spans(found)))
    console.print(table)


def forecast(client: Client, console: Console) -> None:
    """The same on numbers: each day's readings, and whether it rains on the day after."""
    steps = client.label("sample-rain", [WEEK]).sequences[0].steps
    table = Table("day", *WEEK[0], "rain tomorrow", title="LabelSequence (sample-rain)")
    for number, (day, step) in enumerate(zip(WEEK, steps, strict=True), start=1):
        shares = {score.label: score.probability for score in step.labels}
        shown = ("missing" if value is None else f"{value:g}" for value in day.values())
        table.add_row(str(number), *shown, f"{shares['rain']:.2f}")
    console.print(table)


def resolve_clues(client: Client, console: Console) -> None:
    """Whom a pronoun means, when only what follows tells: asked of a model of both directions, and of one."""
    table = Table("model", CLUE_SENTENCE, OTHER_CLUE, "of the test sentences", title="LabelSequence: who is he?")
    for directions, model in CLUE_MODELS.items():
        first, second = (
            sequence.steps[0].best for sequence in client.label(model, [CLUE_SENTENCE, OTHER_CLUE]).sequences
        )
        answers = (f"{_name(best.label)} ({best.probability:.2f})" for best in (first, second))
        table.add_row(directions, *answers, f"{clue_accuracy(client, model, clues.load().test):.1f} % right")
    console.print(table)


def clue_accuracy(client: Client, model: str, examples: Sequence[TaggedTokens]) -> float:
    """Percent of the pronouns that the model, as it is served, understands."""
    right = 0
    for start in range(0, len(examples), _MOST_SEQUENCES):
        asked = examples[start : start + _MOST_SEQUENCES]
        found = client.label(model, [example.tokens for example in asked], top_label_count=1).sequences
        for example, sequence in zip(asked, found, strict=True):
            right += all(
                step.best.label == label
                for step, label in zip(sequence.steps, example.tags, strict=True)
                if label != UNLABELLED
            )
    return 100 * right / len(examples)


def _name(label: str) -> str:
    return {clues.FIRST: "Pavlos", clues.SECOND: "Srivatsan"}[label]


def _spans(sequence: LabelledSequence) -> Iterator[str]:
    for span in sequence.spans:
        words = (step.word for step in sequence.steps[span.first_step_index : span.last_step_index + 1])
        yield f"{' '.join(words)} [{span.label} {span.score:.2f}]".replace("[", "\\[")
