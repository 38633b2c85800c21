"""A session runs one graph on what was asked for, on one thread, and says what went wrong."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import ModelProto, TensorProto, helper

from service.bundle.manifest import Graph, TensorSpec
from service.errors import BundleError, InferenceFailedError, SettingsError
from service.runtime.session import Array, GraphSession, open_session
from tests.bundles import golden_inputs, tiny_bundle

WHERE = "classifier.fp32.onnx"


@pytest.fixture
def classifier() -> GraphSession:
    raw, graph = classifier_graph()
    return open_session(raw, graph, where=WHERE)


def classifier_graph() -> tuple[bytes, Graph]:
    manifest, files = tiny_bundle("classification")
    return files[WHERE], manifest.variants["fp32"].graphs["classifier"]


def inputs(lengths: list[int]) -> list[Array]:
    manifest, _ = tiny_bundle("classification")
    return golden_inputs(manifest.spec, manifest.variants["fp32"].graphs["classifier"], lengths)


def test_outputs_come_in_manifest_order(classifier: GraphSession) -> None:
    logits, state = classifier(*inputs([3, 5]))
    assert (logits.shape, state.shape) == ((2, 2), (2, 16))
    assert logits.dtype == state.dtype == np.float32


Spoil = Callable[[Array, Array, Array], tuple[Array, ...]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda ids, *rest: (ids.astype(np.int32), *rest), "Unexpected input data type", id="dtype"),
        pytest.param(lambda ids, *rest: (ids[0], *rest), "Invalid rank", id="rank"),
        pytest.param(lambda ids, lengths, state: (ids, lengths, state[:, 1:]), "invalid dimensions", id="width"),
        pytest.param(lambda ids, *rest: (ids + 1000, *rest), "indices element out of data bounds", id="unknown id"),
        pytest.param(lambda ids, lengths, state: (ids, lengths + 99, state), "sequence_lens", id="length past the end"),
    ],
)
def test_inputs_that_do_not_fit_fail_with_the_graph_named(classifier: GraphSession, spoil: Spoil, message: str) -> None:
    with pytest.raises(InferenceFailedError, match=f"^{WHERE}: .*{message}"):
        classifier(*spoil(*inputs([3, 5])))
    classifier(*inputs([3, 5]))  # and the next good call works


def test_failures_print_nothing(classifier: GraphSession, capfd: pytest.CaptureFixture[str]) -> None:
    ids, lengths, state = inputs([3])
    with pytest.raises(InferenceFailedError):
        classifier(ids + 1000, lengths, state)
    assert capfd.readouterr() == ("", "")


def test_a_session_starts_no_threads() -> None:
    raw, graph = classifier_graph()
    before = psutil.Process().num_threads()
    opened = open_session(raw, graph, where=WHERE)
    opened(*inputs([3]))
    assert psutil.Process().num_threads() == before


def test_threads_may_share_a_session(classifier: GraphSession) -> None:
    arrays = inputs([7, 2, 9])
    expected = classifier(*arrays)
    start = threading.Barrier(4)

    def many() -> bool:
        start.wait()
        return all(
            all(np.array_equal(*pair) for pair in zip(classifier(*arrays), expected, strict=True)) for _ in range(50)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(future.result() for future in [pool.submit(many) for _ in range(4)])


@pytest.mark.parametrize("raw", [b"", b"text", classifier_graph()[0][:1000]], ids=["empty", "text", "cut off"])
def test_what_onnx_runtime_refuses_is_a_bad_bundle(raw: bytes) -> None:
    with pytest.raises(BundleError, match=f"^{WHERE}: ONNX Runtime refuses it"):
        open_session(raw, classifier_graph()[1], where=WHERE)


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(SettingsError, match="provider 'tpu' is unknown, choose one of cpu, cuda"):
        open_session(*classifier_graph(), where=WHERE, provider="tpu")


def test_a_provider_that_is_missing_is_refused_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SettingsError, match="provider cuda is not in this ONNX Runtime"):
        open_session(*classifier_graph(), where=WHERE, provider="cuda")


def test_a_provider_that_does_not_start_is_refused_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: names)  # as when its libraries are missing
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(SettingsError, match="does not start"):
        open_session(*classifier_graph(), where=WHERE, provider="cuda")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"name": "tokens"}, "token_ids int64.*tokens int64", id="name"),
        pytest.param({"dtype": "float32"}, "token_ids int64.*token_ids float32", id="dtype"),
        pytest.param({"shape": ["rows"]}, r"token_ids int64\[rows, time\].*token_ids int64\[rows\]", id="rank"),
    ],
)
def test_a_session_with_another_signature_than_declared_is_refused(change: dict[str, object], message: str) -> None:
    raw, graph = classifier_graph()
    first: TensorSpec = graph.inputs[0].model_copy(update=change)
    with pytest.raises(BundleError, match=f"the session's inputs are .*{message}"):
        open_session(raw, graph.model_copy(update={"inputs": [first, *graph.inputs[1:]]}), where=WHERE)


def test_external_data_is_not_read_even_where_no_check_came_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(np.array([1.0, 2.0], np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        initializer=[tensor],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    declared = Graph(
        file=WHERE,
        opset=17,
        inputs=[TensorSpec(name="x", dtype="float32", shape=[2])],
        outputs=[TensorSpec(name="y", dtype="float32", shape=[2])],
    )
    with pytest.raises(BundleError, match="ONNX Runtime refuses it"):
        open_session(model.SerializeToString(), declared, where=WHERE)


def test_no_folder_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path))
    open_session(*classifier_graph(), where=WHERE)
    assert not list(tmp_path.iterdir())
