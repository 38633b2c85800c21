"""One ONNX graph on ONNX Runtime: plain arrays in, plain arrays out.   Knows no bundle folder, no task, no batch."""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import cache
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from service.bundle.manifest import Graph, TensorSpec
from service.bundle.signatures import describe
from service.errors import BundleError, InferenceFailedError, SettingsError

Array = NDArray[Any]

_PROVIDERS: Mapping[str, list[Any]] = MappingProxyType(
    {
        "cpu": ["CPUExecutionProvider"],
        # TF32 would round fp32 products to 10 bits; the CPU takes what CUDA has no kernel for
        "cuda": [("CUDAExecutionProvider", {"use_tf32": 0}), "CPUExecutionProvider"],
    }
)
PROVIDERS = tuple(_PROVIDERS)

_DTYPES = MappingProxyType({"tensor(float)": "float32", "tensor(int64)": "int64"})


class GraphSession:
    """A graph, ready to run. Threads may call one session at the same time."""

    def __init__(self, session: onnxruntime.InferenceSession, graph: Graph, where: str) -> None:
        self.graph = graph
        self._session = session
        self._where = where
        self._inputs = [tensor.name for tensor in graph.inputs]
        self._outputs = [tensor.name for tensor in graph.outputs]

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the graph once.

        Args:
            arrays: the inputs in manifest order, with the dtypes and shapes that the manifest gives.

        Returns:
            The outputs in manifest order. They may hold values that are not finite: the caller looks row by row.

        Raises:
            InferenceFailedError: ONNX Runtime refused the inputs or failed.
        """
        feeds = dict(zip(self._inputs, arrays, strict=True))
        try:
            return tuple(self._session.run(self._outputs, feeds))
        except Exception as error:
            # ONNX Runtime's exceptions share no class of their own
            raise InferenceFailedError(f"{self._where}: {_first_line(error)}") from error

    @property
    def device(self) -> str:
        """Where its tensors live, as ONNX Runtime calls it: `cpu` or `cuda`."""
        return "cuda" if self._session.get_providers()[0] == execution_provider("cuda") else "cpu"

    def new_binding(self) -> onnxruntime.IOBinding:
        """An empty binding of inputs and outputs to memory that the caller owns."""
        return self._session.io_binding()

    def run_bound(self, binding: onnxruntime.IOBinding) -> None:
        """Run the graph once, from bound inputs into bound outputs.

        Raises:
            InferenceFailedError: ONNX Runtime refused the inputs or failed.
        """
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise InferenceFailedError(f"{self._where}: {_first_line(error)}") from error


def open_session(raw: bytes, graph: Graph, *, where: str, provider: str = "cpu", float16: bool = False) -> GraphSession:
    """Open a checked graph on `provider`, one thread, not spinning, and compare its signature with the manifest.

    Args:
        raw: bytes that `check_graph` accepted.
        graph: the signature that the manifest declares.
        where: the file's name, for errors.
        provider: one of `PROVIDERS`; never replaced by another.
        float16: the graph computes in float16, and must be opened with care.

    Raises:
        SettingsError: the provider is unknown, or not available here.
        BundleError: ONNX Runtime refuses the graph, or sees another signature.
    """
    check_provider(provider)
    load_libraries(provider)
    wanted = _PROVIDERS[provider]
    # from bytes, ONNX Runtime would look for external data in the working directory: give it an empty one
    with TemporaryDirectory(prefix="seqserve-empty-") as empty:
        try:
            session = onnxruntime.InferenceSession(raw, _options(empty, float16=float16), providers=wanted)
        except Exception as error:
            raise BundleError(f"{where}: ONNX Runtime refuses it: {_first_line(error)}", file=where) from error
    if session.get_providers()[0] != execution_provider(provider):
        raise SettingsError(f"provider {provider} does not start here, only {session.get_providers()}")
    _check_signature(session, graph, where)
    return GraphSession(session, graph, where)


@cache
def load_libraries(provider: str) -> None:
    """Load the CUDA libraries that were installed beside ONNX Runtime, which it does not look for by itself."""
    if provider == "cuda":
        with redirect_stdout(io.StringIO()):  # it prints what is missing; whether the provider starts is looked at
            onnxruntime.preload_dlls()


def check_provider(provider: str) -> None:
    """Raise SettingsError unless ONNX Runtime, as installed here, has `provider`."""
    if provider not in _PROVIDERS:
        raise SettingsError(f"provider {provider!r} is unknown, choose one of {', '.join(PROVIDERS)}")
    available = onnxruntime.get_available_providers()
    if execution_provider(provider) not in available:
        raise SettingsError(f"provider {provider} is not in this ONNX Runtime, which has {', '.join(available)}")


def execution_provider(provider: str) -> str:
    """ONNX Runtime's own name of `provider`."""
    first = _PROVIDERS[provider][0]
    return first if isinstance(first, str) else first[0]


def _options(empty_folder: str, *, float16: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    if float16:
        # the level above is for convolutions, and its NchwcTransformer (1.32) crashes the process on float16 graphs
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # else one giant batch keeps its memory for good; costs no measurable time
    options.enable_mem_pattern = False  # patterns are kept per shape, and shapes vary without end
    options.log_severity_level = 4  # failures are raised; ONNX Runtime would also print them
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty_folder)
    return options


def _check_signature(session: onnxruntime.InferenceSession, graph: Graph, where: str) -> None:
    sides = (("inputs", session.get_inputs(), graph.inputs), ("outputs", session.get_outputs(), graph.outputs))
    for side, found, expected in sides:
        ours = [
            TensorSpec.model_construct(name=one.name, dtype=_DTYPES.get(one.type, one.type), shape=list(one.shape))
            for one in found
        ]
        if ours != expected:
            raise BundleError(f"{where}: the session's {side} are ({describe(ours)}), not ({describe(expected)})")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
