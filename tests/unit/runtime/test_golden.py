"""The proof is complete, holds nothing but arrays, and a deviation anywhere stops the load."""

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import Golden, Graph, GraphRole
from service.errors import BundleError, InferenceFailedError
from service.runtime.golden import Array, GoldenCase, read_golden, record_case, replay_golden, write_golden
from tests.bundles import golden_inputs, tiny_bundle

WHERE = "golden.fp32.npz"
Arrays = dict[str, Array]


def declared(task: str) -> Mapping[GraphRole, Graph]:
    manifest, _ = tiny_bundle(task)
    return manifest.variants["fp32"].graphs


def recording(task: str = "classification") -> bytes:
    return tiny_bundle(task)[1][WHERE]


def arrays_of(raw: bytes) -> Arrays:
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        return dict(archive)


def pack(arrays: Mapping[str, Any], *, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def golden(absolute: float = 1e-5, relative: float = 0.0) -> Golden:
    return Golden(
        file=WHERE,
        reference="self",
        absolute_tolerance=absolute,
        relative_tolerance=relative,
        deviation_from_fp32=0.0,
        instruction_sets=[],
    )


# Reading and writing


@pytest.mark.parametrize("task", ["classification", "generation", "translation"])
def test_what_was_recorded_is_what_is_read(task: str) -> None:
    raw = recording(task)
    cases = read_golden(raw, declared(task), where=WHERE)
    read, recorded = arrays_of(write_golden(cases)), arrays_of(raw)
    assert read.keys() == recorded.keys()
    assert all(np.array_equal(read[name], recorded[name]) for name in recorded)
    assert {case.role for case in cases} == declared(task).keys()


def test_the_same_recording_gives_the_same_bytes() -> None:
    cases = read_golden(recording(), declared("classification"), where=WHERE)
    assert write_golden(cases) == write_golden(cases)


def test_a_recorded_run_keeps_inputs_and_outputs_by_name() -> None:
    graph = declared("generation")["step"]
    arrays = golden_inputs(tiny_bundle("generation")[0].spec, graph, [1, 1])
    case = record_case("step", graph, lambda ids, state: (ids * 2, state * 2), arrays)
    assert list(case.inputs) == ["token_ids", "state"]
    assert list(case.outputs) == ["logits", "next_state"]
    assert np.array_equal(case.outputs["next_state"], arrays[1] * 2)


# What a recording may not be


def put(name: str, value: Any) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: value})


def drop(*prefixes: str) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        for name in [name for name in arrays if name.startswith(prefixes)]:
            del arrays[name]

    return change


def infinite_logits(arrays: Arrays) -> None:
    arrays["classifier/0/output/logits"][0, 0] = np.inf


LOGITS = "classifier/0/output/logits"
IDS = "classifier/0/input/token_ids"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(drop(""), "needs a case with one row", id="nothing"),
        pytest.param(drop(LOGITS), "case classifier/0 must hold exactly", id="a tensor missing"),
        pytest.param(put("classifier/0/output/more", np.zeros(1, np.float32)), "must hold exactly", id="a tensor more"),
        pytest.param(put("encoder/0/input/x", np.zeros(1, np.float32)), "graph 'encoder', which", id="a graph more"),
        pytest.param(put("stray", np.zeros(1, np.float32)), "array 'stray' is not named", id="a stray name"),
        pytest.param(put("classifier/x/input/a", np.zeros(1, np.float32)), "is not named", id="a case without number"),
        pytest.param(put("classifier/01/input/a", np.zeros(1, np.float32)), "is not named", id="a case 01"),
        pytest.param(put("classifier/9/input/a", np.zeros(1, np.float32)), "without gaps", id="a gap in the cases"),
        pytest.param(drop("classifier/0", "classifier/1"), "without gaps", id="no first case"),
        pytest.param(put(LOGITS, np.zeros((1, 3), np.float32)), r"float32\[1, 3\], the manifest says", id="width"),
        pytest.param(put(LOGITS, np.zeros((2, 2), np.float32)), r"float32\[2, 2\], the manifest", id="rows of its own"),
        pytest.param(put(LOGITS, np.zeros(2, np.float32)), r"float32\[2\], the manifest says", id="rank"),
        pytest.param(put(IDS, np.zeros((1, 5), np.float32)), "float32.*the manifest says int64", id="dtype"),
        pytest.param(put(IDS, np.zeros((1, 0), np.int64)), r"int64\[1, 0\], the manifest", id="nothing in it"),
        pytest.param(put(IDS, np.zeros((1, 5), np.float64)), "dtype float64", id="another dtype"),
        pytest.param(put(IDS, np.zeros((1, 5), ">i8")), "dtype >i8", id="another byte order"),
        pytest.param(put(IDS, np.zeros((5, 3), np.int64).T), "Fortran order", id="another memory order"),
        pytest.param(put(IDS, np.array([{}], dtype=object)), "dtype object", id="a pickle"),
        pytest.param(infinite_logits, "is not finite", id="infinity"),
    ],
)  # fmt: skip
def test_a_recording_that_is_not_whole_is_refused(change: Callable[[Arrays], None], message: str) -> None:
    arrays = arrays_of(recording())
    change(arrays)
    with pytest.raises(BundleError, match=f"^{WHERE}: .*{message}"):
        read_golden(pack(arrays), declared("classification"), where=WHERE)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        pytest.param([[3], [2]], "one row and a case with several", id="single rows"),
        pytest.param([[3, 2]], "one row and a case with several", id="no single row"),
        pytest.param([[3], [2, 2]], "different lengths", id="equal lengths"),
    ],
)
def test_a_recording_that_could_not_show_a_masking_error_is_refused(lengths: list[list[int]], message: str) -> None:
    graph = declared("classification")["classifier"]
    spec = tiny_bundle("classification")[0].spec

    def run(ids: Array, _: Array, state: Array) -> tuple[Array, Array]:
        return np.zeros((len(ids), 2), np.float32), state

    cases = [record_case("classifier", graph, run, golden_inputs(spec, graph, one)) for one in lengths]
    with pytest.raises(BundleError, match=message):
        read_golden(write_golden(cases), {"classifier": graph}, where=WHERE)


def zip_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def huge_header() -> bytes:
    """An npy file that claims 10^12 numbers and has none."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    return stream.getvalue()


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "not an npz file", id="empty"),
        pytest.param(b"\0" * 100, "not an npz file", id="zeros"),
        pytest.param(pickle.dumps(Harmful()), "not an npz file", id="a pickle"),
        pytest.param(zip_with("a.npy", pickle.dumps(Harmful())), "not an npz file", id="a pickle in a zip"),
        pytest.param(pack({"a": Harmful()}), "dtype object", id="a pickle in an npy"),
        pytest.param(zip_with("a.txt", b"text"), r"end in \.npy", id="another kind of member"),
        pytest.param(zip_with("a.npy", huge_header()), "not an npz file", id="a shape of 10^12"),
        pytest.param(pack({"a": np.zeros(10**6)}, compressed=True), "unpack to more than the file", id="a bomb"),
        pytest.param(pack({"a": np.random.default_rng(0).bytes(9)}, compressed=True), "compressed", id="compressed"),
        pytest.param(recording()[:-100], "not an npz file", id="cut off"),
    ],
)
def test_what_is_no_plain_archive_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_golden(raw, declared("classification"), where=WHERE)


def test_two_arrays_of_one_name_are_refused() -> None:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("a.npy", b"x")
        archive.writestr("b.npy", b"y")
    raw = buffer.getvalue().replace(b"b.npy", b"a.npy")
    with pytest.raises(BundleError, match="distinct"):
        read_golden(raw, declared("classification"), where=WHERE)


# Replaying


def case_of(expected: list[float]) -> GoldenCase:
    return GoldenCase("step", {"x": np.zeros(1, np.float32)}, {"logits": np.array(expected, np.float32)})


def replay(got: list[float], expected: list[float], tolerance: Golden) -> float:
    found = replay_golden([case_of(expected)], {"step": lambda _: (np.array(got, np.float32),)}, tolerance)
    return found.share_of_tolerance


@pytest.mark.parametrize(
    ("got", "expected", "tolerance"),
    [
        pytest.param([1.0], [1.0], golden(0.0), id="equal, without tolerance"),
        pytest.param([1.0, 2.0 + 9e-6], [1.0, 2.0], golden(1e-5), id="within the absolute tolerance"),
        pytest.param([1000.9], [1000.0], golden(0.0, 1e-3), id="within the relative tolerance"),
    ],
)
def test_a_replay_within_the_tolerance_passes(got: list[float], expected: list[float], tolerance: Golden) -> None:
    assert 0 <= replay(got, expected, tolerance) <= 1


@pytest.mark.parametrize(
    ("got", "expected", "tolerance", "message"),
    [
        pytest.param([1.0, 2.1], [1.0, 2.0], golden(), "deviates by 0.1, allowed are 1e-05", id="a deviation"),
        pytest.param([1e-30], [0.0], golden(0.0, 0.1), "deviates by 1e-30", id="relative to zero"),
        pytest.param([1.0, np.nan], [1.0, 2.0], golden(), "not finite", id="NaN"),
        pytest.param([1.0, np.inf], [1.0, 2.0], golden(), "not finite", id="infinity"),
        pytest.param([1.0], [1.0, 2.0], golden(), r"shape \[1\], recorded \[2\]", id="shape"),
    ],
)
def test_a_replay_outside_the_tolerance_says_where(
    got: list[float], expected: list[float], tolerance: Golden, message: str
) -> None:
    with pytest.raises(BundleError, match=rf"^golden\.fp32\.npz: graph step, case 0, output logits: {message}"):
        replay(got, expected, tolerance)


def test_a_graph_that_fails_on_its_own_recording_is_a_bad_bundle() -> None:
    def run(_: Array) -> tuple[Array, ...]:
        raise InferenceFailedError("step.fp32.onnx: out of order")

    with pytest.raises(BundleError, match=r"graph step, case 0: step\.fp32\.onnx: out of order"):
        replay_golden([case_of([1.0])], {"step": run}, golden())


def test_the_worst_deviation_is_reported() -> None:
    cases = [case_of([1.0]), case_of([2.0])]
    answers = iter([[1.0 + 2e-6], [2.0 + 8e-6]])
    found = replay_golden(cases, {"step": lambda _: (np.array(next(answers), np.float32),)}, golden())
    assert (found.role, found.case, found.output) == ("step", 1, "logits")
    assert found.absolute == pytest.approx(8e-6, rel=0.1)
    assert found.share_of_tolerance == pytest.approx(0.8, rel=0.1)
