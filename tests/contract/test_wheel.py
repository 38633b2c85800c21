"""The wheel is the client alone: no service, no training, and with its types."""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ["pyproject.toml", "README.md", "LICENSE"]
PACKAGES = ["seqserve", "service", "training", "proto"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy, for setuptools writes into the tree that it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(REPOSITORY / name, folder / name)
    for name in PACKAGES:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder / "out"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "out").iterdir()
    with zipfile.ZipFile(built) as opened:
        yield opened


def test_the_wheel_holds_the_client_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    checkout = (path for path in (REPOSITORY / "seqserve").rglob("*") if path.is_file())
    expected = {str(path.relative_to(REPOSITORY)) for path in checkout if path.suffix in {".py", ".pyi", ".typed"}}
    assert files == expected | {"seqserve/py.typed"}


def test_the_wheel_brings_its_types(wheel: zipfile.ZipFile) -> None:
    stubs = {name for name in wheel.namelist() if name.endswith(".pyi")}
    generated = {
        f"{path.removesuffix('.py')}.pyi" for path in wheel.namelist() if "_pb2" in path and path.endswith(".py")
    }
    assert "seqserve/py.typed" in wheel.namelist()
    assert stubs == generated


def test_the_wheel_needs_only_grpc_and_protobuf_without_its_extra(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    requirements = Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist", [])
    needed = {re.split(r"[^\w-]", line)[0] for line in requirements if "extra ==" not in line}
    assert needed == {"grpcio", "grpcio-health-checking", "grpcio-status", "googleapis-common-protos", "protobuf"}


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    (entries,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert wheel.read(entries).decode().split("\n")[1] == "seqserve = seqserve.command:main"


def test_every_module_that_the_client_imports_is_in_the_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import seqserve, seqserve.command.verbs, sys; print(seqserve.__file__); print('service' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [str(tmp_path / "seqserve" / "__init__.py"), "False"]
