"""Bundles on disk: opened without trusting the folder, published whole or not at all.   Runs no graph.

Opening follows no link below the repository, and reads each file once, from one descriptor: the bytes that were
checked are the bytes that are used. The weights, which nothing here uses, are hashed piece by piece and not kept.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePath
from uuid import uuid4

from service.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, FileEntry, Manifest, parse_manifest
from service.bundle.signatures import check_signatures
from service.errors import BundleError

CARD_NAME = "MODEL_CARD.md"
WEIGHTS_NAME = "weights.safetensors"
MAX_FILE_COUNT = 32
MAX_BYTES_BY_SUFFIX: Mapping[str, int] = {
    ".json": 16_000_000,
    ".md": 1_000_000,
    ".npz": 64_000_000,
    ".onnx": 2_000_000_000,
    ".safetensors": 2_000_000_000,
}
"""The kinds of files a bundle may hold, and the largest size of each."""


@dataclass(frozen=True)
class OpenedBundle:
    """A bundle whose manifest and file hashes were checked; its graphs have not run yet.

    Args:
        path: the folder it was read from.
        manifest: what it says of itself.
        digest: SHA-256 of the bytes of manifest.json, in hex. Names the bundle, since the manifest hashes the rest.
        files: the bytes of every file but manifest.json and the weights, by name.
    """

    path: Path
    manifest: Manifest
    digest: str
    files: Mapping[str, bytes]


def file_entry(data: bytes) -> FileEntry:
    """Size and hash of `data`, as `Manifest.files` records them."""
    return FileEntry(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def open_bundle(path: Path) -> OpenedBundle:
    """Read the bundle in the folder `path` = `<repository>/<name>/<version>` and check everything but its graphs.

    Raises:
        BundleError: the folder or a file in it breaks a rule of FORMAT.md.
    """
    with _opened_folder(path) as folder:
        raw = _read_file(folder, MANIFEST_NAME, MAX_MANIFEST_BYTES)
        manifest = parse_manifest(raw)
        _check_place(path, manifest)
        _check_names(manifest)
        check_signatures(manifest)
        _check_listing(os.listdir(folder), manifest)  # noqa: PTH208 - a descriptor, not a path
        files = {
            name: _read_listed(folder, name, entry) for name, entry in manifest.files.items() if name != WEIGHTS_NAME
        }
        if WEIGHTS_NAME in manifest.files:
            _check_in_pieces(folder, WEIGHTS_NAME, manifest.files[WEIGHTS_NAME])
    return OpenedBundle(path, manifest, hashlib.sha256(raw).hexdigest(), files)


def publish_bundle(repository: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write `<repository>/<name>/<version>/` so that it appears whole or not at all, also after a power cut.

    Args:
        repository: an existing folder.
        manifest: its `files` must already match `files`; nothing is computed here.
        files: every file but manifest.json, by name.

    Returns:
        The new folder.

    Raises:
        BundleError: the version exists already, or manifest and files disagree.
    """
    _check_names(manifest)
    check_signatures(manifest)
    _check_listing([MANIFEST_NAME, *files], manifest)
    for name, data in files.items():
        _check_content(name, data, manifest.files[name])
    target = repository / manifest.name / str(manifest.version)
    raw = manifest.model_dump_json(indent=2).encode() + b"\n"
    try:
        _write_folder(target, {**files, MANIFEST_NAME: raw})
    except OSError as error:
        raise BundleError(f"{target} cannot be published: {error.strerror}") from error
    return target


@contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder; neither it nor the folder above it may be a link."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - lexical on purpose: Path.resolve would follow links
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    opened: list[int] = []
    try:
        try:
            opened.append(os.open(path.parent.parent, flags))
            for part in (path.parent.name, path.name):
                opened.append(os.open(part, flags | os.O_NOFOLLOW, dir_fd=opened[-1]))
        except OSError as error:
            raise BundleError(f"{path} is not a folder, or is reached through a link: {error.strerror}") from error
        yield opened[-1]
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _check_place(path: Path, manifest: Manifest) -> None:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - lexical on purpose, as above
    found = (path.parent.name, path.name)
    expected = (manifest.name, str(manifest.version))
    if found != expected:
        raise BundleError(
            f"{MANIFEST_NAME}: name and version are {'/'.join(expected)}, but the folder is {'/'.join(found)}"
        )


def _check_names(manifest: Manifest) -> None:
    required = manifest.referenced_files() | {CARD_NAME}
    allowed = required | {WEIGHTS_NAME}
    _refuse_any("must be listed in files, and is not", required - manifest.files.keys())
    _refuse_any("is listed in files, but nothing in the manifest uses it", manifest.files.keys() - allowed)
    for name, entry in manifest.files.items():
        limit = MAX_BYTES_BY_SUFFIX.get(PurePath(name).suffix)
        if limit is None:
            raise BundleError(f"{name}: only files that end in {', '.join(MAX_BYTES_BY_SUFFIX)} may be in a bundle")
        if entry.size_bytes > limit:
            raise BundleError(f"{name}: {entry.size_bytes} bytes, at most {limit} are allowed")
    if len(manifest.files) + 1 > MAX_FILE_COUNT:
        raise BundleError(f"{len(manifest.files) + 1} files, at most {MAX_FILE_COUNT} are allowed")


def _check_listing(found: Iterable[str], manifest: Manifest) -> None:
    expected = {MANIFEST_NAME, *manifest.files}
    _refuse_any("is listed in the manifest, and is missing", expected - set(found))
    _refuse_any("is not listed in the manifest", set(found) - expected)


def _refuse_any(why: str, names: Iterable[str]) -> None:
    for name in sorted(names):
        raise BundleError(f"{name!r} {why}", file=name)


def _read_listed(folder: int, name: str, entry: FileEntry) -> bytes:
    data = _read_file(folder, name, entry.size_bytes)
    _check_content(name, data, entry)
    return data


def _check_in_pieces(folder: int, name: str, entry: FileEntry) -> None:
    """As `_read_listed`, of a file that may be larger than one cares to hold."""
    with _opened_file(folder, name, entry.size_bytes) as (file, size):
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _compare(name, size, found, entry)


def _check_content(name: str, data: bytes, entry: FileEntry) -> None:
    _compare(name, len(data), hashlib.sha256(data).hexdigest(), entry)


def _compare(name: str, size: int, sha256: str, entry: FileEntry) -> None:
    if size != entry.size_bytes:
        raise BundleError(f"{name}: {size} bytes, the manifest says {entry.size_bytes}", file=name)
    if sha256 != entry.sha256:
        raise BundleError(f"{name}: sha256 is {sha256}, the manifest says {entry.sha256}", file=name)


def _read_file(folder: int, name: str, limit: int) -> bytes:
    with _opened_file(folder, name, limit) as (file, size):
        return file.read(size + 1)  # one more: a file that grows meanwhile has a wrong size


@contextmanager
def _opened_file(folder: int, name: str, limit: int) -> Iterator[tuple[BufferedReader, int]]:
    """A regular file with one link and at most `limit` bytes, and its size, all facts taken from one descriptor."""
    # O_NONBLOCK: opening a FIFO must not wait for a writer
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            _check_status(name, status, limit)
            with open(descriptor, "rb", closefd=False) as file:
                yield file, status.st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BundleError(f"{name} is missing, a link or not readable: {error.strerror}", file=name) from error


def _check_status(name: str, status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{name} is not a regular file", file=name)
    if status.st_nlink != 1:
        raise BundleError(f"{name} has {status.st_nlink} hard links, only one is allowed", file=name)
    if status.st_size > limit:
        raise BundleError(f"{name}: {status.st_size} bytes, at most {limit} are expected", file=name)


def _write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write beside `target` under a hidden name, flush to disk, rename."""
    if os.path.lexists(target):
        raise BundleError(f"{target} exists already; a published version never changes, publish a new one")
    target.parent.mkdir(exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid4().hex}"
    temporary.mkdir()
    try:
        for name, data in files.items():
            _write_file(temporary / name, data)
        _sync_folder(temporary)
        temporary.rename(target)  # fails on a folder that is not empty: of two publishers one wins
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(target.parent)
    _sync_folder(target.parent.parent)


def _write_file(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
