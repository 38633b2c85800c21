"""The numerics class names what the last bits depend on."""

import platform
from pathlib import Path

import numpy as np
import onnxruntime

from service.runtime.numerics import gpus, instruction_sets, numerics_class


def test_the_class_names_precision_provider_instructions_and_libraries() -> None:
    precision, provider, instructions, *libraries = numerics_class("int8", "cpu").split("/")
    assert (precision, provider) == ("int8", "cpu")
    assert tuple(instructions.split("+")) == instruction_sets()
    assert instructions.startswith(platform.machine())
    assert libraries == [f"onnxruntime-{onnxruntime.__version__}", f"numpy-{np.__version__}"]


def test_another_precision_or_provider_is_another_class() -> None:
    classes = {numerics_class(*one) for one in (("fp32", "cpu"), ("int8", "cpu"), ("fp32", "cuda"))}
    assert len(classes) == 3


def test_the_gpus_are_part_of_the_class_on_cuda_alone() -> None:
    on_gpu, on_cpu = (numerics_class("fp32", provider).split("/")[2] for provider in ("cuda", "cpu"))
    assert on_gpu == "+".join([on_cpu, *gpus()])


def test_gpus_are_named_by_driver_and_model(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19\n")
    for bus, model in (("0000:65:00.0", "NVIDIA L4"), ("0000:b3:00.0", "NVIDIA L4"), ("0000:b4:00.0", "NVIDIA A10")):
        folder = tmp_path / "gpus" / bus
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 91\n")
    assert gpus(tmp_path) == ("driver-535.129.03", "NVIDIA-A10", "NVIDIA-L4")


def test_a_gpu_that_nobody_names_is_like_no_other(tmp_path: Path) -> None:
    unknown = (f"unknown-gpu-of-{platform.node()}",)
    assert gpus(tmp_path) == unknown
    (tmp_path / "version").write_text("NVRM version: 535.129.03\n")
    assert gpus(tmp_path) == unknown
