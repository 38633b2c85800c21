"""The committed gRPC code is what the protos say, and runs on every protobuf that the wheel allows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATED = ("seqserve/v1", "service/transport/open_inference/v2")
OLDEST_PROTOBUF = (6, 31, 1)  # generated code runs on its own version of protobuf and on newer ones
OLDEST_GRPCIO = (1, 80, 0)


def generated(pattern: str) -> list[Path]:
    return sorted(path for folder in GENERATED for path in (REPOSITORY / folder).glob(pattern))


def version_in(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text)
    assert found, f"no version like {pattern}"
    return tuple(int(part) for part in found[1].split("."))


def test_regenerating_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "proto/generate.py", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", generated("*_pb2.py"), ids=lambda path: path.name)
def test_messages_run_on_the_oldest_protobuf_that_is_allowed(path: Path) -> None:
    assert version_in(path.read_text(), r"# Protobuf Python Version: ([\d.]+)") <= OLDEST_PROTOBUF


@pytest.mark.parametrize("path", generated("*_pb2_grpc.py"), ids=lambda path: path.name)
def test_stubs_run_on_the_oldest_grpcio_that_is_allowed(path: Path) -> None:
    assert version_in(path.read_text(), r"GRPC_GENERATED_VERSION = '([\d.]+)'") <= OLDEST_GRPCIO


def test_the_wheel_allows_no_older_protobuf_or_grpcio() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert version_in(project, r'"protobuf>=([\d.]+),<8"') == OLDEST_PROTOBUF
    assert version_in(project, r'"grpcio>=([\d.]+)"') == OLDEST_GRPCIO


@pytest.mark.parametrize("folder", GENERATED)
def test_generated_code_imports_the_package_by_its_full_name(folder: str) -> None:
    for path in (REPOSITORY / folder).glob("*_pb2*.py*"):
        siblings = re.findall(r"^(?:from (\S+) )?import (?:\w+_service_pb2)", path.read_text(), re.MULTILINE)
        assert set(siblings) <= {folder.replace("/", ".")}, path.name
