"""A run of many inputs on the screen: answers in order, complaints of those refused, how far it is.

Takes answers from wherever; knows no verb.
"""

from collections.abc import Callable, Iterator
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
    then: Callable[[Answer[Input, Value], int], object] = lambda _answer, _number: None,
) -> None:
    """Show the answers of a run as they come.

    Args:
        answers: of `inputs`, in their order.
        inputs: tell where each came from.
        view: how an answer looks.
        output: in which format.
        named: what to call an input.
        total: how many inputs there are, blank lines included, if that is known.
        then: is given every answer that was shown, and its number from 1; raises a ValueError to complain.

    Raises:
        typer.Exit: 1, there were complaints.
    """
    screen, failed, shown = Screen(output, view.columns), False, 0
    with progress(total) as advance:
        for answer in answers:
            origin = inputs.origins.popleft()
            fields = named(answer.input, origin)
            if view.line_for_line:
                screen.show_blank_lines(origin.blank_line_count)
            if answer.error is None:
                source = "\t".join(value for value in fields.values() if isinstance(value, str))
                screen.show(view, source, answer.value, {**fields, "model": str(answer.model_version)})
                shown += 1
                failed |= not done(origin.name, partial(then, answer, shown))
            else:
                failed = True
                screen.refuse(origin.name, answer.error, fields)
                screen.show_blank_lines(int(view.line_for_line))
            advance(origin.number)
    if view.line_for_line:
        screen.show_blank_lines(inputs.blank_line_count)
    screen.close()
    if failed:
        raise typer.Exit(1)


def done(name: str, work: Callable[[], object]) -> bool:
    """Do some work; complain of a ValueError, and tell whether there was none."""
    try:
        work()
    except ValueError as error:
        complain(name, error)
        return False
    return True
