"""A run of many inputs on the screen: answers in order, complaints of those refused, how far it is.

Takes answers from wherever; knows no verb.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import typer

from seqserve.command.inputs import Inputs, Origin
from seqserve.command.outputs import OutputFormat, Screen, View, complain
from seqserve.command.progress import progress
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
    then: Callable[[Answer[Input, Value]], object] = lambda _: None,
) -> None:
    """Show the answers of a run as they come.

    Args:
        answers: of `inputs`, in their order.
        inputs: tell where each came from.
        view: how an answer looks.
        output: in which format.
        named: what to call an input.
        total: how many inputs there are, blank lines included, if that is known.
        then: is given every answer that was shown; raises a ValueError to complain.

    Raises:
        typer.Exit: 1, there were complaints.
    """
    screen, all_well = Screen(output, view.columns), True
    with progress(total) as advance:
        for answer in answers:
            origin = inputs.origins.popleft()
            screen.show_blank_lines(view, origin.blank_line_count)
            shown = _show(screen, view, answer, origin.name, named(answer.input, origin))
            all_well &= shown and done(origin.name, partial(then, answer))
            advance(origin.number)
    screen.show_blank_lines(view, inputs.blank_line_count)
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


def done(name: str, work: Callable[[], object]) -> bool:
    """Do some work; complain of a ValueError, and tell whether there was none."""
    try:
        work()
    except ValueError as error:
        complain(name, error)
        return False
    return True
