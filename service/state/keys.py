"""Keys that state tokens are signed with: one line each in a file.   Knows no token."""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from service.errors import SettingsError

MOST_KEY_FILE_BYTES = 64 * 1024
LEAST_SECRET_BYTES = 32
"""As long as what HMAC-SHA256 gives; a shorter secret would be the weakest part."""
MOST_SECRET_BYTES = 128

_LINE = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,32})\s+(?P<secret>(?:[0-9A-Fa-f]{2})+)")
_EXPECTED = (
    f"an id (1 to 32 of A-Z a-z 0-9 . _ -), a blank, and a secret of {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes "
    "in hexadecimal"
)


@dataclass(frozen=True)
class Key:
    """A secret and the id by which tokens name it."""

    id: str
    secret: bytes = field(repr=False)


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a key file. The first key signs, all of them verify.

    Raises:
        SettingsError: it cannot be read, others may read or change it, or a line is not a key; no message holds a
            secret.
    """
    if path.exists() and not path.is_file():  # opening a pipe might wait for ever
        raise _refused(path, "is no file")
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(MOST_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IRWXO):
        raise _refused(path, f"may be read or changed by others (mode {stat.S_IMODE(mode):o}): chmod 640, or stricter")
    if len(raw) > MOST_KEY_FILE_BYTES:
        raise _refused(path, f"has more than {MOST_KEY_FILE_BYTES} bytes")
    return _parse(path, raw.decode("ascii", "replace"))


def _parse(path: Path, text: str) -> tuple[Key, ...]:
    keys: dict[str, Key] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        found = _LINE.fullmatch(content)
        if found is None or not LEAST_SECRET_BYTES <= len(found["secret"]) // 2 <= MOST_SECRET_BYTES:
            raise _refused(path, f"line {number} is no key; expected {_EXPECTED}")
        if found["id"] in keys:
            raise _refused(path, f"line {number}: the id {found['id']} stands on a line above, too")
        keys[found["id"]] = Key(found["id"], bytes.fromhex(found["secret"]))
    if not keys:
        raise _refused(path, f"holds no key; expected lines of {_EXPECTED}")
    return tuple(keys.values())


def new_key_line(key_id: str) -> str:
    """A line for a key file, with a secret that was just drawn."""
    return f"{key_id} {secrets.token_hex(LEAST_SECRET_BYTES)}\n"


@contextmanager
def ephemeral_key_file() -> Iterator[Path]:
    """A key file that only this user may read, with a key of its own, gone in the end.

    Raises:
        SettingsError: there is no folder for temporary files.
    """
    with _private_file(new_key_line(f"ephemeral-{secrets.token_hex(4)}"), setting="ephemeral_state_key") as path:
        yield path


@contextmanager
def copied_key_file(path: Path) -> Iterator[Path]:
    """A copy of the keys that only this user may read, gone in the end.

    A worker that is started later reads the keys that the others have, whatever has become of `path`.

    Raises:
        SettingsError: as of `read_keys`, or there is no folder for temporary files.
    """
    lines = "".join(f"{key.id} {key.secret.hex()}\n" for key in read_keys(path))
    with _private_file(lines, setting="state_keys") as copy:
        yield copy


@contextmanager
def _private_file(text: str, *, setting: str) -> Iterator[Path]:
    """A file, and not the command line of the workers that read it, which everybody sees."""
    with ExitStack() as undo:
        try:
            path = Path(undo.enter_context(TemporaryDirectory(prefix="seqserve-keys-"))) / "state-keys"  # in mode 700
            path.touch(mode=0o600)
            path.write_text(text)
        except OSError as error:
            problem = f"{setting}: no temporary file can be written: {error.strerror}"
            raise SettingsError(problem, setting=setting) from error
        yield path


def _refused(path: Path, problem: str) -> SettingsError:
    return SettingsError(f"state_keys: {path} {problem}", setting="state_keys")
