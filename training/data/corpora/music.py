"""Folk tunes in ABC notation."""

from dataclasses import replace
from pathlib import Path

from training.data.examples import PlainText, Splits
from training.data.files.abc import read_abc
from training.data.splitting import split_by_hash
from training.errors import DataError

_FIELDS = "MLK"
"""What a model reads and writes before the notes: metre, unit of length, key."""

_VALIDATION_SHARE, _TEST_SHARE = 0.1, 0.1


def read_nottingham_abc(folder: Path) -> Splits[PlainText]:
    """The Nottingham Music Database: British and American folk tunes with chords.

    Files `ABC_cleaned/*.abc`. 1,034 tunes, split by a hash of the tune.
    Source: jukedeck/nottingham-dataset, GPL-3.0.

    Raises:
        DataError: there is no file, or a tune has no key or no music.
    """
    paths = sorted((folder / "ABC_cleaned").glob("*.abc"))
    if not paths:
        raise DataError(f"{folder / 'ABC_cleaned'}: expected .abc files of the corpus, found none")
    return _split([tune for path in paths for tune in read_abc(path, _FIELDS)])


def read_irish_abc(folder: Path) -> Splits[PlainText]:
    """Irish folk tunes without chords; the marks that end each line of an old program (`!`) are left out.

    File `irish.abc`. 804 tunes, split by a hash of the tune.
    Source: aamini/introtodeeplearning, MIT.

    Raises:
        DataError: the file is missing, or a tune has no key or no music.
    """
    tunes = read_abc(folder / "irish.abc", _FIELDS)
    return _split([replace(tune, text=tune.text.replace("!\n", "\n").removesuffix("!")) for tune in tunes])


def read_folk_abc(folder: Path) -> Splits[PlainText]:
    """The tunes of both corpora together, each in the part that it has in its own.

    Args:
        folder: holds the folders `nottingham-abc` and `irish-abc`.

    Raises:
        DataError: as `read_nottingham_abc` and `read_irish_abc`.
    """
    parts = [read_nottingham_abc(folder / "nottingham-abc"), read_irish_abc(folder / "irish-abc")]
    return _split([tune for one in parts for tune in (*one.training, *one.validation, *one.test)])


def _split(tunes: list[PlainText]) -> Splits[PlainText]:
    return split_by_hash(list(dict.fromkeys(tunes)), validation=_VALIDATION_SHARE, test=_TEST_SHARE)
