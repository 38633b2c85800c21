"""A melody in ABC notation as a MIDI file, by symusic, which is loaded for it alone.   Knows no server."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

CONVERSION_SECONDS = 60

# In a process of its own: symusic runs abc2midi, which writes its warnings to standard output, where the melody goes.
CONVERT = """
import sys
from symusic import Score
Score.from_abc(sys.stdin.read()).dump_midi(sys.argv[1])
"""


def check_midi(path: Path) -> None:
    """Refuse what could not be written, before anything is asked.

    Raises:
        typer.BadParameter: there is no such folder, or symusic is not installed.
    """
    if importlib.util.find_spec("symusic") is None:
        raise typer.BadParameter("needs more than the command: pip install 'seqserve[midi]'", param_hint="--midi")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint="--midi")


def save_midi(melody: str, path: Path) -> None:
    """Save a melody.

    Args:
        melody: a tune in ABC notation; its `X:` line may be missing.
        path: the file.

    Raises:
        ValueError: it is no tune, says what is wrong; or the file cannot be written.
    """
    if not re.search(r"^X:", melody, re.MULTILINE):
        melody = f"X:1\n{melody}"
    with TemporaryDirectory() as folder:
        made = Path(folder) / "melody.mid"
        command = [sys.executable, "-c", CONVERT, str(made)]
        done = subprocess.run(  # noqa: S603 - our own code; the melody is its standard input
            command, input=melody, capture_output=True, text=True, check=False, timeout=CONVERSION_SECONDS
        )
        if done.returncode or not made.exists():
            raise ValueError(f"no melody in ABC notation: {_complaint(done.stdout)}")
        try:
            path.write_bytes(made.read_bytes())
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error


def _complaint(output: str) -> str:
    """The last error of abc2midi."""
    errors = [line for line in output.splitlines() if line.startswith("Error")]
    return errors[-1] if errors else "it could not be converted"
