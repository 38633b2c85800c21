"""What is saved of an answer that was shown, each in a file of its own: FILE, then FILE-2, FILE-3 and so on.

Shows nothing and asks no server.
"""

import importlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import typer

from seqserve.command.files.melodies import check_midi, save_midi
from seqserve.command.files.states import check_state_file, save_state
from seqserve.results import GeneratedText, LabelledSequence, Translation


def saving_melodies(midi: Path, *, echo: bool) -> Callable[[str, tuple[GeneratedText, ...]], None]:
    """What saves the melodies that continue a prompt; with `echo` they begin with it themselves.

    Raises:
        typer.BadParameter: the file could not be written, or symusic is not installed.
    """
    check_midi(midi)
    files = _numbered(midi)

    def save(prompt: str, melodies: tuple[GeneratedText, ...]) -> None:
        for melody in melodies:
            save_midi(melody.text if echo else prompt + melody.text, next(files))

    return save


def saving_states(file: Path) -> Callable[[object, LabelledSequence | tuple[GeneratedText, ...]], None]:
    """What saves the state tokens of texts, or of a sequence.

    Raises:
        typer.BadParameter: the file could not be written.
    """
    check_state_file(file)
    files = _numbered(file)

    def save(_: object, found: LabelledSequence | tuple[GeneratedText, ...]) -> None:
        for one in found if isinstance(found, tuple) else (found,):
            save_state(one.state_token, next(files))

    return save


def saving_attention(alignment: Path) -> Callable[[str, Translation], None]:
    """What draws the attention of a translation.

    Raises:
        typer.BadParameter: the file could not be written, or matplotlib is not installed.
    """
    try:
        pictures = importlib.import_module("seqserve.command.files.pictures")
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"needs {error.name}: pip install 'seqserve[cli]'", param_hint="--alignment"
        ) from error
    pictures.check_picture(alignment)
    files = _numbered(alignment)

    def save(_: str, translation: Translation) -> None:
        if translation.attention:
            pictures.draw_attention(translation.attention, next(files))

    return save


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_stem(f"{path.stem}-{number}")
