"""Whether a provider can be had on this machine: compiled into the ONNX Runtime that is installed, and able to start.

Run as a program with a provider's name it tries to start that one, and says on stdout what went wrong: the process that
asks (the front) is not the one that will run graphs, and should hold no memory of a GPU.
"""

import subprocess
import sys
import warnings

import onnxruntime
from onnx import TensorProto, helper

from service.runtime.session import check_provider, execution_provider, load_libraries

START_SECONDS = 60.0
"""Longest time to try a provider; the first start on a GPU may compile kernels."""


def why_unavailable(provider: str) -> str:
    """What keeps `provider` (`cpu` or `cuda`) from being used here, in one line; nothing if it can be used."""
    name = execution_provider(provider)
    installed = onnxruntime.get_available_providers()
    if name not in installed:
        return (
            f"{name} is not in the installed onnxruntime {onnxruntime.__version__}, which has {', '.join(installed)}"
            " (requirements/service-gpu.txt has the one with CUDA)"
        )
    return "" if provider == "cpu" else _problem_of_a_child(provider)


def child_command(provider: str) -> list[str]:
    """What runs this module as a program."""
    return [sys.executable, "-m", "service.runtime.providers", provider]


def _problem_of_a_child(provider: str) -> str:
    try:
        tried = subprocess.run(  # noqa: S603
            child_command(provider), check=False, capture_output=True, text=True, timeout=START_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"{execution_provider(provider)} did not start within {START_SECONDS:.0f} s"
    if tried.returncode:
        return f"{execution_provider(provider)} ended the process that tried it, with code {tried.returncode}"
    return tried.stdout.strip()


def why_it_does_not_start(provider: str) -> str:
    """Open a session of one node on `provider`: what went wrong, or nothing."""
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, [1])
    same = helper.make_tensor_value_info("same", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["value"], ["same"])], "probe", [value], [same])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    load_libraries(provider)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it takes another provider, which is looked at below
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=[execution_provider(provider), "CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no class of their own
            return f"{execution_provider(provider)} does not start: {str(error).strip().splitlines()[0]}"
    if session.get_providers()[0] == execution_provider(provider):
        return ""
    return f"{execution_provider(provider)} is installed but does not start here (driver, libraries or device missing)"


if __name__ == "__main__":
    check_provider(sys.argv[1])
    sys.stdout.write(why_it_does_not_start(sys.argv[1]))
