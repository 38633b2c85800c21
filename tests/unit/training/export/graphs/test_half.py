"""The fp16 variant: float16 inside, float32 at the border, near PyTorch's float32; without a GPU it is emulated."""

import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from service.bundle.signatures import check_signatures
from service.errors import BundleError, SettingsError
from service.runtime.models import load_model
from service.runtime.session import open_session
from tests.parity import Case, export, largest_differences, matrix, opened
from tests.run_record import run_record
from training.data.examples import AnySplits
from training.errors import ExportError
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import Draft, draft_bundle
from training.export.card import write_card
from training.export.graphs.writer import WrittenGraph
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
CASES = list(matrix())
VARIETIES = [
    pytest.param("classification", {"bidirectional": True}, id="classifier"),
    pytest.param("labelling", {}, id="labeller of words"),
    pytest.param("readings", {"bidirectional": True}, id="labeller of readings"),
    pytest.param("generation", {"cell": "gru", "layers": 2, "tie_weights": True}, id="language model"),
    pytest.param("translation", {"attention": "general", "bidirectional": True, "layers": 2}, id="translator"),
]


@pytest.fixture
def make_draft(make_recipe: MakeRecipe, tiny_splits: Tiny) -> Callable[..., Draft]:
    def make(task: str, model: Mapping[str, object] | None = None) -> Draft:
        recipe = make_recipe(task, model=model or {}, export={"precisions": ["fp32", "fp16"]})
        return draft_bundle(prepare(recipe, tiny_splits[task]), run_sha256="a" * 64)

    return make


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_fp16_graph_is_near_pytorch_in_float32(case: Case) -> None:
    """As near as weights of 11 bits allow. Measured over the matrix: 0.012 at most, 0.067 with norms between layers.

    A norm enlarges what rounding did to a vector of little variance, as the random weights here leave it.
    """
    model, write = export(case)
    differences = largest_differences(model, opened(write("fp16"), float16=True))
    assert 0 < max(differences.values()) < (0.1 if case.settings.layer_norm else 0.02)


@pytest.mark.parametrize("case", CASES[::7], ids=str)
def test_floats_are_float16_inside_and_float32_at_the_border(case: Case) -> None:
    _, write = export(case)
    halves = write("fp16")
    for role, graph in write().items():
        assert [tensor.model_dump() for tensor in halves[role].signature.inputs] == [
            tensor.model_dump() for tensor in graph.signature.inputs
        ]
        assert halves[role].signature.outputs == graph.signature.outputs
        model = onnx.load_from_string(halves[role].raw)
        assert not any(tensor.data_type == TensorProto.FLOAT for tensor in model.graph.initializer)
        inside = onnx.shape_inference.infer_shapes(model).graph.value_info
        assert inside
        assert not any(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in inside)


def test_a_decoder_step_has_no_recurrent_operator_and_a_language_model_has_one_in_both_graphs() -> None:
    """Prefill and step of a language model run one kernel; a decoder step has no prefill to agree with."""
    for case in CASES:
        graphs = export(case)[1]("fp16")
        for role, graph in graphs.items():
            operators = {node.op_type for node in onnx.load_from_string(graph.raw).graph.node}
            assert bool(operators & {"RNN", "LSTM", "GRU"}) == (role != "decoder_step")


@pytest.mark.parametrize(("task", "model"), VARIETIES)
def test_the_variant_is_proven_against_pytorch_and_served_on_cuda_alone(
    make_draft: Callable[..., Draft], task: str, model: Mapping[str, object]
) -> None:
    draft = make_draft(task, model)
    check_signatures(draft.manifest)
    golden = draft.manifest.variants["fp16"].golden
    assert (golden.reference, golden.absolute_tolerance, golden.relative_tolerance) == ("pytorch", 0.02, 0.01)
    loaded = load_model(draft.opened(), precision="fp16", emulate_fp16=True)
    assert 0 < loaded.proof.absolute <= golden.deviation_from_fp32 * 1.0001
    assert 0 < golden.deviation_from_fp32 < 0.02
    with pytest.raises(SettingsError, match="proven on provider cuda alone"):
        load_model(draft.opened(), precision="fp16")


def test_a_damaged_fp16_graph_is_refused_by_its_proof(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("classification", export={"precisions": ["fp16"], "default": "fp16"})
    task = prepare(recipe, tiny_splits["classification"])
    draft = draft_bundle(task, run_sha256="a" * 64)
    task.model.get_parameter("output.bias").data.add_(0.1)
    other = draft_bundle(task, run_sha256="a" * 64)
    mixed = replace(draft, files={**draft.files, "classifier.fp16.onnx": other.files["classifier.fp16.onnx"]})
    with pytest.raises(BundleError, match="graph classifier, case 0, output logits: deviates"):
        load_model(mixed.opened(), emulate_fp16=True)


def test_a_weight_beyond_float16_is_named(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("classification", export={"precisions": ["fp16"], "default": "fp16"})
    task = prepare(recipe, tiny_splits["classification"])
    with torch.no_grad():
        task.model.get_parameter("output.weight")[0, 0] = 70000
    with pytest.raises(ExportError, match=r"^output.weight holds 70000, float16 ends at 65504"):
        draft_bundle(task, run_sha256="a" * 64)


def test_activations_beyond_what_float16_resolves_are_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe = make_recipe("classification", export={"precisions": ["fp16"], "default": "fp16"})
    task = prepare(recipe, tiny_splits["classification"])
    with torch.no_grad():
        task.model.get_parameter("output.weight").mul_(20000)
    with pytest.raises(ExportError, match=r"^fp16 is off by .* export in fp32 or int8$"):
        draft_bundle(task, run_sha256="a" * 64)


def test_the_card_tells_that_fp16_was_measured_on_a_cpu(
    make_draft: Callable[..., Draft], make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    draft, splits = make_draft("classification"), tiny_splits["classification"]
    evaluations = evaluate_variants(draft.opened(), splits)
    assert list(evaluations) == ["fp32", "fp16"]
    card = write_card(draft, run_record(make_recipe("classification"), splits), evaluations)
    assert f"| accuracy | fp16 | {evaluations['fp16'].score.value:.2f} |" in card
    assert "it has not been run on a GPU" in card


def open_in_half(graph: WrittenGraph) -> None:
    open_session(graph.raw, graph.signature, where="encoder", float16=True)


def test_opening_a_graph_of_float16_does_not_crash_the_process() -> None:
    """ONNX Runtime 1.32 dies on this one at its highest level of optimisation: a process of its own must survive it."""
    graph = export(next(case for case in CASES if str(case) == "translation-rnn-1-one-general"))[1]("fp16")["encoder"]
    child = multiprocessing.get_context("spawn").Process(target=open_in_half, args=(graph,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def test_padding_gets_no_attention_in_half_precision() -> None:
    case = next(case for case in CASES if str(case) == "translation-lstm-1-both-general")
    step = opened(export(case)[1]("fp16"), float16=True)["decoder_step"]
    sizes = {tensor.name: tensor.shape[-1] for tensor in step.graph.inputs}
    random = np.random.default_rng(0)
    memory = [random.normal(0, 3, (2, 16, int(sizes[name]))).astype(np.float32) for name in ("keys", "values")]
    state = random.normal(0, 1, (2, int(sizes["state"]))).astype(np.float32)
    *_, attention = step(np.array([5, 6]), state, *memory, np.array([3, 16]))
    assert not attention[0, 3:].any()
    assert attention.sum(axis=-1) == pytest.approx([1, 1], abs=2e-3)
