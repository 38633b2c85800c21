"""Surnames by language: the smallest of the real corpora, letter by letter."""

from pathlib import Path

from training.data.examples import LabelledText, Origin, Splits
from training.data.files.lines import numbered_lines, wrong_line
from training.data.splitting import split_by_hash
from training.errors import DataError

_VALIDATION_SHARE, _TEST_SHARE = 0.1, 0.1


def read_names(folder: Path) -> Splits[LabelledText]:
    """Surnames, labelled with their language; a name of several languages has several labels, and is in one part.

    Files `LANGUAGE.txt`, one name a line; what a file repeats counts once. Split by a hash of the name.
    Source: spro/practical-pytorch, MIT.

    Raises:
        DataError: there is no file, or an empty line in one.
    """
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise DataError(f"{folder}: expected files LANGUAGE.txt of the corpus, found none")
    names = [name for path in paths for name in _names(path)]
    return split_by_hash(list(dict.fromkeys(names)), validation=_VALIDATION_SHARE, test=_TEST_SHARE)


def _names(path: Path) -> list[LabelledText]:
    found = []
    for number, line in numbered_lines(path):
        if not line.strip():
            raise wrong_line(path, number, "a name", "an empty line")
        found.append(LabelledText(line.strip(), path.stem, origin=Origin(str(path), number)))
    return found
