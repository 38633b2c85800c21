"""Brings a corpus from its official address into the data folder.   Knows addresses and hashes; reads no corpus.

Each file is written beside its place and moved there when it is whole and, where its hash is known, right. What was
fetched, from where and with which hash, is recorded in `fetched.json`.
"""

import hashlib
import json
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator
from rich.progress import Progress

from training.errors import DataError
from training.settings.strict import StrictModel

RECORD = "fetched.json"
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 16


class WantedFile(StrictModel):
    """One file of a corpus."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    """Its path in the corpus' folder."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Left out for a living corpus: the hash that is met is recorded."""
    member: str | None = None
    """Its path in the archive at the address; left out: the address is the file."""


class Download(StrictModel):
    """One address."""

    address: Annotated[str, Field(pattern=r"^https?://")]
    files: Annotated[tuple[WantedFile, ...], BeforeValidator(tuple), Field(min_length=1)]

    @model_validator(mode="after")
    def _an_archive_or_one_file(self) -> Self:
        if len(self.files) > 1 and any(file.member is None for file in self.files):
            raise ValueError("several files come from an archive, each as a member")
        return self


class Address(StrictModel):
    """Where the files of one folder are to be had."""

    downloads: Annotated[tuple[Download, ...], BeforeValidator(tuple)] = ()
    by_hand: str | None = None
    """Where a person finds them, if no program may or can."""


@cache
def addresses() -> Mapping[str, Address]:
    """Return the addresses by the corpus' folder, from `addresses.toml`."""
    document = tomllib.loads(Path(__file__).with_name("addresses.toml").read_text())
    return TypeAdapter(dict[str, Address]).validate_python(document)


def fetch_corpus(address: Address, folder: Path, progress: Progress) -> list[Path]:
    """Fetch what is not there yet.

    Args:
        address: of the corpus.
        folder: of the corpus; made if need be.
        progress: gets a bar per download, in bytes.

    Returns:
        The files that are new.

    Raises:
        DataError: an address cannot be reached, gives something else than what it should, or must be visited by hand.
    """
    if address.by_hand is not None:
        raise DataError(f"{folder.name} cannot be fetched by a program: {address.by_hand}; put the files into {folder}")
    new = []
    for download in address.downloads:
        missing = [file for file in download.files if not _is_there(folder / file.name, file.sha256)]
        if missing:
            new += _fetch(download, missing, folder, progress)
    return new


def _is_there(path: Path, sha256: str | None) -> bool:
    return path.is_file() and (sha256 is None or hashlib.sha256(path.read_bytes()).hexdigest() == sha256)


def _fetch(download: Download, files: list[WantedFile], folder: Path, progress: Progress) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        fetched = Path(temporary) / "download"
        _download(download.address, fetched, progress)
        ready = [
            (file, _take(file, fetched, Path(temporary) / f"{index}", download.address))
            for index, file in enumerate(files)
        ]
        for file, part in ready:
            (folder / file.name).parent.mkdir(exist_ok=True)
            part.replace(folder / file.name)
    _record(folder, download.address, files)
    return [folder / file.name for file in files]


def _download(address: str, path: Path, progress: Progress) -> None:
    request = urllib.request.Request(address, headers={"User-Agent": "seqserve-training"})  # noqa: S310 - http(s), checked
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response, path.open("wb") as file:  # noqa: S310
            size = response.headers.get("Content-Length")
            bar = progress.add_task(address.rsplit("/", 1)[-1], total=int(size) if size else None)
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                progress.advance(bar, len(chunk))
    except (OSError, ValueError) as error:
        raise DataError(f"{address}: cannot be fetched: {error}") from error
    if size and path.stat().st_size != int(size):
        raise DataError(f"{address}: expected {size} bytes, the connection ended after {path.stat().st_size}")


def _take(file: WantedFile, fetched: Path, part: Path, address: str) -> Path:
    """Put one file into `part`, out of the archive if there is one, and check its hash."""
    if file.member is None:
        part = fetched
    else:
        try:
            with _opened_member(fetched, file.member) as member:
                part.write_bytes(member.read())
        except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"{address}: expected an archive with {file.member}: {error}") from error
    found = hashlib.sha256(part.read_bytes()).hexdigest()
    if file.sha256 is not None and found != file.sha256:
        raise DataError(f"{address}: expected {file.name} with sha256 {file.sha256}, found {found}; nothing was kept")
    return part


@contextmanager
def _opened_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, zipped.open(name) as member:
            yield member
        return
    with tarfile.open(archive) as packed:
        found = packed.extractfile(name)
        if found is None:
            raise KeyError(f"{name} is not a file")
        yield found


def _record(folder: Path, address: str, files: list[WantedFile]) -> None:
    path = folder / RECORD
    record = json.loads(path.read_text()) if path.exists() else {}
    for file in files:
        raw = (folder / file.name).read_bytes()
        record[file.name] = {
            "address": address,
            "bytes": len(raw),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    path.write_text(json.dumps(record, indent=2) + "\n")
