"""The Dockerfile: which image is made of what. `make image-test` builds and runs the one for CPUs."""

import re
from pathlib import Path
from typing import get_args

import pytest

from service.settings import ENVIRONMENT_PREFIX, ServiceSettings
from training.commands.arguments import MODELS, Runs

ROOT = Path(__file__).parents[3]
STAGE = re.compile(r"^FROM (?P<base>\S+) AS (?P<name>\S+)\n(?P<body>.*?)(?=^FROM |\Z)", re.MULTILINE | re.DOTALL)
TEXT = (ROOT / "Dockerfile").read_text()
STAGES = {found["name"]: found for found in STAGE.finditer(TEXT)}


def body(stage: str) -> str:
    """The instructions of a stage, without comments."""
    return re.sub(r"^\s*#.*\n", "", STAGES[stage]["body"], flags=re.MULTILINE)


def test_a_build_without_a_target_makes_the_service_for_cpus() -> None:
    assert list(STAGES)[-1] == "service"


def test_every_stage_stands_on_the_base_or_on_an_earlier_stage() -> None:
    known = {"${BASE}"}
    for name, stage in STAGES.items():
        assert stage["base"] in known
        copied = re.findall(r"--from=(\S+)", stage["body"])
        assert set(copied) <= known
        known.add(name)


@pytest.mark.parametrize("image", ["service", "service-gpu", "training"])
def test_an_image_holds_what_its_own_lock_lists(image: str) -> None:
    assert set(re.findall(r"--from=(\S+)", body(image))) == {f"{image}-build"}
    assert re.findall(r"--require-hashes --requirement (\S+)", body(f"{image}-build")) == [f"requirements/{image}.txt"]
    assert (ROOT / "requirements" / f"{image}.txt").is_file()


def test_both_service_images_run_alike_but_for_the_device() -> None:
    assert STAGES["service"]["base"] == STAGES["service-gpu"]["base"] == "service-runtime"
    assert "USER 10001:10001" in body("service-runtime")
    assert "ENTRYPOINT" in body("service-runtime")
    for image in ("service", "service-gpu"):
        assert not re.search(r"^(USER|ENTRYPOINT|CMD|HEALTHCHECK|EXPOSE|STOPSIGNAL)", body(image), re.MULTILINE)
    assert f"{ENVIRONMENT_PREFIX}DEVICE=cuda" in body("service-gpu")
    assert f"{ENVIRONMENT_PREFIX}DEVICE" not in body("service-runtime") + body("service")


def test_the_gpu_image_asks_the_container_runtime_for_the_driver() -> None:
    assert "NVIDIA_VISIBLE_DEVICES=all" in body("service-gpu")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in body("service-gpu")


def test_environment_names_settings_that_exist() -> None:
    names = re.findall(rf"{ENVIRONMENT_PREFIX}([A-Z_]+)=", TEXT.replace(STAGES["training"]["body"], ""))
    assert {name.lower() for name in names} <= ServiceSettings.model_fields.keys()


def test_the_training_image_keeps_runs_in_its_volume_beside_the_bundles() -> None:
    (runs,) = (option.envvar for option in get_args(Runs)[1:])
    assert f"{runs}=/app/{MODELS.parent}/runs" in body("training")


def test_modules_that_the_build_compiles_exist() -> None:
    modules = re.findall(r"service\.(\w+)(?=[,;])", body("service-build"))
    assert {"__main__", "engine_process", "worker_process"} == set(modules)
    assert all((ROOT / "service" / f"{module}.py").is_file() for module in modules)
