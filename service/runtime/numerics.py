"""What the last bits of an answer depend on, beside the bundle: the machine's numerics class.   Knows no graph."""

import platform
import re
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

_NVIDIA = Path("/proc/driver/nvidia")
_INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "sve")


@cache
def instruction_sets() -> tuple[str, ...]:
    """This CPU's architecture, and which of the instruction sets that matter for numerics it has."""
    try:
        known = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        known = set()
    return platform.machine(), *(name for name in _INSTRUCTION_SETS if name in known)


def gpus(driver: Path = _NVIDIA) -> tuple[str, ...]:
    """The driver's release and the models of this machine's GPUs, each once.

    Where no driver tells them, a GPU is like no other: it goes by the name of its machine.

    Source: the files `version` and `gpus/*/information` of the NVIDIA driver, as its README describes them.
    """
    try:
        release = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", (driver / "version").read_text())
        told = "\n".join(path.read_text() for path in driver.glob("gpus/*/information"))
    except OSError:
        release, told = None, ""
    models = sorted({model.strip().replace(" ", "-") for model in re.findall(r"^Model:(.+)$", told, re.MULTILINE)})
    if release is None or not models:
        return (f"unknown-gpu-of-{platform.node()}",)
    return f"driver-{release[0]}", *models


def numerics_class(precision: str, provider: str) -> str:
    """One word for all that must be the same for the same bits to come out.

    Graphs run on ONNX Runtime, which chooses kernels by the CPU's instruction sets; tokens are drawn with NumPy, which
    does so too. On `cuda` the GPUs are named as well.
    """
    libraries = f"onnxruntime-{onnxruntime.__version__}/numpy-{np.__version__}"
    machine = (*instruction_sets(), *(gpus() if provider == "cuda" else ()))
    return f"{precision}/{provider}/{'+'.join(machine)}/{libraries}"
