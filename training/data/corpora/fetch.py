"""Brings a corpus from its address into the data folder.   Knows addresses and hashes; reads no corpus.

Each file is written beside its place, in the form that its reader looks for, and moved there when it is whole and,
where its hash is known, right. What was fetched, from where and with which hash, is recorded in `fetched.json`.
"""

import gzip
import hashlib
import json
import shutil
import tarfile
import tomllib
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO, Annotated, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator
from rich.progress import Progress

from training.errors import DataError
from training.settings.strict import StrictModel

RECORD = "fetched.json"
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 16

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WantedFile(StrictModel):
    """One file of a corpus."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    """Its path in the corpus' folder."""
    sha256: Sha256 | None = None
    """Of its content; left out, which no file of this project's corpora is, the hash that is met is recorded."""
    member: str | None = None
    """Its path in the archive at the address, or the end of that path; left out: the address is the file."""
    packed: bool = False
    """It is kept packed with gzip, as its reader looks for it."""


class Download(StrictModel):
    """One address."""

    address: Annotated[str, Field(pattern=r"^https?://")]
    sha256: Sha256 | None = None
    """Of what lies there, where the files that are made of it have no hashes of their own."""
    files: Annotated[tuple[WantedFile, ...], BeforeValidator(tuple), Field(min_length=1)]

    @model_validator(mode="after")
    def _an_archive_or_one_file(self) -> Self:
        if len(self.files) > 1 and any(file.member is None for file in self.files):
            raise ValueError("several files come from an archive, each as a member")
        return self


class Address(StrictModel):
    """Where the files of one folder are to be had."""

    downloads: Annotated[tuple[Download, ...], BeforeValidator(tuple), Field(min_length=1)]


MADE_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"folk-abc": ("nottingham-abc", "irish-abc"), "imdb-and-phrases": ("imdb", "sst2-glue")}
)
"""Corpora that have no files of their own, and those whose files they read."""


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
        DataError: an address cannot be reached, or gives something else than what it should.
    """
    new = []
    for download in address.downloads:
        missing = [file for file in download.files if not _is_there(folder / file.name, file)]
        if missing:
            new += _fetch(download, missing, folder, progress)
    return new


def _is_there(path: Path, file: WantedFile) -> bool:
    if not path.is_file() or file.sha256 is None:
        return path.is_file()
    try:
        content = gzip.decompress(path.read_bytes()) if file.packed else path.read_bytes()
    except (OSError, EOFError, zlib.error):
        return False
    return hashlib.sha256(content).hexdigest() == file.sha256


def _fetch(download: Download, files: list[WantedFile], folder: Path, progress: Progress) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        fetched = Path(temporary) / "download"
        _download(download.address, fetched, progress)
        _check(fetched, download.sha256, download.address, "a file")
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
    """Make `part` of what was fetched, as the reader wants it, and check its hash."""
    try:
        if file.member is not None:
            with _opened_member(fetched, file.member) as member, part.open("wb") as content:
                shutil.copyfileobj(member, content)
        else:
            shutil.copyfile(fetched, part)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{address}: expected an archive with {file.member}: {error}") from error
    _check(part, file.sha256, address, file.name)
    if file.packed:
        part.write_bytes(gzip.compress(part.read_bytes(), mtime=0))
    return part


def _check(path: Path, sha256: str | None, address: str, name: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and found != sha256:
        raise DataError(f"{address}: expected {name} with sha256 {sha256}, found {found}; nothing was kept")


@contextmanager
def _opened_member(archive: Path, wanted: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, zipped.open(_member(zipped.namelist(), wanted)) as member:
            yield member
        return
    with tarfile.open(archive) as packed:
        found = packed.extractfile(_member(packed.getnames(), wanted))
        if found is None:
            raise KeyError(f"{wanted} is not a file")
        yield found


def _member(names: Iterable[str], wanted: str) -> str:
    """The member of that path, or the one whose path ends so and is the shortest."""
    found = [name for name in names if f"/{name}".endswith(f"/{wanted}")]
    if not found:
        raise KeyError(f"there is no {wanted} in it")
    return min(found, key=len)


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
