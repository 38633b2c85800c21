"""Finds a recipe's examples, by a corpus' name or in a user's own files, and thins or spoils those for training."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from training.data.corpora import CORPORA, folder_of
from training.data.examples import AnySplits, Example, Splits
from training.data.files.read import read_files
from training.data.samples import clues, melodies, mentions, reviews, sentences, weather
from training.data.stable import Chooser
from training.errors import DataError
from training.settings.recipe import DataSettings

SAMPLES: Mapping[str, Callable[[], AnySplits]] = MappingProxyType(
    {
        "sample-clues": clues.load,
        "sample-melodies": melodies.load,
        "sample-mentions": mentions.load,
        "sample-reviews": reviews.load,
        "sample-sentences": sentences.load,
        "sample-weather": weather.load,
    }
)
"""Generator of each sample, by the name that recipes use."""


def load_examples(settings: DataSettings, *, data_folder: Path | None, files_folder: Path) -> AnySplits:
    """Load what a recipe trains on, whole.

    Args:
        settings: which corpus, or which files.
        data_folder: as `load_corpus`.
        files_folder: that the paths of a user's own files are relative to: the recipe's.

    Raises:
        DataError: as `load_corpus` and `read_files`.
    """
    if settings.files is not None:
        return read_files(settings.files, files_folder)
    return load_corpus(settings.corpus or "", data_folder)


def load_corpus(name: str, data_folder: Path | None) -> AnySplits:
    """Load a corpus, whole.

    Args:
        name: a sample, or a corpus with a folder in `data_folder`.
        data_folder: where the real corpora are; None when the user named no folder. Samples need none.

    Raises:
        DataError: an unknown name, no folder, or a file that is missing or not of the form that its reader expects.
    """
    if name in SAMPLES:
        return SAMPLES[name]()
    if name not in CORPORA:
        raise DataError(f"corpus {name!r} is unknown; known are {', '.join([*SAMPLES, *CORPORA])}")
    if data_folder is None:
        raise DataError(
            f"corpus {name!r} is not part of the project: name the folder that holds {folder_of(name)}/ (SEQSERVE_DATA)"
        )
    folder = data_folder / folder_of(name)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected the folder of corpus {name!r}, there is none; see `python -m training data fetch`"
        )
    return CORPORA[name](folder)


def select_examples(splits: Splits[Example], settings: DataSettings, *, seed: int) -> Splits[Example]:
    """Apply `max_examples` and `shuffle_labels` to the training examples; validation and test stay as they are.

    `max_examples` are the same ones whatever the seed, which decides how labels are shuffled.
    """
    training = list(splits.training)
    if settings.max_examples is not None and settings.max_examples < len(training):
        training = Chooser("max_examples").shuffled(training)[: settings.max_examples]
    if settings.shuffle_labels:
        training = shuffle_answers(training, seed=seed)
    return replace(splits, training=tuple(training))


def shuffle_answers(examples: list[Example], *, seed: int) -> list[Example]:
    """Break the link between input and answer, and leave all else: the negative control.

    Labels, or targets, are dealt out anew among the examples; the characters of a plain text change places.
    """
    chooser = Chooser(f"shuffle_labels {seed}")
    order = chooser.shuffled(range(len(examples)))
    return [example.with_answer_of(examples[other], chooser) for example, other in zip(examples, order, strict=True)]
