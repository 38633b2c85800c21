"""The manifest says everything and nothing else."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from service.bundle.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from service.errors import BundleError
from tests.bundles import tiny_bundle

Document = dict[str, Any]


def document(task: str = "classification") -> Document:
    manifest, _ = tiny_bundle(task)
    return json.loads(manifest.model_dump_json())  # type: ignore[no-any-return]


def encode(content: Document) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize("task", ["classification", "labelling", "labelling-features", "generation", "translation"])
def test_a_manifest_survives_being_written_and_read(task: str) -> None:
    manifest, _ = tiny_bundle(task)
    assert parse_manifest(manifest.model_dump_json().encode()) == manifest


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"\xff\xfe", "not valid JSON", id="not text"),
        pytest.param(b'{"format": 1', "not valid JSON", id="cut off"),
        pytest.param(b"[1]", "JSON object", id="a list"),
        pytest.param(b'{"format": 1, "format": 1}', "duplicate key 'format'", id="a duplicate key"),
        pytest.param(b'{"format": 1, "a": {"b": 1, "b": 2}}', "duplicate key 'b'", id="a nested duplicate key"),
        pytest.param(b'{"format": NaN}', "NaN is not a JSON number", id="NaN"),
        pytest.param(b'{"format": 1, "a": -Infinity}', "-Infinity is not", id="infinity"),
        pytest.param(b"[" * 900_000, "not valid JSON", id="very deep lists"),
        pytest.param(b'{"a":' * 190_000, "not valid JSON", id="very deep objects"),
        pytest.param(b'{"format": ' + b"9" * 5000 + b"}", "not valid JSON", id="a number of 5,000 digits"),
        pytest.param(b" " * (MAX_MANIFEST_BYTES + 1), "at most 1000000 are allowed", id="too large"),
        pytest.param(b"{}", "format is None", id="no format"),
        pytest.param(b'{"format": 2}', "format is 2, this server reads format 1", id="a newer format"),
        pytest.param(b'{"format": true}', "format is True", id="a boolean format"),
        pytest.param(b'{"format": "1"}', "format is '1'", id="a format in quotes"),
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message) as refused:
        parse_manifest(raw)
    assert "manifest.json" in refused.value.message


def put(*path: str | int, value: Any) -> Callable[[Document], None]:
    def change(content: Document) -> None:
        inner: Any = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[Document], None]:
    def change(content: Document) -> None:
        inner: Any = content
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


CLASSIFIER = ("variants", "fp32", "graphs", "classifier")
GOLDEN = ("variants", "fp32", "golden")
HASHED = {"size_bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        pytest.param(put("surprise", value=1), "surprise", id="an unknown key"),
        pytest.param(put("spec", "surprise", value=1), "spec.classification.surprise", id="an unknown key inside"),
        pytest.param(drop("producer"), "producer", id="a missing key"),
        pytest.param(drop("spec", "text", "language"), "language", id="a missing key that may be null"),
        pytest.param(put("name", value="../x"), "name", id="a name with a path"),
        pytest.param(put("name", value="x\n"), "name", id="a name with a line end"),
        pytest.param(put("version", value="1"), "version", id="a version in quotes"),
        pytest.param(put("version", value=0), "version", id="version 0"),
        pytest.param(put("version", value=True), "version", id="a boolean version"),
        pytest.param(put("created_time", value="yesterday"), "created_time", id="a time in words"),
        pytest.param(put("spec", "task", value="regression"), "spec", id="an unknown task"),
        pytest.param(put("spec", "labels", value=["one"]), "labels", id="one label"),
        pytest.param(put("spec", "labels", value=["a", "a"]), "labels must be distinct", id="a label twice"),
        pytest.param(put("spec", "labels", value=["a", "\ud800"]), "surrogates", id="a label that is no text"),
        pytest.param(put("spec", "text", "pad_id", value=22), "pad_id 22 is outside", id="an id past the vocabulary"),
        pytest.param(put("spec", "text", "eos_id", value=-1), "eos_id", id="a negative id"),
        pytest.param(put("default_precision", value="int8"), "no variant", id="a default that is not there"),
        pytest.param(put("variants", value={}), "variants", id="no variant"),
        pytest.param(put(*CLASSIFIER[:3], value={}), "graphs must be", id="no graph"),
        pytest.param(put(*CLASSIFIER, "opset", value=7), "opset", id="opset 7"),
        pytest.param(put(*CLASSIFIER, "opset", value=99), "opset", id="opset 99"),
        pytest.param(put(*CLASSIFIER, "inputs", 0, "dtype", value="string"), "dtype", id="a foreign dtype"),
        pytest.param(put(*GOLDEN, "absolute_tolerance", value=0.2), "absolute_tolerance", id="a loose tolerance"),
        pytest.param(put(*GOLDEN, "absolute_tolerance", value=-1.0), "absolute_tolerance", id="a negative tolerance"),
        pytest.param(put(*GOLDEN, "file", value="elsewhere.npz"), "files lacks", id="a golden file that is not listed"),
        pytest.param(put("files", "../x", value=HASHED), "files", id="traversal"),
        pytest.param(put("files", "a/../../x", value=HASHED), "files", id="traversal inside"),
        pytest.param(put("files", "..", value=HASHED), "files", id="the folder above"),
        pytest.param(put("files", "sub/x.onnx", value=HASHED), "files", id="a sub-folder"),
        pytest.param(put("files", "/etc/passwd", value=HASHED), "files", id="an absolute path"),
        pytest.param(put("files", "a\x00.md", value=HASHED), "files", id="a NUL in a name"),
        pytest.param(put("files", "a.md\n", value=HASHED), "files", id="a line end in a name"),
        pytest.param(put("files", "MODEL_CARD.md", "sha256", value="A" * 64), "sha256", id="a hash in capitals"),
        pytest.param(put("files", "MODEL_CARD.md", "size_bytes", value=0), "size_bytes", id="a size of 0"),
        pytest.param(put("files", "MODEL_CARD.md", "size_bytes", value=1.0), "size_bytes", id="a size with a point"),
    ],
)
def test_a_changed_manifest_is_refused_with_the_place(change: Callable[[Document], None], where: str) -> None:
    content = document()
    change(content)
    with pytest.raises(BundleError, match=re.escape(where)):
        parse_manifest(encode(content))


def test_a_number_that_overflows_is_refused() -> None:
    raw = encode(document()).replace(b'"deviation_from_fp32": 0.0', b'"deviation_from_fp32": 1e999')
    with pytest.raises(BundleError, match="deviation_from_fp32"):
        parse_manifest(raw)


def without(role: str) -> Manifest:
    """The manifest of a language model that lacks a graph."""
    content = document("generation")
    graphs = content["variants"]["fp32"]["graphs"]
    del content["files"][graphs.pop(role)["file"]]
    return parse_manifest(encode(content))


def test_a_language_model_may_leave_its_prompts_to_its_step_but_not_the_other_way_round() -> None:
    assert set(without("prefill").variants["fp32"].graphs) == {"step"}
    with pytest.raises(BundleError, match=r"graphs must be \['prefill', 'step'\], not \['prefill'\]"):
        without("step")


HUMIDITY = ("spec", "input", "features", 1)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        pytest.param("generation", put("spec", "text", "bos_id", value=None), "needs text.bos_id", id="no beginning"),
        pytest.param("translation", put("spec", "target", "eos_id", value=None), "target.eos_id", id="no end"),
        pytest.param("translation", put("spec", "key_size", value=None), "together or not at all", id="half attention"),
        pytest.param(
            "labelling", put("spec", "labels", value=["O", "O"]), "labels must be distinct", id="a label twice"
        ),
        pytest.param(
            "labelling", put("spec", "labels", value=["O", "PER"]), "'PER' does not fit scheme bio", id="no BIO"
        ),
        pytest.param("labelling", put("spec", "labels", value=["O", "I-X"]), "'I-X' does not fit", id="I without B"),
        pytest.param("labelling", put("spec", "labels", value=["O", "B-"]), "'B-' does not fit", id="B of nothing"),
        pytest.param("labelling", put("spec", "labels", value=["B-X", "I-X"]), "needs the label O", id="no O"),
        pytest.param("labelling", put("spec", "scheme", value="bilou"), "scheme", id="another scheme"),
        pytest.param(
            "labelling", put("spec", "input", "kind", value="pixels"), "spec.labelling.input", id="another kind"
        ),
        pytest.param("labelling", put("spec", "input", "split", value="words"), "words.split", id="another split"),
        pytest.param("labelling-features", put("spec", "input", "features", value=[]), "features", id="no features"),
        pytest.param(
            "labelling-features", put(*HUMIDITY, "name", value="wind"), "names of features", id="a name twice"
        ),
        pytest.param("labelling-features", put(*HUMIDITY, "name", value="a\n"), "name", id="a line end in a name"),
        pytest.param("labelling-features", put(*HUMIDITY, "name", value=" a"), "name", id="a name with a blank"),
        pytest.param("labelling-features", put(*HUMIDITY, "scale", value=0.0), "scale", id="scale 0"),
        pytest.param("labelling-features", put(*HUMIDITY, "imputation", value="mean"), "imputation", id="another rule"),
        pytest.param(
            "labelling-features", put(*HUMIDITY, "imputation", value=1e9), "scales from the mean", id="far off"
        ),
    ],
)
def test_tasks_ask_for_what_they_need(task: str, change: Callable[[Document], None], message: str) -> None:
    content = document(task)
    change(content)
    with pytest.raises(BundleError, match=message):
        parse_manifest(encode(content))
