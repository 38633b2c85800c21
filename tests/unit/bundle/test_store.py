"""A folder is a bundle only when every byte of it is accounted for, and publishing is all or nothing."""

import hashlib
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest

from service.bundle.manifest import Manifest
from service.bundle.store import OpenedBundle, file_entry, open_bundle, publish_bundle
from service.errors import BundleError
from tests.bundles import publish_tiny, rehashed, tiny_bundle

TASKS = ("classification", "labelling", "labelling-features", "generation", "translation")
GRAPH = "classifier.fp32.onnx"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return publish_tiny(tmp_path, "classification")


@pytest.mark.parametrize("task", TASKS)
def test_what_was_published_is_what_is_opened(tmp_path: Path, task: str) -> None:
    manifest, files = tiny_bundle(task, version=3)
    path = publish_bundle(tmp_path, manifest, files)
    opened = open_bundle(path)
    assert path == tmp_path / f"tiny-{task}" / "3"
    assert opened == OpenedBundle(
        path, manifest, hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest(), files
    )


def test_a_relative_path_is_opened_too(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    assert open_bundle(Path()).digest == open_bundle(published).digest


def publish_with_weights(repository: Path) -> Path:
    manifest, files = tiny_bundle("classification")
    files["weights.safetensors"] = b"weights"
    return publish_bundle(repository, rehashed(manifest, files), files)


def test_weights_may_come_along_and_are_not_kept_in_memory(tmp_path: Path) -> None:
    opened = open_bundle(publish_with_weights(tmp_path))
    assert opened.files.keys() == opened.manifest.files.keys() - {"weights.safetensors"}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        pytest.param(b"heights", "sha256 is", id="other bytes"),
        pytest.param(b"weight", "6 bytes, the manifest says 7", id="shorter"),
        pytest.param(b"weights!", "8 bytes, at most 7 are expected", id="longer"),
    ],
)
def test_damaged_weights_are_refused_though_nothing_uses_them(tmp_path: Path, found: bytes, problem: str) -> None:
    path = publish_with_weights(tmp_path)
    (path / "weights.safetensors").write_bytes(found)
    with pytest.raises(BundleError, match=f"^weights.safetensors.* {problem}"):
        open_bundle(path)


def test_files_are_read_before_anyone_can_swap_them(published: Path) -> None:
    opened = open_bundle(published)
    before = opened.files[GRAPH]
    (published / GRAPH).write_bytes(b"swapped")
    assert opened.files[GRAPH] == before


# Attacks on the folder


def swap_file_for(make: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    """Take the graph out of the bundle and put something else in its place."""

    def attack(bundle: Path) -> None:
        outside = bundle.parent.parent / "outside.onnx"
        (bundle / GRAPH).rename(outside)
        make(bundle / GRAPH, outside)

    return attack


def link_hard(path: Path, outside: Path) -> None:
    path.hardlink_to(outside)


def link_symbolically(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def make_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path, _: Path) -> None:
    path.mkdir()


def make_socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound, _working_folder(path.parent):
        bound.bind(path.name)  # relative: the names of sockets are short


class _working_folder:  # noqa: N801 - reads as a function
    def __init__(self, path: Path) -> None:
        self._path, self._before = path, Path.cwd()

    def __enter__(self) -> None:
        os.chdir(self._path)

    def __exit__(self, *_: object) -> None:
        os.chdir(self._before)


def link_to_dev_zero(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


def empty_file(path: Path, _: Path) -> None:
    path.touch()


def other_content(path: Path, outside: Path) -> None:
    raw = outside.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def longer_content(path: Path, outside: Path) -> None:
    path.write_bytes(outside.read_bytes() + b"\0")


def nothing(path: Path, _: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(link_symbolically, "a link", id="a symbolic link"),
        pytest.param(link_to_dev_zero, "a link", id="a link to a device"),
        pytest.param(link_hard, "2 hard links", id="a hard link"),
        pytest.param(make_fifo, "not a regular file", id="a FIFO"),
        pytest.param(make_socket, "not readable", id="a socket"),
        pytest.param(make_folder, "not a regular file", id="a folder"),
        pytest.param(empty_file, "0 bytes, the manifest says", id="an empty file"),
        pytest.param(other_content, "sha256 is", id="another hash"),
        pytest.param(longer_content, "bytes, at most", id="another size"),
        pytest.param(nothing, "missing", id="no file"),
    ],
)
def test_a_swapped_file_is_refused_by_name(published: Path, make: Callable[[Path, Path], object], message: str) -> None:
    swap_file_for(make)(published)
    with pytest.raises(BundleError, match=message) as refused:
        open_bundle(published)
    assert GRAPH in refused.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_a_device_is_refused(published: Path) -> None:
    (published / GRAPH).unlink()
    try:
        os.mknod(published / GRAPH, 0o20600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("this container makes no device nodes")
    with pytest.raises(BundleError, match=r"classifier\.fp32\.onnx (is not a regular file|.*not readable)"):
        open_bundle(published)


@pytest.mark.parametrize("name", ["extra.onnx", ".hidden", "sub", "\udcff.md", "MANIFEST.json"])
def test_an_entry_that_is_not_listed_is_refused(published: Path, name: str) -> None:
    (published / name).mkdir() if name == "sub" else (published / name).write_bytes(b"x")
    with pytest.raises(BundleError, match="not listed in the manifest"):
        open_bundle(published)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        pytest.param(lambda manifest: manifest.unlink(), "missing", id="missing"),
        pytest.param(lambda manifest: manifest.write_bytes(b""), "not valid JSON", id="empty"),
        pytest.param(lambda manifest: os.truncate(manifest, 100_000_000), "at most 1000000", id="100 MB"),
        pytest.param(
            lambda manifest: manifest.rename(manifest.parent.parent / "m") and manifest.mkdir(),
            "not a regular",
            id="a folder",
        ),
    ],
)
def test_a_bad_manifest_is_refused(published: Path, attack: Callable[[Path], object], message: str) -> None:
    attack(published / "manifest.json")
    with pytest.raises(BundleError, match=message) as refused:
        open_bundle(published)
    assert "manifest.json" in refused.value.message


@pytest.mark.parametrize("level", ["version", "name"])
def test_a_folder_behind_a_link_is_refused(tmp_path: Path, level: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = publish_tiny(tmp_path / "elsewhere", "classification")
    repository = tmp_path / "repository"
    linked = repository / path.parent.name / path.name if level == "version" else repository / path.parent.name
    linked.parent.mkdir(parents=True)
    linked.symlink_to(path if level == "version" else path.parent)
    with pytest.raises(BundleError, match="link"):
        open_bundle(repository / path.parent.name / path.name)


def test_the_repository_itself_may_be_a_link(published: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(published.parent.parent)
    assert open_bundle(tmp_path / "models" / published.parent.name / "1").manifest.version == 1


@pytest.mark.parametrize("path", ["missing/1", "", "file"], ids=["missing", "not a bundle", "a file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError):
        open_bundle(tmp_path / path)


def test_the_root_of_the_file_system_is_no_bundle() -> None:
    with pytest.raises(BundleError):
        open_bundle(Path("/"))


@pytest.mark.parametrize("place", ["other/1", "tiny-classification/2", "tiny-classification/01"])
def test_a_bundle_in_another_place_is_refused(published: Path, place: str) -> None:
    target = published.parent.parent / place
    target.parent.mkdir(exist_ok=True)
    published.rename(target)
    with pytest.raises(BundleError, match="name and version are tiny-classification/1, but the folder is"):
        open_bundle(target)


@pytest.mark.parametrize("name", ["classifier.fp32.onnx", "golden.fp32.npz", "tokenizer.json", "manifest.json"])
def test_every_truncation_is_refused(published: Path, name: str) -> None:
    raw = (published / name).read_bytes()
    for part in range(16):
        (published / name).write_bytes(raw[: len(raw) * part // 16])
        with pytest.raises(BundleError, match=name):
            open_bundle(published)


@pytest.mark.parametrize("name", ["classifier.fp32.onnx", "golden.fp32.npz", "tokenizer.json", "MODEL_CARD.md"])
def test_every_flipped_bit_is_noticed(published: Path, name: str) -> None:
    raw = (published / name).read_bytes()
    for position in random.Random(0).sample(range(8 * len(raw)), 64):
        (published / name).write_bytes(flip(raw, position))
        with pytest.raises(BundleError, match=f"{name}: sha256 is"):
            open_bundle(published)


def test_a_flipped_bit_in_the_manifest_is_refused_or_changes_the_digest(published: Path) -> None:
    raw = (published / "manifest.json").read_bytes()
    digests = {open_bundle(published).digest}
    opened = 1
    for position in random.Random(0).sample(range(8 * len(raw)), 64):
        (published / "manifest.json").write_bytes(flip(raw, position))
        try:
            digests.add(open_bundle(published).digest)
        except BundleError:
            continue
        opened += 1
    assert len(digests) == opened


def flip(raw: bytes, position: int) -> bytes:
    changed = bytearray(raw)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


# Rules about what is listed, which hold for writers and readers alike


def without(name: str) -> Callable[[Manifest, dict[str, bytes]], None]:
    def change(_: Manifest, files: dict[str, bytes]) -> None:
        del files[name]

    return change


def with_file(name: str) -> Callable[[Manifest, dict[str, bytes]], None]:
    def change(_: Manifest, files: dict[str, bytes]) -> None:
        files[name] = b"x"

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(without("MODEL_CARD.md"), "'MODEL_CARD.md' must be listed", id="no card"),
        pytest.param(with_file("more.onnx"), "'more.onnx' is listed in files, but nothing", id="an unused file"),
        pytest.param(with_file("manifest.json"), "'manifest.json' is listed in files", id="the manifest itself"),
    ],
)
def test_files_that_do_not_belong_are_not_published(
    tmp_path: Path, change: Callable[[Manifest, dict[str, bytes]], None], message: str
) -> None:
    manifest, files = tiny_bundle("classification")
    change(manifest, files)
    with pytest.raises(BundleError, match=message):
        publish_bundle(tmp_path, rehashed(manifest, files), files)
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_foreign_kind_is_not_published(tmp_path: Path) -> None:
    manifest, files = tiny_bundle("classification")
    text = manifest.spec.text.model_copy(update={"tokenizer": "tokenizer.pkl"})  # type: ignore[union-attr]
    manifest = manifest.model_copy(update={"spec": manifest.spec.model_copy(update={"text": text})})
    files["tokenizer.pkl"] = files.pop("tokenizer.json")
    with pytest.raises(BundleError, match=r"tokenizer\.pkl: only files that end in \.json"):
        publish_bundle(tmp_path, rehashed(manifest, files), files)


def test_a_file_over_its_limit_is_refused_unread(published: Path) -> None:
    manifest = open_bundle(published).manifest
    entries = {**manifest.files, "tokenizer.json": file_entry(b"x").model_copy(update={"size_bytes": 16_000_001})}
    raw = manifest.model_copy(update={"files": entries}).model_dump_json().encode()
    (published / "manifest.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"tokenizer\.json: 16000001 bytes, at most 16000000 are allowed"):
        open_bundle(published)


# Publishing


def test_a_published_version_is_never_replaced(published: Path) -> None:
    before = open_bundle(published).digest
    with pytest.raises(BundleError, match="exists already"):
        publish_tiny(published.parent.parent, "classification", seed=1)
    assert open_bundle(published).digest == before
    assert [entry.name for entry in published.parent.iterdir()] == ["1"]


def test_a_dangling_link_in_the_place_of_a_version_is_not_replaced(published: Path) -> None:
    (published.parent / "2").symlink_to("nowhere")
    with pytest.raises(BundleError, match="exists already"):
        publish_tiny(published.parent.parent, "classification", version=2)


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: flip(raw, 0)], ids=["size", "hash"])
def test_files_must_match_the_manifest_to_be_published(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    manifest, files = tiny_bundle("classification")
    files[GRAPH] = change(files[GRAPH])
    with pytest.raises(BundleError, match="the manifest says"):
        publish_bundle(tmp_path, manifest, files)
    assert not list(tmp_path.iterdir())


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be published: No such file or directory"):
        publish_tiny(tmp_path / "missing", "classification")


def test_a_failed_publication_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tiny-classification").mkdir(mode=0o755)
    (tmp_path / "tiny-classification" / "1").mkdir()
    (tmp_path / "tiny-classification" / "1" / "half").touch()
    with pytest.raises(BundleError):
        publish_tiny(tmp_path, "classification")
    assert [entry.name for entry in (tmp_path / "tiny-classification").iterdir()] == ["1"]


def test_of_many_publishers_exactly_one_wins(tmp_path: Path) -> None:
    start = Barrier(8)
    outcomes: list[str] = []

    def publish(seed: int) -> None:
        manifest, files = tiny_bundle("classification", seed=seed)
        start.wait()
        try:
            publish_bundle(tmp_path, manifest, files)
            outcomes.append("published")
        except BundleError:
            outcomes.append("refused")

    threads = [Thread(target=publish, args=[seed % 2]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["published"] + ["refused"] * 7
    assert [entry.name for entry in (tmp_path / "tiny-classification").iterdir()] == ["1"]
    open_bundle(tmp_path / "tiny-classification" / "1")


def test_a_copy_of_a_bundle_opens(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published.parent, tmp_path / "copy" / published.parent.name)
    assert open_bundle(tmp_path / "copy" / published.parent.name / "1").digest == open_bundle(published).digest
