"""The weights file: every weight once, the same bytes each time, and whatever is wrong with it in one line."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load, save

from training.data.examples import AnySplits
from training.errors import ExportError
from training.export.bundle import Draft, draft_bundle
from training.export.weights import read_weights, stored_precision
from training.preparation.prepare import AnyTask, prepare
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
Prepare = Callable[..., AnyTask]
FILE = "weights.safetensors"


@pytest.fixture
def prepared(make_recipe: MakeRecipe, tiny_splits: Tiny) -> Prepare:
    def make(task: str, weights: str, **model: object) -> AnyTask:
        return prepare(make_recipe(task, model=model, export={"weights": weights}), tiny_splits[task])

    return make


def drafted(task: AnyTask) -> Draft:
    return draft_bundle(task, run_sha256="a" * 64)


@pytest.fixture
def stored(prepared: Prepare, tmp_path: Path) -> Path:
    """The weights of a classifier, on disk."""
    path = tmp_path / FILE
    path.write_bytes(drafted(prepared("classification", "fp32")).files[FILE])
    return path


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, str]], None]) -> None:
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = load(path.read_bytes())
    change(tensors, metadata)
    path.write_bytes(save(tensors, metadata=metadata))


@pytest.mark.parametrize(("weights", "dtype"), [("fp32", torch.float32), ("fp16", torch.float16)])
@pytest.mark.parametrize("tied", [False, True])
def test_every_weight_is_stored_once(prepared: Prepare, weights: str, dtype: torch.dtype, tied: bool) -> None:
    task = prepared("generation", weights, tie_weights=tied)
    tensors = load(drafted(task).files[FILE])
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(
        weight.numel() for weight in task.model.parameters()
    )
    assert ("readout.weight" in tensors) != tied
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}


def test_a_bundle_has_no_weights_unless_they_are_asked_for(prepared: Prepare) -> None:
    assert FILE not in drafted(prepared("classification", "none")).files


def test_the_same_weights_are_the_same_bytes(prepared: Prepare) -> None:
    task = prepared("translation", "fp32", attention="general", bidirectional=True)
    assert drafted(task).files[FILE] == drafted(task).files[FILE]


def test_the_file_says_what_it_is_of(stored: Path, prepared: Prepare) -> None:
    task = prepared("classification", "fp32")
    found = read_weights(stored)
    assert stored_precision(stored) == found.precision == "fp32"
    assert found.settings == task.recipe.model
    assert found.spec == drafted(task).manifest.spec
    network = found.network()
    assert not network.training
    for name, weight in task.model.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight)


def test_weights_in_fp16_are_rounded_before_anything_is_written(prepared: Prepare) -> None:
    task = prepared("classification", "fp16")
    before = {name: weight.clone() for name, weight in task.model.state_dict().items()}
    rounded = drafted(task)
    assert all(torch.equal(weight, before[name]) for name, weight in task.model.state_dict().items())
    for weight in task.model.parameters():
        weight.data.copy_(weight.half().float())
    plain = draft_bundle(task, run_sha256="a" * 64)
    assert rounded.files == plain.files
    assert (
        drafted(prepared("classification", "none")).files["classifier.fp32.onnx"] != plain.files["classifier.fp32.onnx"]
    )


def test_a_weight_that_float16_cannot_hold_is_named(prepared: Prepare) -> None:
    task = prepared("classification", "fp16")
    task.model.get_parameter("output.weight").data[0, 0] = np.inf
    with pytest.raises(ExportError, match=r"^output.weight holds inf, float16 ends at 65504"):
        drafted(task)


def drop(tensors: dict[str, torch.Tensor], _: dict[str, str]) -> None:
    del tensors["output.bias"]


def add(tensors: dict[str, torch.Tensor], _: dict[str, str]) -> None:
    tensors["attention.weight"] = torch.zeros(1)


def reshape(tensors: dict[str, torch.Tensor], _: dict[str, str]) -> None:
    tensors["output.bias"] = torch.zeros(7)


def forget(_: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    metadata.clear()


def misspell(_: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    metadata["seqserve"] = metadata["seqserve"].replace('"cell"', '"cel"')


def garble(_: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    metadata["seqserve"] = "{"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(drop, r"weight output.bias is missing$", id="a weight too few"),
        pytest.param(add, r"weight attention.weight has no place in this architecture$", id="a weight too many"),
        pytest.param(
            reshape, r"weight output.bias is \[7\] torch.float32, expected \[2\] torch.float32$", id="another shape"
        ),
        pytest.param(forget, r"its metadata has no entry seqserve", id="no description"),
        pytest.param(misspell, r"metadata seqserve: model: unknown key 'cel': did you mean 'cell'\?$", id="misspelt"),
        pytest.param(garble, r"metadata seqserve: document: Invalid JSON", id="no JSON"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(
    stored: Path, change: Callable[[dict[str, torch.Tensor], dict[str, str]], None], message: str
) -> None:
    rewritten(stored, change)
    with pytest.raises(ExportError, match=rf"^{stored}: {message}") as caught:
        read_weights(stored).network()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "raw", [pytest.param(b"", id="empty"), pytest.param(b"\xff" * 99, id="noise"), pytest.param(None, id="cut short")]
)
def test_a_damaged_file_is_refused_in_one_line(stored: Path, raw: bytes | None) -> None:
    stored.write_bytes(stored.read_bytes()[:-5] if raw is None else raw)
    with pytest.raises(ExportError, match=rf"^{stored}: not a sound safetensors file: .+") as caught:
        read_weights(stored)
    assert "\n" not in str(caught.value)
