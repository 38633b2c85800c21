"""FORMAT.md is normative, so what the code refuses or asks for must stand in it."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.bundle import graphs, manifest, store
from service.bundle.signatures import signature
from tests.bundles import tiny_bundle

PAGE = Path(manifest.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")
MODELS = [model for model in vars(manifest).values() if isinstance(model, type) and issubclass(model, BaseModel)]


@pytest.mark.parametrize("model", [one for one in MODELS if one.model_fields], ids=lambda model: model.__name__)
def test_every_key_of_the_manifest_is_explained(model: type[BaseModel]) -> None:
    prose = PAGE.replace("```", "")
    named = {word for code in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"\w+", code)}
    assert set(model.model_fields) <= named


def test_the_format_number_is_the_one_that_is_read() -> None:
    assert PAGE.startswith(f"# The bundle, format {manifest.FORMAT}\n")


def test_the_limit_of_a_scaled_value_is_the_one_that_is_kept() -> None:
    assert f"beyond {manifest.MAX_SCALED_VALUE:,.0f} are" in PAGE


def test_every_refusal_with_a_reason_is_listed() -> None:
    assert all(operator in PAGE for operator in graphs.REASONS)


def test_limits_are_the_ones_that_are_kept() -> None:
    assert f"IR version {graphs.IR_VERSIONS[0]} to {graphs.IR_VERSIONS[-1]}" in PAGE
    assert re.search(rf"at most\s+{graphs.MAX_NODE_COUNT:,} nodes", PAGE)
    assert f"at most {store.MAX_FILE_COUNT}," in PAGE
    megabytes = {size // 1_000_000 for size in store.MAX_BYTES_BY_SUFFIX.values()}
    assert megabytes == {1, 16, 64, 2000}
    assert all(f"At most {size}" in PAGE for size in ("1 MB", "16 MB", "64 MB", "2 GB"))


@pytest.mark.parametrize("task", ["classification", "labelling", "labelling-features", "generation", "translation"])
def test_every_tensor_of_every_graph_is_in_the_table(task: str) -> None:
    spec = tiny_bundle(task)[0].spec
    for role in manifest.GRAPH_ROLES[spec.task]:
        rows = [line for line in PAGE.splitlines() if f"| `{role}` |" in line]
        row = rows[-1] if task == "labelling-features" else rows[0]
        inputs, outputs = row.split("|")[3:5]
        declared = signature(spec, role)
        assert re.findall(r"(\w+) \[", inputs) == [tensor.name for tensor in declared.inputs]
        assert re.findall(r"(\w+) \[", outputs) == [tensor.name for tensor in declared.outputs]
