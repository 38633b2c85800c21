"""The numerics class names what the last bits depend on."""

import platform

import numpy as np
import onnxruntime

from service.runtime.numerics import instruction_sets, numerics_class


def test_the_class_names_precision_provider_instructions_and_libraries() -> None:
    precision, provider, instructions, *libraries = numerics_class("int8", "cpu").split("/")
    assert (precision, provider) == ("int8", "cpu")
    assert tuple(instructions.split("+")) == instruction_sets()
    assert instructions.startswith(platform.machine())
    assert libraries == [f"onnxruntime-{onnxruntime.__version__}", f"numpy-{np.__version__}"]


def test_another_precision_or_provider_is_another_class() -> None:
    classes = {numerics_class(*one) for one in (("fp32", "cpu"), ("int8", "cpu"), ("fp32", "cuda"))}
    assert len(classes) == 3
