"""How each verb's answers look as text and as rows of a table.   Prints nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from seqserve.command.outputs import View
from seqserve.results import (
    Classification,
    GeneratedText,
    Hypothesis,
    LabelledSequence,
    LabelScore,
    Model,
    Translation,
    TranslationScore,
)


def classifications() -> View[Classification]:
    """A text, and below it a line per label."""

    def text(source: str, found: Classification) -> str:
        width = max((len(score.label) for score in found.labels), default=0)
        return "\n".join([source, *(f"  {score.label:<{width}} {score.probability:>7.1%}" for score in found.labels)])

    def rows(source: str, found: Classification) -> Iterator[Sequence[str]]:
        for score in found.labels:
            yield source, score.label, f"{score.probability:.1%}"
            source = ""  # once is enough

    return View(text, ("text", "label", "probability"), rows)


def labels(row_names: Mapping[str, Sequence[str]]) -> View[LabelledSequence]:
    """A line per step, its labels behind its word, or behind the row's name where `row_names` has those of a source."""

    def names_of(source: str, found: LabelledSequence) -> Sequence[str]:
        return row_names.get(source) or [step.word for step in found.steps]

    def text(source: str, found: LabelledSequence) -> str:
        names = names_of(source, found)
        width = max(map(len, names), default=0)
        steps = [f"{name:<{width}}  {_labels(step.labels)}" for name, step in zip(names, found.steps, strict=True)]
        return "\n".join([*steps, *(f"  {span}" for span in _spans(found, names)), ""])

    def rows(source: str, found: LabelledSequence) -> Iterator[Sequence[str]]:
        names = names_of(source, found)
        for name, step in zip(names, found.steps, strict=True):
            yield source, name, _labels(step.labels), ""
            source = ""
        for span in _spans(found, names):
            yield "", "", "", span

    return View(text, ("sequence", "step", "labels", "spans"), rows)


def _labels(scores: Iterable[LabelScore]) -> str:
    return "  ".join(f"{score.label} {score.probability:.1%}" for score in scores)


def _spans(found: LabelledSequence, names: Sequence[str]) -> list[str]:
    return [
        f"{span.label}: {' '.join(names[span.first_step_index : span.last_step_index + 1])} ({span.score:.1%})"
        for span in found.spans
    ]


def translations(*, scored: bool) -> View[Translation]:
    """A translation on a line; where `scored`, a line for it and for each alternative: score, tabulator, text."""

    def text(_: str, found: Translation) -> str:
        if not scored:
            return found.text
        return "\n".join(f"{_score(one)}\t{one.text}" for one in (found, *found.alternatives))

    def rows(source: str, found: Translation) -> Iterator[Sequence[str]]:
        for one in (found, *found.alternatives):
            yield source, one.text, _score(one)
            source = ""

    return View(text, ("text", "translation", "score"), rows, line_for_line=not scored)


def _score(one: Hypothesis) -> str:
    return "" if one.score is None else f"{one.score:.4f}"


def scores() -> View[TranslationScore]:
    """A line of log-probability, text and translation; the last two are the source, with a tabulator between."""

    def text(source: str, found: TranslationScore) -> str:
        return f"{found.log_probability:.4f}\t{source}"

    def rows(source: str, found: TranslationScore) -> Iterator[Sequence[str]]:
        yield f"{found.log_probability:.4f}", *source.split("\t", 1)

    return View(text, ("log_probability", "text", "translation"), rows)


def generated(*, numbered: bool) -> View[tuple[GeneratedText, ...]]:
    """The samples of a prompt, under their numbers where there are several."""

    def text(_: str, found: tuple[GeneratedText, ...]) -> str:
        if not numbered:
            return found[0].text
        return "\n".join(f"--- {number}\n{one.text}" for number, one in enumerate(found, start=1))

    def rows(source: str, found: tuple[GeneratedText, ...]) -> Iterator[Sequence[str]]:
        for one in found:
            yield source, one.text, str(one.token_count), one.finish_reason.value
            source = ""

    return View(text, ("prompt", "text", "tokens", "finish_reason"), rows, numbered=numbered)


def models() -> View[Model]:
    """What a version is, what it does, or why it could not be loaded."""

    def cells(model: Model) -> Sequence[str]:
        about = model.failure or _about(model)
        return (
            f"{model.name}@{model.version}", model.state.value, model.task.value, model.precision, model.provider, about
        )  # fmt: skip

    return View(
        lambda _, model: "\t".join(cells(model)),
        ("model", "state", "task", "precision", "provider", "about"),
        lambda _, model: [cells(model)],
    )


def _about(model: Model) -> str:
    if model.labels:
        return ", ".join(model.labels)
    if model.target_language:
        return f"{model.source_language} to {model.target_language}"
    return ""
