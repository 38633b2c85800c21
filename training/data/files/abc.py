"""Tunes in ABC notation.   Knows where a tune begins and ends, what a field is, and notes by their letters alone.

Source: the ABC music standard 2.1, abcnotation.com/wiki/abc:standard:v2.1, sections 2.2 and 3.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.examples import Origin, PlainText
from training.data.files.lines import numbered_lines, wrong_line
from training.errors import DataError

_FIELD = re.compile(r"([A-Za-z+]):")
_COMMENT = re.compile(r"(?<!\\)%.*")
_NO_NOTES = re.compile(r'"[^"]*"|![^!\n]*!|\[[A-Za-z]:[^\]]*\]')
_NO_LETTER = re.compile("[^A-Ga-g]")


def read_abc(path: Path, keep_fields: str) -> Iterator[PlainText]:
    """Give the tunes of a file, each from its `X:` to the next `X:` or to an empty line behind its music.

    An empty line between fields and music is a slip that files have, and ends nothing.
    Comments are left out, and information fields whose letter is not in `keep_fields`; what remains keeps its order.

    Raises:
        DataError: there is no tune, or one has no key (`K:`) or no music.
    """
    tunes = list(_tunes(path))
    if not tunes:
        raise DataError(f"{path}: expected tunes in ABC notation, found no line that begins with `X:`")
    for start, lines in tunes:
        if not any(line.startswith("K:") for line in lines):
            raise wrong_line(path, start, "a tune with a key (`K:`)", "none")
        if not _has_music(lines):
            raise wrong_line(path, start, "a tune with music", "fields alone")
        kept = [line for line in lines if _is_kept(line, keep_fields)]
        yield PlainText("\n".join(kept), origin=Origin(str(path), start))


def note_letters(text: str) -> str:
    """The letters of a tune's notes, of every octave as capitals; nothing where the text has no key (`K:`).

    Two spellings of a tune share them: metre, lengths, bars, chord symbols, grace and accidental marks are left out.
    """
    lines = text.split("\n")
    if not any(line.startswith("K:") for line in lines):
        return ""
    music = "\n".join(line for line in lines if _FIELD.match(line) is None)
    return _NO_LETTER.sub("", _NO_NOTES.sub("", music)).upper()


def _tunes(path: Path) -> Iterator[tuple[int, list[str]]]:
    start, lines = 0, list[str]()
    for number, line in numbered_lines(path):
        text = _COMMENT.sub("", line).rstrip()
        begins, ends = line.startswith("X:"), not line.strip() and _has_music(lines)
        if lines and (begins or ends):
            yield start, lines
            lines = []
        if begins:
            start = number
        if begins or (lines and text):
            lines.append(text)
    if lines:
        yield start, lines


def _has_music(lines: list[str]) -> bool:
    return any(_FIELD.match(line) is None for line in lines)


def _is_kept(line: str, keep_fields: str) -> bool:
    field = _FIELD.match(line)
    return field is None or field[1] in keep_fields
