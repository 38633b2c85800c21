"""What the last bits of an answer depend on, beside the bundle: the machine's numerics class.   Knows no graph."""

import platform
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

_INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "sve")


@cache
def instruction_sets() -> tuple[str, ...]:
    """This CPU's architecture, and which of the instruction sets that matter for numerics it has."""
    try:
        known = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        known = set()
    return platform.machine(), *(name for name in _INSTRUCTION_SETS if name in known)


def numerics_class(precision: str, provider: str) -> str:
    """One word for all that must be the same for the same bits to come out.

    Graphs run on ONNX Runtime, which chooses kernels by the CPU's instruction sets; tokens are drawn with NumPy, which
    does so too.
    """
    libraries = f"onnxruntime-{onnxruntime.__version__}/numpy-{np.__version__}"
    return f"{precision}/{provider}/{'+'.join(instruction_sets())}/{libraries}"
