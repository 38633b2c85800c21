"""A bundle's own proof: recorded inputs with the outputs they must give.   Written at export, replayed at every load.

Runs whatever callables it is given; knows no ONNX Runtime and no folder.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Golden, Graph, GraphRole, TensorSpec
from service.errors import BundleError, InferenceFailedError

Array = NDArray[Any]
Run = Callable[..., tuple[Array, ...]]
"""A graph: inputs in manifest order to outputs in manifest order."""

MAX_ARRAY_COUNT = 2_000
_SIDES = ("input", "output")


@dataclass(frozen=True)
class GoldenCase:
    """One recorded run of one graph: its inputs and outputs by tensor name."""

    role: GraphRole
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Deviation:
    """Where a replay was furthest from the recording, measured against the tolerance there."""

    role: str
    case: int
    output: str
    absolute: float
    share_of_tolerance: float


NO_DEVIATION = Deviation(role="", case=0, output="", absolute=0.0, share_of_tolerance=0.0)


def record_case(role: GraphRole, graph: Graph, run: Run, inputs: Sequence[Array]) -> GoldenCase:
    """Run a graph once and keep inputs and outputs: a case whose reference is the graph itself."""
    outputs = run(*inputs)
    return GoldenCase(
        role,
        {tensor.name: array for tensor, array in zip(graph.inputs, inputs, strict=True)},
        {tensor.name: array for tensor, array in zip(graph.outputs, outputs, strict=True)},
    )


def write_golden(cases: Iterable[GoldenCase]) -> bytes:
    """The bytes of `golden.<precision>.npz`. Cases of one role are numbered in the order given."""
    arrays: dict[str, Array] = {}
    counts: dict[str, int] = defaultdict(int)
    for case in cases:
        for side, tensors in zip(_SIDES, (case.inputs, case.outputs), strict=True):
            for name, array in tensors.items():
                arrays[f"{case.role}/{counts[case.role]}/{side}/{name}"] = array
        counts[case.role] += 1
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_golden(raw: bytes, graphs: Mapping[GraphRole, Graph], *, where: str) -> tuple[GoldenCase, ...]:
    """Parse and check a recording: every graph, every tensor, and cases that could show a difference.

    Args:
        raw: bytes of the file.
        graphs: the graphs it must prove, with their signatures.
        where: the file's name, for errors.

    Raises:
        BundleError: not a plain archive of arrays, an array missing or unknown, a wrong shape, or too few cases.
    """
    try:
        arrays = _read_arrays(raw)
        cases = _cases(arrays, graphs)
        for role, graph in graphs.items():
            _check_coverage(role, graph, [case for case in cases if case.role == role])
    except BundleError as error:
        raise BundleError(f"{where}: {error.message}", file=where) from error
    return tuple(cases)


def replay_golden(cases: Iterable[GoldenCase], runs: Mapping[GraphRole, Run], golden: Golden) -> Deviation:
    """Run every case and compare, element by element: |got - expected| <= absolute + relative * |expected|.

    Returns:
        The largest deviation met, which is within the tolerance.

    Raises:
        BundleError: a graph failed, or an output has another shape, is not finite, or deviates more.
    """
    worst = NO_DEVIATION
    counts: dict[str, int] = defaultdict(int)
    for case in cases:
        outputs = _run(runs[case.role], case, f"{golden.file}: graph {case.role}, case {counts[case.role]}")
        for (name, expected), got in zip(case.outputs.items(), outputs, strict=True):
            found = _compare(case.role, counts[case.role], name, got, expected, golden)
            worst = max(worst, found, key=lambda one: one.share_of_tolerance)
        counts[case.role] += 1
    return worst


def _run(run: Run, case: GoldenCase, where: str) -> tuple[Array, ...]:
    try:
        return run(*case.inputs.values())
    except InferenceFailedError as error:
        raise BundleError(f"{where}: {error.message}") from error


def _compare(role: str, case: int, output: str, got: Array, expected: Array, golden: Golden) -> Deviation:
    where = f"{golden.file}: graph {role}, case {case}, output {output}"
    if got.shape != expected.shape:
        raise BundleError(f"{where}: shape {list(got.shape)}, recorded {list(expected.shape)}", file=golden.file)
    if not np.isfinite(got).all():
        raise BundleError(f"{where}: not finite", file=golden.file)
    difference = np.abs(got.astype(np.float64) - expected)
    allowed = golden.absolute_tolerance + golden.relative_tolerance * np.abs(expected.astype(np.float64))
    if (difference > allowed).any():
        raise BundleError(
            f"{where}: deviates by {difference.max():.3g}, allowed are {golden.absolute_tolerance:g} absolute "
            f"and {golden.relative_tolerance:g} relative",
            file=golden.file,
            deviation=difference.max(),
        )
    share = np.divide(difference, allowed, out=np.zeros_like(difference), where=difference > 0)
    return Deviation(role, case, output, float(difference.max(initial=0)), float(share.max(initial=0)))


def _read_arrays(raw: bytes) -> dict[str, Array]:
    """All arrays of an npz, by name. Compressed entries are refused: what is read is never larger than the file."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            _check_archive(archive, len(raw))
            return {info.filename.removesuffix(".npy"): _read_array(archive.read(info)) for info in archive.infolist()}
    except BundleError:
        raise
    except Exception as error:
        # zipfile and numpy raise a dozen unrelated classes on damaged files
        raise BundleError(f"not an npz file: {error}") from error


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_ARRAY_COUNT or sum(entry.file_size for entry in entries) > size:
        raise BundleError(f"{len(entries)} arrays that unpack to more than the file, or more than {MAX_ARRAY_COUNT}")
    if len(set(names)) != len(names) or not all(name.endswith(".npy") for name in names):
        raise BundleError("array names must be distinct and end in .npy")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise BundleError("compressed arrays are not allowed")


def _read_array(data: bytes) -> Array:
    """Parse one npy file. Never unpickles: only two plain dtypes are let through to `frombuffer`."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise BundleError("an array has another npy version than 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype not in (np.float32, np.int64):
        raise BundleError(f"an array has dtype {dtype} or Fortran order; float32 and int64 in C order are allowed")
    return np.frombuffer(data, dtype=dtype, offset=stream.tell()).reshape(shape).copy()


def _cases(arrays: Mapping[str, Array], graphs: Mapping[GraphRole, Graph]) -> list[GoldenCase]:
    grouped: dict[tuple[str, int], dict[str, Array]] = defaultdict(dict)
    for name, array in arrays.items():
        role, number, tensor = _split_name(name)
        grouped[role, number][tensor] = array
    cases: list[GoldenCase] = []
    for role, number in sorted(grouped):
        if role not in graphs:
            raise BundleError(f"records graph {role!r}, which is not among {', '.join(graphs)}")
        if number != sum(case.role == role for case in cases):
            raise BundleError(f"cases of graph {role} must be numbered from 0 without gaps")
        found = grouped[role, number]
        cases.append(_case(cast("GraphRole", role), graphs[cast("GraphRole", role)], found, f"{role}/{number}"))
    return cases


def _split_name(name: str) -> tuple[str, int, str]:
    role, _, rest = name.partition("/")
    number, _, tensor = rest.partition("/")
    if not (number.isascii() and number.isdigit() and len(number) <= 4 and number == str(int(number))):
        raise BundleError(f"array {name!r} is not named <role>/<case>/input|output/<tensor>")
    return role, int(number), tensor


def _case(role: GraphRole, graph: Graph, found: Mapping[str, Array], where: str) -> GoldenCase:
    expected = {f"input/{tensor.name}": tensor for tensor in graph.inputs}
    expected |= {f"output/{tensor.name}": tensor for tensor in graph.outputs}
    if found.keys() != expected.keys():
        raise BundleError(f"case {where} must hold exactly {sorted(expected)}, not {sorted(found)}")
    sizes: dict[str, int] = {}
    for name, tensor in expected.items():
        _check_array(found[name], tensor, sizes, f"{where}/{name}")
    inputs = {tensor.name: found[f"input/{tensor.name}"] for tensor in graph.inputs}
    outputs = {tensor.name: found[f"output/{tensor.name}"] for tensor in graph.outputs}
    return GoldenCase(role, inputs, outputs)


def _check_array(array: Array, tensor: TensorSpec, sizes: dict[str, int], where: str) -> None:
    """Compare an array with its declaration; `sizes` collects what the free dimensions of this case are."""
    fits = array.ndim == len(tensor.shape) and all(
        found == (sizes.setdefault(size, found) if isinstance(size, str) else size)
        for found, size in zip(array.shape, tensor.shape, strict=True)
    )
    if array.dtype != tensor.dtype or not fits or array.size == 0:
        raise BundleError(
            f"array {where} is {array.dtype}{list(array.shape)}, the manifest says {tensor.dtype}{tensor.shape}"
        )
    if not np.isfinite(array).all():
        raise BundleError(f"array {where} is not finite")


def _check_coverage(role: str, graph: Graph, cases: list[GoldenCase]) -> None:
    """One row, several rows, and rows of different lengths: less would not show a batching or masking error."""
    first = graph.inputs[0].name
    rows = {case.inputs[first].shape[0] for case in cases}
    if 1 not in rows or max(rows) == 1:
        raise BundleError(f"graph {role} needs a case with one row and a case with several")
    lengths = [case.inputs["lengths"] for case in cases if "lengths" in case.inputs]
    if lengths and not any(len(set(one.tolist())) > 1 for one in lengths):
        raise BundleError(f"graph {role} needs a case whose rows have different lengths")
