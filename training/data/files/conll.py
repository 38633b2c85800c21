"""Sentences in columns, one token a line (CoNLL).   Knows columns, comments and ids; no tag set.

Source: the CoNLL-U format, universaldependencies.org/format.html, for comments, multiword tokens and empty nodes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.examples import Origin, TaggedTokens
from training.data.files.lines import numbered_lines, shorten, wrong_line

_DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True)
class ConllColumns:
    """Which column holds what, counted from 1. What `word_id` means is said at `ConllFiles.id_column`."""

    token: int
    tag: int
    word_id: int | None = None


def read_conll(path: Path, at: ConllColumns) -> Iterator[TaggedTokens]:
    """Give the sentences of a file; see `training.settings.files.ConllFiles`.

    Raises:
        DataError: a line has more or fewer columns than the first, or an empty token or tag.
    """
    sentence: list[tuple[str, str]] = []
    start, width = 1, 0
    for number, line in numbered_lines(path):
        if not line.strip():
            yield from _sentence(path, start, sentence)
            sentence = []
            continue
        if at.word_id is not None and line.startswith("#"):
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        width = width or len(columns)
        _check_columns(path, number, columns, width, at)
        if at.word_id is not None and not _is_word(columns[at.word_id - 1]):
            continue
        start = start if sentence else number
        sentence.append((columns[at.token - 1].strip(), columns[at.tag - 1].strip()))
    yield from _sentence(path, start, sentence)


def _sentence(path: Path, start: int, sentence: Sequence[tuple[str, str]]) -> Iterator[TaggedTokens]:
    tokens, tags = tuple(token for token, _ in sentence), tuple(tag for _, tag in sentence)
    if tokens and tokens != (_DOCUMENT_START,):
        yield TaggedTokens(tokens, tags, origin=Origin(str(path), start))


def _is_word(word_id: str) -> bool:
    return "-" not in word_id and "." not in word_id


def _check_columns(path: Path, number: int, columns: Sequence[str], width: int, at: ConllColumns) -> None:
    needed = max(at.token, at.tag, at.word_id or 1)
    if len(columns) < needed:
        raise wrong_line(path, number, f"at least {needed} columns", f"{len(columns)} in {shorten(' '.join(columns))}")
    if len(columns) != width:
        raise wrong_line(path, number, f"{width} columns as in the lines before it", f"{len(columns)}")
    for what, column in (("token", at.token), ("tag", at.tag)):
        if not columns[column - 1].strip():
            raise wrong_line(path, number, f"a {what} in column {column}", "none")
