"""Fetching a corpus: from a server of the test's own, with right and wrong hashes, whole and broken."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.progress import Progress

from training.data.corpora import CORPORA, folder_of
from training.data.corpora.fetch import RECORD, Address, Download, WantedFile, addresses, fetch_corpus
from training.errors import DataError

TEXT = b"To be, or not to be\n" * 5000


def tar_of(name: str, content: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
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
    "/archive.tgz": tar_of("./inner/text", TEXT),
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


def test_what_a_person_must_fetch_says_where() -> None:
    with pytest.raises(DataError, match=r"weather-aus cannot be fetched by a program: https://www\.kaggle\.com"):
        fetch(addresses()["weather-aus"], Path("weather-aus"))


def test_every_corpus_that_is_not_made_of_others_has_an_address() -> None:
    assert set(addresses()) == {folder_of(name) for name in CORPORA} - {"."}
    for name, address in addresses().items():
        assert bool(address.downloads) != bool(address.by_hand), name
