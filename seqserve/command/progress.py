"""How far a run is, on standard error, where a person looks at it.   Knows no input and no answer."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TimeElapsedColumn

from seqserve.command.outputs import is_terminal


def is_shown() -> bool:
    """Whether a person looks at standard error and sees no answers: on a terminal they are progress enough."""
    return is_terminal(sys.stderr) and not is_terminal(sys.stdout)


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar that is gone in the end; gives what is called with how many of `total` inputs are done. None is unknown."""
    columns = (BarColumn(), MofNCompleteColumn(), TaskProgressColumn(show_speed=True), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_shown()) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
