"""Sentences with their translations: Tatoeba's, as manythings.org packs them for Anki, and captions of Multi30k."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from training.data.examples import Origin, Splits, TextPair
from training.data.files.lines import numbered_lines, packed_or_not, shorten, wrong_line
from training.data.files.texts import read_parallel
from training.data.splitting import split_by_hash
from training.data.stable import stable_fraction

_TATOEBA_SHARE = 0.01
"""Of the groups of pairs, for validation, and as much for test."""
_TYPED_SHARE = 0.2
"""Of the training pairs, to lose their last mark."""


def read_manythings_ita_eng(folder: Path) -> Splits[TextPair]:
    """English sentences with Italian translations; many sentences have several, on both sides.

    File `ita.txt` (as in the official archive) or `formatted.txt.gz`, one `ENGLISH<tab>ITALIAN` per line, a third
    column (attribution) ignored, CRLF or LF. The corpus has no splits of its own. Sentences that share a translation,
    directly or over others, stay together, and so no test sentence nor any paraphrase of it that the corpus knows is
    trained. See `split_by_hash`.
    Source: Tatoeba, CC BY 2.0 FR, by way of manythings.org/anki.

    Raises:
        DataError: the file is missing, or a line is not of this form.
    """
    official = folder / "ita.txt"
    path = official if official.exists() else folder / "formatted.txt.gz"
    return split_by_hash(list(dict.fromkeys(_paired_lines(path))), validation=_TATOEBA_SHARE, test=_TATOEBA_SHARE)


def read_manythings_ita_eng_typed(folder: Path) -> Splits[TextPair]:
    """The same as people type: a fifth of the training pairs lack the mark that both sides end with.

    Nearly all sentences of the corpus end with one, and a model that never saw another end goes on where none stands.
    Validation and test are as they were.

    Raises:
        DataError: as `read_manythings_ita_eng`.
    """
    splits = read_manythings_ita_eng(folder)
    return replace(splits, training=tuple(map(_as_typed, splits.training)))


def _as_typed(pair: TextPair) -> TextPair:
    mark = pair.source[-1]
    ends_alike = mark in ".?!" and pair.target.endswith(mark) and min(len(pair.source), len(pair.target)) > 1
    if not ends_alike or stable_fraction("typed", pair.source, pair.target) >= _TYPED_SHARE:
        return pair
    return replace(pair, source=pair.source[:-1], target=pair.target[:-1])


@dataclass(frozen=True)
class Multi30k:
    """Reader of one view of the files: English into German.

    Files `{train,val,test_2016_flickr,test_2017_flickr}.{en,de}`, or `*.lc.norm.tok.*`, packed or not, line-aligned.
    29,000 / 1,014 / 1,000 captions. For non-commercial research and education.
    Source: Elliott et al. 2016; github.com/multi30k/dataset.

    Attributes:
        tokenized: the text that the corpus' authors lower-cased, normalised and tokenised, on which most papers score.
        test: which test set.
    """

    tokenized: bool
    test: Literal["test_2016_flickr", "test_2017_flickr"]

    def __call__(self, folder: Path) -> Splits[TextPair]:
        """Read the files.

        Raises:
            DataError: a file is missing, or has a line that the other language lacks.
        """
        return Splits(*(tuple(self._part(folder, part)) for part in ("train", "val", self.test)))

    def _part(self, folder: Path, part: str) -> list[TextPair]:
        kind = ".lc.norm.tok" if self.tokenized else ""
        source, target = (packed_or_not(folder, f"{part}{kind}.{language}") for language in ("en", "de"))
        return list(read_parallel(source, target))


def _paired_lines(path: Path) -> Iterator[TextPair]:
    file = str(path)
    for number, line in numbered_lines(path):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) not in (2, 3) or not (columns[0] and columns[1]):
            raise wrong_line(path, number, "`English<tab>Italian`", shorten(line))
        yield TextPair(columns[0], columns[1], origin=Origin(file, number))
