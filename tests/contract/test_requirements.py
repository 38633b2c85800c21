"""The locks: whole, hashed, without addresses, without torch, and alike where they overlap."""

import re
from pathlib import Path

import pytest

from tests.trained import ROOT

LOCKS = ("service", "service-gpu", "training", "dev")
SAFE_FLOORS = {"onnx": (1, 21), "onnxruntime": (1, 27), "grpcio": (1, 80), "protobuf": (6, 31)}


def pins(lock: str) -> dict[str, set[str]]:
    """Every pinned version by package; a package may have one per Python version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", read(lock), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def read(lock: str) -> str:
    return Path(ROOT / "requirements" / f"{lock}.txt").read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_has_a_hash_and_no_address(lock: str) -> None:
    text = read(lock)
    entries = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(entries) > 20
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_torch_is_in_no_lock(lock: str) -> None:
    assert "torch" not in pins(lock)


@pytest.mark.parametrize("lock", ["service", "training"])
def test_what_ships_is_what_is_tested(lock: str) -> None:
    tested = pins("dev")
    assert {name: versions for name, versions in pins(lock).items() if tested.get(name) != versions} == {}


def test_the_gpu_lock_is_the_service_lock_but_for_onnx_runtime_and_cuda() -> None:
    plain, gpu = pins("service"), pins("service-gpu")
    assert {name for name in plain if gpu.get(name) != plain[name]} == {"onnxruntime"}
    added = gpu.keys() - plain.keys()
    assert {name for name in added if not name.startswith("nvidia-")} == {"onnxruntime-gpu"}
    assert {"nvidia-cuda-runtime", "nvidia-cublas"} <= added, "what the CUDA provider loads"
    assert any(name.startswith("nvidia-cudnn") for name in added)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_two_onnx_runtimes_which_share_an_import_name_are_never_together(lock: str) -> None:
    assert len({"onnxruntime", "onnxruntime-gpu"} & pins(lock).keys()) == 1


def test_grpc_and_its_companions_are_one_version() -> None:
    versions = {name: found for name, found in pins("dev").items() if name.startswith("grpcio")}
    assert len(versions) == 5
    assert set.union(*versions.values()) == {"1.80.0"}


@pytest.mark.parametrize(
    ("lock", "package"),
    [*(("service", package) for package in SAFE_FLOORS), ("service-gpu", "onnxruntime-gpu")],
)
def test_no_version_with_a_known_advisory_is_locked(lock: str, package: str) -> None:
    for version in pins(lock)[package]:
        assert tuple(map(int, version.split(".")[:2])) >= SAFE_FLOORS[package.removesuffix("-gpu")]
