"""State tokens in files, from which a text or a sequence goes on another time.   Asks no server."""

from pathlib import Path

import typer


def read_state(path: Path) -> bytes:
    """The token in a file.

    Raises:
        typer.BadParameter: there is no such file, or nothing in it.
    """
    try:
        token = path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--state-in") from error
    if not token:
        raise typer.BadParameter(f"{path} is empty", param_hint="--state-in")
    return token


def check_state_file(path: Path) -> None:
    """Refuse a file that could not be written, before anything is asked.

    Raises:
        typer.BadParameter: there is no such folder.
    """
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint="--state-out")


def save_state(token: bytes | None, path: Path) -> None:
    """Save a token.

    Raises:
        ValueError: there is none, or the file cannot be written.
    """
    if token is None:
        raise ValueError("the text came to its own end, so there is no state to save")
    try:
        path.write_bytes(token)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
