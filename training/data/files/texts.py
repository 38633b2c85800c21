"""Running text, and line-aligned pairs of files.   Knows lines and empty lines; no languages."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal

from training.data.examples import Origin, PlainText, TextPair
from training.data.files.lines import numbered_lines, wrong_line
from training.errors import DataError


def read_text_units(path: Path, unit: Literal["lines", "documents", "files"]) -> Iterator[PlainText]:
    """Give the texts of a file: its lines, its blocks between empty lines, or the file as one. Empty lines are none.

    Raises:
        DataError: there is no text in the file.
    """
    found = False
    for number, text in _units(path, unit):
        found = True
        yield PlainText(text, origin=Origin(str(path), number))
    if not found:
        raise DataError(f"{path}: expected text, found empty lines alone")


def read_parallel(source: Path, target: Path) -> Iterator[TextPair]:
    """Pair the lines of two files.

    Raises:
        DataError: one file has more lines than the other, or a line has no text.
    """
    sources, targets = list(numbered_lines(source)), list(numbered_lines(target))
    if len(sources) != len(targets):
        shorter, longer = sorted([(len(sources), source), (len(targets), target)])
        raise wrong_line(
            shorter[1], shorter[0] + 1, f"as many lines as {longer[1]} has ({longer[0]})", f"the end after {shorter[0]}"
        )
    for (number, one), (_, other) in zip(sources, targets, strict=True):
        for path, text in ((source, one), (target, other)):
            if not text.strip():
                raise wrong_line(path, number, "a sentence", "an empty line")
        yield TextPair(one.strip(), other.strip(), origin=Origin(str(source), number))


def _units(path: Path, unit: Literal["lines", "documents", "files"]) -> Iterator[tuple[int, str]]:
    lines = list(numbered_lines(path))
    if unit == "files":
        text = "\n".join(line for _, line in lines).strip("\n")
        if text.strip():
            yield 1, text
    elif unit == "lines":
        yield from ((number, line.strip()) for number, line in lines if line.strip())
    else:
        for filled, block in groupby(lines, key=lambda line: bool(line[1].strip())):
            if filled:
                numbers, texts = zip(*block, strict=True)
                yield numbers[0], "\n".join(texts)
