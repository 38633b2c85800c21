"""From the table `[data.files]` of a recipe to examples in three parts.   Joins readers, splits and checks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, assert_never

from training.data.examples import (
    AnySplits,
    Example,
    LabelledSeries,
    LabelledText,
    Origin,
    PlainText,
    Splits,
    TextPair,
)
from training.data.files.abc import read_abc
from training.data.files.conll import ConllColumns, read_conll
from training.data.files.records import read_records
from training.data.files.series import read_series, split_by_time
from training.data.files.texts import read_parallel, read_text_units
from training.data.labels import require_known_labels
from training.data.splitting import split_by_hash
from training.errors import DataError
from training.settings.files import (
    AbcFiles,
    ConllFiles,
    FileSettings,
    ParallelFiles,
    PathPair,
    PlainFiles,
    RecordFiles,
    SeriesFiles,
    SplitSettings,
)

Source = TypeVar("Source", str, PathPair)


def read_files(settings: FileSettings, folder: Path) -> AnySplits:
    """Read a user's own files.

    Args:
        settings: what they hold.
        folder: that paths are relative to.

    Raises:
        DataError: a file is missing or not what the recipe says it is, a part is empty, or a label of the validation
            or test examples is in no training example.
    """
    match settings:
        case RecordFiles():
            return _record_parts(settings, folder)
        case ConllFiles():
            columns = ConllColumns(settings.token_column, settings.tag_column, settings.id_column)
            return require_known_labels(_parts(settings, folder, lambda path: read_conll(path, columns)))
        case ParallelFiles():
            return _parallel_parts(settings, folder)
        case PlainFiles():
            return _parts(settings, folder, lambda path: read_text_units(path, settings.unit))
        case AbcFiles():
            return _parts(settings, folder, lambda path: read_abc(path, settings.keep_fields))
        case SeriesFiles():
            return require_known_labels(_series_parts(settings, folder))
    assert_never(settings)


def _record_parts(settings: RecordFiles, folder: Path) -> AnySplits:
    match settings.task:
        case "classification":
            return require_known_labels(_parts(settings, folder, _labelled_texts(settings)))
        case "translation":
            return _parts(settings, folder, _text_pairs(settings))
        case _:
            return _parts(settings, folder, _plain_texts(settings))


def _labelled_texts(settings: RecordFiles) -> Callable[[Path], Iterator[LabelledText]]:
    def read(path: Path) -> Iterator[LabelledText]:
        for line, record in read_records(path, settings):
            yield LabelledText(record["text"], record["label"], origin=Origin(str(path), line))

    return read


def _plain_texts(settings: RecordFiles) -> Callable[[Path], Iterator[PlainText]]:
    def read(path: Path) -> Iterator[PlainText]:
        for line, record in read_records(path, settings):
            yield PlainText(record["text"], origin=Origin(str(path), line))

    return read


def _text_pairs(settings: RecordFiles) -> Callable[[Path], Iterator[TextPair]]:
    def read(path: Path) -> Iterator[TextPair]:
        for line, record in read_records(path, settings):
            yield TextPair(record["source"], record["target"], origin=Origin(str(path), line))

    return read


def _parts(
    settings: RecordFiles | ConllFiles | PlainFiles | AbcFiles | SeriesFiles,
    folder: Path,
    read: Callable[[Path], Iterable[Example]],
) -> Splits[Example]:
    def read_all(paths: Sequence[str] | None) -> list[Example]:
        return [example for path in paths or () for example in read(folder / path)]

    training, validation, test = map(read_all, (settings.training, settings.validation, settings.test))
    return _complete(training, validation, test, settings.split)


def _parallel_parts(settings: ParallelFiles, folder: Path) -> Splits[TextPair]:
    def read_all(pairs: Sequence[PathPair] | None) -> list[TextPair]:
        return [text for pair in pairs or () for text in read_parallel(folder / pair.source, folder / pair.target)]

    training, validation, test = map(read_all, (settings.training, settings.validation, settings.test))
    return _complete(training, validation, test, settings.split)


def _series_parts(settings: SeriesFiles, folder: Path) -> Splits[LabelledSeries]:
    if settings.time_split is None:
        return _parts(settings, folder, lambda path: read_series(path, settings))
    splits = split_by_time([folder / path for path in settings.training], settings, settings.time_split)
    return _none_empty(splits, "time_split")


def _complete(
    training: list[Example], validation: list[Example], test: list[Example], split: SplitSettings | None
) -> Splits[Example]:
    """Add what the split rule sets apart to what files of their own hold."""
    if split is None:
        return _none_empty(Splits(tuple(training), tuple(validation), tuple(test)), "the files")
    shares = split_by_hash(training, validation=split.validation or 0.0, test=split.test or 0.0)
    return _none_empty(
        Splits(shares.training, tuple(validation) + shares.validation, tuple(test) + shares.test), "split"
    )


def _none_empty(splits: Splits[Example], rule: str) -> Splits[Example]:
    for part in ("training", "validation", "test"):
        if not getattr(splits, part):
            counts = f"{len(splits.training)} / {len(splits.validation)} / {len(splits.test)}"
            raise DataError(
                f"data.files: expected examples in each part, found training / validation / test {counts} by {rule}"
            )
    return splits
