"""What the memory does while the model reads an example: what it forgets, takes in, keeps."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from training.data.examples import AnyExample, LabelledSeries, LabelledText, PlainText, TaggedTokens, TextPair
from training.evaluation.gates import LayerTrace, trace_gates, trace_rows
from training.reporting.charts import draw_averages
from training.reporting.document import Block, Heading, Picture, Section, Table, Text
from training.reporting.findings import Findings
from training.reporting.heat_maps import draw_gates
from training.tasks.labelling import LabellingTask

DoubleArray = npt.NDArray[np.float64]

_STEPS_DRAWN = 30
_CHARACTERS_READ = 500
"""Of a text: more than the tokens that are drawn."""
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

_CAPTION = (
    "By unit: a row is a unit, and units are sorted by what they end in. On average: the mean over the units; the "
    "change of a state is how far its units moved at this place, and a peak is where the model updates its memory."
)

_MOVED = "The memory moved furthest at {token}."
_SENTENCES: Mapping[str, tuple[str, Callable[[DoubleArray], np.intp], bool]] = {
    "forget gate": ("Most was forgotten at {token}: the forget gate kept {value:.0%} on average.", np.argmin, True),
    "input gate": ("Most was taken in at {token}: the input gate was open {value:.0%}.", np.argmax, False),
    "output gate": ("Most was shown at {token}: the output gate was open {value:.0%}.", np.argmax, False),
    "reset gate": ("Least of the past was used at {token}: the reset gate was open {value:.0%}.", np.argmin, True),
    "update gate": ("Most was updated at {token}: the update gate kept {value:.0%} on average.", np.argmin, True),
    "change of the cell state": (_MOVED, np.argmax, False),
    "change of the hidden state": (_MOVED, np.argmax, False),
}
"""What is said of an average, at which of its extremes, and whether it is of what was remembered before."""


def memory_section(findings: Findings, text: str | None) -> Section:
    """Gates and states of every layer and direction over a text, or over a test example if there is none."""
    shown, layers = _trace(findings, text)
    blocks: list[Block] = [
        Text(f"Every layer, computed by the cell's equations while it reads {shown}"),
        Table(
            "how to read it", ("signal", "meaning"), [(name, _MEANING[name]) for name in layers[0].signals], _CAPTION
        ),
    ]
    for layer in layers:
        blocks += _layer_blocks(layer, findings.step_name)
    return Section("Memory", blocks)


def _layer_blocks(layer: LayerTrace, unit: str) -> Iterator[Block]:
    averages = averages_of(layer)
    rows = [(step, *(f"{values[place]:.3f}" for values in averages.values())) for place, step in enumerate(layer.steps)]
    yield Heading(layer.title)
    yield Text(" ".join(narrate(averages, layer, unit=unit)))
    yield Picture(f"{layer.title}: gates and states, by unit", "", draw_gates([layer]))
    yield Picture(f"{layer.title}: gates and states, on average", "", draw_averages(averages, layer.steps))
    yield Table(f"{layer.title}: means over units", (unit, *averages), rows, folded=True)


def _trace(findings: Findings, text: str | None) -> tuple[str, list[LayerTrace]]:
    """What is read, in words, and the layers that read it."""
    task, test = findings.task, findings.splits.test
    if text is None and isinstance(task, LabellingTask) and isinstance(test[0], LabelledSeries):
        return f"the first steps of {test[0].name or 'the first test series'}", trace_rows(task, _rows_of(test[0]))
    shown = example_text(test) if text is None else text
    short = shown[:_CHARACTERS_READ]
    return repr(short), trace_gates(task, short, limit=_STEPS_DRAWN)


def _rows_of(series: LabelledSeries) -> list[dict[str, float]]:
    names = [column.name for column in series.columns]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in series.features[:_STEPS_DRAWN]
    ]


def example_text(examples: Sequence[AnyExample]) -> str:
    """Choose the example whose length shows something and still fits a picture; the first of several."""
    texts = [text for text in map(_text_of, examples) if text.strip()]
    return min(texts, key=lambda text: abs(len(text) - _WANTED_CHARACTERS))


def narrate(averages: Mapping[str, DoubleArray], layer: LayerTrace, *, unit: str) -> list[str]:
    """Say in words where a layer's memory did most.

    Args:
        averages: by title, [steps], as `averages_of` has them.
        layer: of which they are. Where it began with an empty memory, the first step that it read is passed over for
            what is said of the old state.
        unit: what a step is called.
    """
    said = []
    for title, values in averages.items():
        sentence, extreme, of_the_past = _SENTENCES[title]
        places = _with_a_past(layer) if of_the_past else slice(None)
        place = int(extreme(values[places])) + (places.start or 0)
        said.append(sentence.format(token=_named(layer.steps[place], place, unit), value=values[place]))
    return said


def _with_a_past(layer: LayerTrace) -> slice:
    """The steps at which there was something to forget; all of them where there is but one."""
    if layer.start.any() or len(layer.steps) == 1:
        return slice(None)
    return slice(None, -1) if layer.backwards else slice(1, None)


def _named(step: str, place: int, unit: str) -> str:
    where = f"{unit} {place + 1}"
    return where if step == str(place + 1) else f"{step!r} ({where})"


def averages_of(layer: LayerTrace) -> dict[str, DoubleArray]:
    """Return each gate's mean over the units, and the state's mean change from the step read before; [steps] each."""
    found: dict[str, DoubleArray] = {}
    for name, signal in layer.signals.items():
        values = signal.astype(np.float64)
        if name.endswith("state"):
            before = np.vstack([values[1:], layer.start]) if layer.backwards else np.vstack([layer.start, values[:-1]])
            found[f"change of the {name}"] = np.abs(values - before).mean(axis=1)
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
