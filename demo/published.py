"""The demo's questions to the published models: one for each that is in bundles/, whatever set that is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seqserve import Client, GenerateOptions, Model, Task

LECTURE_SENTENCE = "The black dog jumped over the cat."
_TEXTS: Mapping[str, str] = {
    "en-it": LECTURE_SENTENCE,
    "multi30k-en-de": "two dogs are running through the snow .",
    "imdb": "The music is lovely, but the plot makes no sense and I was bored to the end.",
    "names": "Papadopoulos",
    "pos-tags": "She quickly wrote two letters to London .",
    "melody": "M:6/8\nL:1/8\nK:D\n",
    "shakespeare": "ROMEO:\n",
}
"""What each model is asked; those that take readings get the days below, and any other the sentence above."""
_MOST_TOKENS = 120

Day = Mapping[str, float]
FINE_WEEK: Sequence[Day] = [
    {"MinTemp": 14, "MaxTemp": 29, "Rainfall": 0, "Sunshine": 12, "Humidity9am": 50, "Humidity3pm": 22,
     "Pressure9am": 1024, "Pressure3pm": 1021, "Cloud9am": 0, "Cloud3pm": 0, "Temp9am": 19, "Temp3pm": 28,
     "RainToday": 0}
] * 5  # fmt: skip
COLD_FRONT: Sequence[Day] = [
    *FINE_WEEK[:3],
    {"MinTemp": 15, "MaxTemp": 22, "Rainfall": 4, "Sunshine": 3, "WindGustSpeed": 60, "Humidity9am": 80,
     "Humidity3pm": 78, "Pressure9am": 1008, "Pressure3pm": 1003, "Cloud9am": 7, "Cloud3pm": 8, "Temp9am": 17,
     "Temp3pm": 19, "RainToday": 1},
    {"MinTemp": 11, "MaxTemp": 15, "Rainfall": 14, "Sunshine": 0, "WindGustSpeed": 74, "Humidity9am": 95,
     "Humidity3pm": 94, "Pressure9am": 999, "Pressure3pm": 996, "Cloud9am": 8, "Cloud3pm": 8, "Temp9am": 12,
     "Temp3pm": 13, "RainToday": 1},
]  # fmt: skip
"""Days that anybody would take for dry ones; and for wet ones, of which the last is followed by more."""


def ask_published(client: Client, console: Console, bundles: Path) -> None:
    """Ask every model that has a folder in `bundles` one real question, and show what it says."""
    models = [model for model in client.list_models() if (bundles / model.name).is_dir()]
    if not models:
        return
    table = Table("model", "asked", "answer", title="the published models")
    written: list[str] = []
    for model in models:
        asked, answer = _asked(client, model)
        if model.task is Task.GENERATION:
            written.append(f"{model.name} goes on:\n{asked}{answer}\n")
        else:
            table.add_row(model.name, escape(asked), escape(answer))
    console.print(table)
    for text in written:  # lines of a tune or a play would be cut in a column
        console.print(escape(text), soft_wrap=True)


def _asked(client: Client, model: Model) -> tuple[str, str]:
    """What a model is asked, and what it answers."""
    text = _TEXTS.get(model.name, LECTURE_SENTENCE)
    match model.task:
        case Task.CLASSIFICATION:
            best = client.classify(model.name, text).classifications[0].best
            return text, f"{best.label} ({best.probability:.2f})"
        case Task.LABELLING if model.features:
            return "five days of readings, a cold front at the end", _rain(client, model)
        case Task.LABELLING:
            steps = client.label(model.name, text).sequences[0].steps
            return text, " ".join(f"{step.word}/{step.best.label}" for step in steps)
        case Task.TRANSLATION:
            return text, client.translate(model.name, text, beam_size=5).translations[0].text
    options: GenerateOptions = {"seed": 7, "temperature": 0.5, "max_output_token_count": _MOST_TOKENS}
    return text, client.generate_text(model.name, text, **options).text


def _rain(client: Client, model: Model) -> str:
    """What a model of readings makes of each day of a cold front; what was not read that day is not told."""
    days = [
        {feature.name: day.get(feature.name, feature.imputed_value or 0.0) for feature in model.features}
        for day in COLD_FRONT
    ]
    steps = client.label(model.name, [days]).sequences[0].steps
    return ", ".join(f"{step.best.label} ({step.best.probability:.2f})" for step in steps)
