"""A run of many inputs on the screen: answers in order, complaints of those refused, how far it is.

Takes answers from wherever; knows no verb.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import typer

from seqserve.command.inputs import Inputs, Origin
from seqserve.command.outputs import OutputFormat, Screen, View, complain
from seqserve.command.progress import progress
from seqserve.errors import SeqserveError
from seqserve.many.answers import Answer

Input = TypeVar("Input")
Value = TypeVar("Value")

Named = Callable[[Input, Origin], dict[str, object]]
"""What to call an input: the fields that its JSON begins with. The values of those that are text are its source."""


def show_run(
    answers: Iterator[Answer[Input, Value]],
    inputs: Inputs[Input],
    view: View[Value],
    output: OutputFormat,
    *,
    named: Named[Input],
    total: int | None = None,
    then: Sequence[Callable[[Input, Value], object]] = (),
) -> None:
    """Show the answers of a run as they come.

    Args:
        answers: of `inputs`, in their order.
        inputs: tell where each came from.
        view: how an answer looks.
        output: in which format.
        named: what to call an input.
        total: how many inputs there are, blank lines included, if that is known.
        then: are given every input whose answer was shown, and that; each raises a ValueError to complain.

    Raises:
        SeqserveError: the first inputs were not answered, nor was any other.
        typer.Exit: 1, there were complaints.
    """
    screen, answered, all_well = Screen(output, view.columns), False, True
    try:
        with progress(total) as advance:
            for answer in answers:
                origin = inputs.origins.popleft()
                screen.show_blank_lines(view, origin.blank_line_count)
                shown = _show(screen, view, answer, origin.name, named(answer.input, origin))
                all_well &= shown and done(origin.name, then, answer.input, answer.value)
                advance(origin.number)
                answered = True
        screen.show_blank_lines(view, inputs.blank_line_count)
    except SeqserveError as error:
        if not answered:
            raise
        complain(f"from {inputs.origins[0].name} on", error)
        all_well = False
    screen.close()
    if not all_well:
        raise typer.Exit(1)


def _show(
    screen: Screen, view: View[Value], answer: Answer[Input, Value], name: str, fields: Mapping[str, object]
) -> bool:
    """Show an answer, or that its input was refused; tell which."""
    if answer.error is not None:
        screen.refuse(name, answer.error, fields)
        screen.show_blank_lines(view, 1)
        return False
    source = "\t".join(value for value in fields.values() if isinstance(value, str))
    screen.show(view, source, answer.value, {**fields, "model": str(answer.model_version)})
    return True


def done(name: str, then: Iterable[Callable[[Input, Value], object]], given: Input, value: Value) -> bool:
    """Do what follows on an answer; complain of each ValueError, and tell whether there was none."""
    all_well = True
    for work in then:
        try:
            work(given, value)
        except ValueError as error:
            complain(name, error)
            all_well = False
    return all_well
