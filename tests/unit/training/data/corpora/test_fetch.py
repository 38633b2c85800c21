"""Fetching a corpus: from a server of the test's own, with right and wrong hashes, whole and broken."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.progress import Progress

from training.data.corpora import CORPORA, folder_of
from training.data.corpora.fetch import MADE_OF, RECORD, Address, Download, WantedFile, addresses, fetch_corpus
from training.data.files.lines import packed_or_not, read_bytes
from training.errors import DataError

TEXT = b"To be, or not to be\n" * 5000


def tar_of(members: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def zip_of(name: str, content: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(name, content)
    return raw.getvalue()


PAGES = {
    "/text": TEXT,
    "/archive.tgz": tar_of({"./inner/text": TEXT}),
    "/archive.zip": zip_of("inner/text", TEXT),
    "/short": TEXT,
}


class Pages(BaseHTTPRequestHandler):
    """Serves `PAGES`; `/short` promises more than it sends."""

    def do_GET(self) -> None:
        content = PAGES.get(self.path)
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"") + (1 if self.path == "/short" else 0)))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def one_file(address: str, *, sha256: str | None = None, member: str | None = None) -> Address:
    wanted = WantedFile(name="text.txt", sha256=sha256, member=member)
    return Address(downloads=(Download(address=address, files=(wanted,)),))


def fetch(address: Address, folder: Path) -> list[Path]:
    with Progress(disable=True) as progress:
        return fetch_corpus(address, folder, progress)


@pytest.mark.parametrize(
    ("page", "member"),
    [
        pytest.param("/text", None, id="the file itself"),
        pytest.param("/archive.tgz", "./inner/text", id="out of a tar archive"),
        pytest.param("/archive.zip", "inner/text", id="out of a zip archive"),
        pytest.param("/archive.zip", "text", id="out of whichever folder of an archive"),
    ],
)
def test_a_file_is_fetched_once_and_recorded(server: str, tmp_path: Path, page: str, member: str | None) -> None:
    sha256 = hashlib.sha256(TEXT).hexdigest()
    address, folder = one_file(f"{server}{page}", sha256=sha256, member=member), tmp_path / "corpus"
    assert fetch(address, folder) == [folder / "text.txt"]
    assert (folder / "text.txt").read_bytes() == TEXT
    record = json.loads((folder / RECORD).read_text())["text.txt"]
    assert (record["address"], record["sha256"], record["bytes"]) == (f"{server}{page}", sha256, len(TEXT))
    assert {path.name for path in folder.iterdir()} == {"text.txt", RECORD}
    assert fetch(address, folder) == []


def test_the_hash_of_a_living_corpus_is_recorded_as_it_was_met(server: str, tmp_path: Path) -> None:
    fetch(one_file(f"{server}/text"), tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())["text.txt"]
    assert record["sha256"] == hashlib.sha256(TEXT).hexdigest()


def test_a_file_that_was_damaged_is_fetched_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"damaged")
    assert fetch(one_file(f"{server}/text", sha256=hashlib.sha256(TEXT).hexdigest()), tmp_path)
    assert (tmp_path / "text.txt").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("page", "member", "sha256", "message"),
    [
        pytest.param(
            "/text", None, "0" * 64, r"/text: expected text\.txt with sha256 000.*nothing was kept", id="hash"
        ),
        pytest.param("/absent", None, None, "/absent: cannot be fetched: HTTP Error 404", id="no such page"),
        pytest.param("/short", None, None, "/short: ", id="broken off"),
        pytest.param("/text", "inner/text", None, "/text: expected an archive with inner/text", id="no archive"),
        pytest.param("/archive.zip", "other", None, "expected an archive with other", id="no such member"),
        pytest.param("/archive.tgz", "other", None, "expected an archive with other", id="no such member of a tar"),
    ],
)
def test_what_is_not_right_is_not_kept(
    server: str, tmp_path: Path, page: str, member: str | None, sha256: str | None, message: str
) -> None:
    (tmp_path / "text.txt").write_bytes(b"from before") if sha256 else None
    with pytest.raises(DataError, match=message):
        fetch(one_file(f"{server}{page}", sha256=sha256, member=member), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
        {"text.txt": b"from before"} if sha256 else {}
    )


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/text: cannot be fetched"):
        fetch(one_file("http://127.0.0.1:9/text"), tmp_path)


def test_a_file_that_its_reader_wants_packed_is_packed_and_its_hash_is_of_what_is_in_it(
    server: str, tmp_path: Path
) -> None:
    wanted = WantedFile(name="text.txt.gz", member="text", packed=True, sha256=hashlib.sha256(TEXT).hexdigest())
    address = Address(downloads=(Download(address=f"{server}/archive.zip", files=(wanted,)),))
    assert fetch(address, tmp_path) == [tmp_path / "text.txt.gz"]
    assert gzip.decompress((tmp_path / "text.txt.gz").read_bytes()) == TEXT
    assert fetch(address, tmp_path) == []
    (tmp_path / "text.txt.gz").write_bytes(b"damaged")
    assert fetch(address, tmp_path) == [tmp_path / "text.txt.gz"]


def test_a_download_that_is_not_the_pinned_one_is_not_kept(server: str, tmp_path: Path) -> None:
    files = (WantedFile(name="text.txt"),)
    right, wrong = (
        Address(downloads=(Download(address=f"{server}/text", sha256=sha256, files=files),))
        for sha256 in (hashlib.sha256(PAGES["/text"]).hexdigest(), "0" * 64)
    )
    with pytest.raises(DataError, match=r"expected a file with sha256 000.*nothing was kept"):
        fetch(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch(right, tmp_path) == [tmp_path / "text.txt"]


def test_every_corpus_has_an_address_or_is_made_of_corpora_that_have_one() -> None:
    assert set(addresses()) == {folder_of(name) for name in CORPORA} - {"."}
    assert set(MADE_OF) == {name for name in CORPORA if folder_of(name) == "."}
    assert {part for parts in MADE_OF.values() for part in parts} <= set(addresses())


def test_every_file_is_pinned() -> None:
    loose = [
        f"{name}/{file.name}"
        for name, address in addresses().items()
        for download in address.downloads
        for file in download.files
        if not (file.sha256 or download.sha256)
    ]
    assert loose == []


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["irish-abc", "manythings-ita-eng", "names", "sst2-glue", "ud-english-ewt", "weather-aus"]
)
def test_what_is_fetched_is_what_the_readers_read_and_what_was_published(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The user's own files, sent as their address sends them: hashes and form are those of `addresses.toml`."""
    if "SEQSERVE_DATA" not in os.environ:
        pytest.skip("SEQSERVE_DATA names no folder of real corpora")
    own = Path(os.environ["SEQSERVE_DATA"]) / name
    local = []
    for index, download in enumerate(addresses()[name].downloads):
        (file,) = download.files
        content = read_bytes(packed_or_not(own, file.name))
        monkeypatch.setitem(PAGES, f"/{index}", content if file.member is None else zip_of(file.member, content))
        local.append(Download(address=f"{server}/{index}", files=(file,)))
    new = fetch(Address(downloads=tuple(local)), tmp_path / name)
    assert [read_bytes(path) for path in new] == [read_bytes(packed_or_not(own, path.name)) for path in new]
    assert {path.suffix == ".gz" for path in new} == {name == "manythings-ita-eng"}
