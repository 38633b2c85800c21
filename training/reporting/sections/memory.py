"""What the memory does while the model reads an example: what it forgets, takes in, keeps."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from training.data.examples import AnyExample, LabelledSeries, LabelledText, PlainText, TaggedTokens, TextPair
from training.evaluation.gates import trace_gates, trace_rows
from training.reporting.charts import draw_averages
from training.reporting.document import Picture, Section, Table, Text
from training.reporting.findings import Findings
from training.reporting.heat_maps import draw_gates
from training.tasks.labelling import LabellingTask

DoubleArray = npt.NDArray[np.float64]
Signals = Mapping[str, npt.NDArray[np.float32]]

_TOKENS_DRAWN = 30
_CHARACTERS_READ = 500
"""Of a text: more than the tokens that are drawn. What comes later changes nothing in them."""
_WANTED_CHARACTERS = 60
"""Length of an example that shows something and still fits."""

_MEANING = {
    "forget gate": "what is kept of the cell state: near 0 (dark) a unit forgets what it held, near 1 it remembers",
    "input gate": "how much of the token is put into the cell state: near 0 it is ignored, near 1 it is taken in",
    "output gate": "how much of the cell state the rest of the network gets to see at this token",
    "cell state": "what the layer remembers: a unit that keeps its colour over many tokens carries something along",
    "reset gate": "how much of the old state goes into the proposal for the new one: near 0 the past is left out",
    "update gate": "what is kept of the old state: near 1 a unit remembers, near 0 (dark) the proposal replaces it",
    "hidden state": "what the layer remembers and shows: a unit that keeps its colour carries something along",
}


def memory_section(findings: Findings, text: str | None) -> Section:
    """Gates and states of the first layer over the tokens of a text, or of a test example if there is none."""
    shown, traced, tokens = _trace(findings, text)
    signals: Signals = {name: signal[:_TOKENS_DRAWN] for name, signal in traced.items()}
    tokens = tokens[:_TOKENS_DRAWN]
    averages = _averages(signals)
    meaning = "; ".join(f"{name}: {_MEANING[name]}" for name in signals)
    units_caption = f"One row per unit, one column per token, sorted by what each unit ends in. {meaning}."
    means_caption = (
        "The same, averaged over the units. Change of a state: how far its units moved at this token, on average; a "
        "peak is a token that the model updates its memory for."
    )
    rows = [(token, *(f"{values[place]:.3f}" for values in averages.values())) for place, token in enumerate(tokens)]
    return Section(
        "Memory",
        [
            Text(f"First layer, reading forwards, computed by the cell's equations: {shown}"),
            Text(" ".join(narrate(averages, tokens, unit=findings.step_name))),
            Picture("gates and states, by unit", units_caption, draw_gates(signals, tokens)),
            Picture("gates and states, on average", means_caption, draw_averages(averages, tokens)),
            Table("means over units", (findings.step_name, *averages), rows),
        ],
    )


def _trace(findings: Findings, text: str | None) -> tuple[str, Signals, list[str]]:
    """What is read, in words; the signals [tokens, units]; the tokens."""
    task, test = findings.task, findings.splits.test
    if text is None and isinstance(task, LabellingTask) and isinstance(test[0], LabelledSeries):
        return f"the first steps of {test[0].name or 'the first test series'}", *trace_rows(task, _rows_of(test[0]))
    shown = example_text(test) if text is None else text
    short = shown[:_CHARACTERS_READ]
    return repr(short), *trace_gates(task, short)


def _rows_of(series: LabelledSeries) -> list[dict[str, float]]:
    names = [column.name for column in series.columns]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in series.features[:_TOKENS_DRAWN]
    ]


def example_text(examples: Sequence[AnyExample]) -> str:
    """Choose the example whose length shows something and still fits a picture; the first of several."""
    texts = [text for text in map(_text_of, examples) if text.strip()]
    return min(texts, key=lambda text: abs(len(text) - _WANTED_CHARACTERS))


def narrate(averages: Mapping[str, DoubleArray], tokens: Sequence[str], *, unit: str) -> list[str]:
    """Say in words at which tokens the memory did most.

    Args:
        averages: by title, [tokens], as `_averages` has them.
        tokens: what was read. The first one is passed over where the old state, which is empty, is what matters.
        unit: what a token is called.
    """
    later = slice(1, None) if len(tokens) > 1 else slice(None)
    rules: Mapping[str, tuple[str, Callable[[DoubleArray], np.intp], slice]] = {
        "forget gate": (
            "Most was forgotten at {token}: the forget gate kept {value:.0%} on average.",
            np.argmin,
            later,
        ),
        "input gate": ("Most was taken in at {token}: the input gate was open {value:.0%}.", np.argmax, slice(None)),
        "output gate": ("Most was shown at {token}: the output gate was open {value:.0%}.", np.argmax, slice(None)),
        "reset gate": ("Least of the past was used at {token}: the reset gate was open {value:.0%}.", np.argmin, later),
        "update gate": ("Most was updated at {token}: the update gate kept {value:.0%} on average.", np.argmin, later),
        "change of the cell state": ("The memory moved furthest at {token}.", np.argmax, slice(None)),
        "change of the hidden state": ("The memory moved furthest at {token}.", np.argmax, slice(None)),
    }
    said = []
    for title, values in averages.items():
        sentence, extreme, places = rules[title]
        place = int(extreme(values[places])) + (places.start or 0)
        where = f"{unit} {place + 1}"
        name = where if tokens[place] == str(place + 1) else f"{tokens[place]!r} ({where})"
        said.append(sentence.format(token=name, value=values[place]))
    return said


def _averages(signals: Signals) -> dict[str, DoubleArray]:
    """Mean of each gate over the units, and mean change of the state from the token before; [tokens] each."""
    found: dict[str, DoubleArray] = {}
    for name, signal in signals.items():
        values = signal.astype(np.float64)
        if name.endswith("state"):
            steps = np.diff(values, axis=0, prepend=np.zeros((1, values.shape[1])))  # the state before all is zero
            found[f"change of the {name}"] = np.abs(steps).mean(axis=1)
        else:
            found[name] = values.mean(axis=1)
    return found


def _text_of(example: AnyExample) -> str:
    match example:
        case LabelledText() | PlainText():
            return example.text
        case TextPair():
            return example.source
        case TaggedTokens():
            return " ".join(example.tokens)
    return ""
