"""The int8 variant: cells written out equal PyTorch's, rows do not know their neighbours, the proof is its own run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from service.bundle.manifest import GraphRole
from service.bundle.pinned import OPERATOR
from service.bundle.signatures import check_signatures
from service.errors import BundleError
from service.runtime.golden import Array, read_golden
from service.runtime.models import load_model
from service.runtime.session import open_session
from tests.parity import EVERYTHING, VOCABULARY, Case, architecture, export, opened
from tests.run_record import run_record
from training.data.examples import AnySplits
from training.errors import ExportError
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import Draft, draft_bundle, is_published
from training.export.card import write_card
from training.export.graphs.cells import write_cell
from training.export.graphs.networks import language_model_graphs, seq2seq_graphs
from training.export.graphs.quantised import QuantisedWriter
from training.export.graphs.writer import GraphWriter, WrittenGraph, write_recurrent, write_state
from training.models.language_model import LanguageModel
from training.models.layers.recurrent import Cell, Recurrent
from training.models.seq2seq import Seq2Seq
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
RUN = "a" * 64
BOTH = {"precisions": ["fp32", "int8"]}
VARIETIES = [
    pytest.param("classification", {"bidirectional": True}, id="classifier"),
    pytest.param("generation", {"cell": "gru", "layers": 2, "tie_weights": True}, id="language model"),
    pytest.param("translation", {"cell": "rnn"}, id="translator without attention"),
    pytest.param(
        "translation", {"attention": "additive", "bidirectional": True, "tie_weights": True}, id="translator, additive"
    ),
    pytest.param(
        "translation",
        {"attention": "dot", "bidirectional": True, "input_feeding": True, "layers": 3, "residual": True},
        id="translator, input feeding, residual",
    ),
    pytest.param("generation", {"layers": 3, "residual": True, "layer_norm": True}, id="language model, normalised"),
]


@pytest.fixture
def make_draft(make_recipe: MakeRecipe, tiny_splits: Tiny) -> Callable[..., Draft]:
    def make(task: str, model: Mapping[str, object] | None = None) -> Draft:
        recipe = make_recipe(task, model=model or {}, export=BOTH)
        return draft_bundle(prepare(recipe, tiny_splits[task]), run_sha256=RUN)

    return make


def seq2seq(cell: str, **changes: object) -> Seq2Seq:
    model, _ = export(Case("translation", architecture(cell, 2, **changes)))
    assert isinstance(model, Seq2Seq)
    return model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@torch.no_grad()
def test_a_cell_written_out_equals_pytorch_before_it_is_quantised(cell: Cell, layers: int) -> None:
    torch.manual_seed(0)
    stack = Recurrent(cell, 5, 7, layers=layers)
    for parameter in stack.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    graph = GraphWriter("cells")
    inputs = graph.unsqueeze(graph.input("inputs", "float32", "rows", 5), 0, "inputs.time")
    state = graph.input("state", "float32", "rows", stack.state_size)
    values = write_recurrent(graph, stack, inputs, state=state, write_layer=write_cell)
    graph.output(write_state(graph, values.vectors, "next_state"), "rows", stack.state_size)
    written = graph.finish("cells.onnx")
    operators = {node.op_type for node in onnx.load_from_string(written.raw).graph.node}
    assert not operators & {"RNN", "LSTM", "GRU"}
    rows, before = torch.randn(4, 5), torch.randn(4, stack.state_size)
    (found,) = open_session(written.raw, written.signature, where="cells")(rows.numpy(), before.numpy())
    _, expected = stack.read(rows[:, None], before)
    assert np.abs(found - expected.numpy()).max() <= 1e-5


def test_a_cell_is_not_written_for_sequences_or_both_directions() -> None:
    graph = QuantisedWriter("wrong")
    with pytest.raises(ValueError, match="one direction, one time and a given state"):
        write_recurrent(graph, Recurrent("lstm", 2, 3), "inputs", lengths="lengths", write_layer=write_cell)
    with pytest.raises(ValueError, match="one direction, one time and a given state"):
        write_recurrent(graph, Recurrent("lstm", 2, 3, bidirectional=True), "inputs", write_layer=write_cell)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(
    ("attention", "options"),
    [
        pytest.param(None, {}, id="no attention"),
        pytest.param(None, EVERYTHING, id="no attention, everything between layers"),
        *(pytest.param(kind, {}, id=kind) for kind in ("dot", "general", "additive")),
        pytest.param("dot", {"bidirectional": True, "input_feeding": True}, id="dot, both directions, input feeding"),
        pytest.param("general", {"input_feeding": True, **EVERYTHING}, id="general, everything"),
    ],
)
def test_no_row_of_an_int8_step_knows_its_neighbours(
    cell: str, attention: str | None, options: Mapping[str, bool]
) -> None:
    model = seq2seq(cell, attention=attention, **options)
    sessions = opened(seq2seq_graphs(model, "int8"))
    random = np.random.default_rng(0)
    token_ids = random.integers(3, VOCABULARY, (17, 16))
    lengths = random.integers(1, 17, 17)
    encoded = sessions["encoder"](token_ids, lengths)
    # a neighbour a million times larger, and one of zeros, would move a shared scale
    state = encoded[-1] * np.logspace(-6, 6, 17, dtype=np.float32)[:, None]
    state[3] = 0
    memory: list[Array] = [] if attention is None else [*encoded[:-1], lengths]
    inputs: list[Array] = [token_ids[:, 0].copy(), state, *memory]
    together = sessions["decoder_step"](*inputs)
    for row in range(17):
        alone = sessions["decoder_step"](*(array[row : row + 1] for array in inputs))
        assert [output[row].tobytes() for output in together] == [output[0].tobytes() for output in alone]


@pytest.mark.parametrize(("task", "model"), VARIETIES)
def test_the_service_loads_the_int8_variant_and_its_proof_holds(
    make_draft: Callable[..., Draft], task: str, model: Mapping[str, object]
) -> None:
    draft = make_draft(task, model)
    check_signatures(draft.manifest)
    assert draft.manifest.default_precision == "fp32"
    loaded = load_model(draft.opened(), precision="int8")
    assert (loaded.precision, loaded.proof.absolute) == ("int8", 0.0)  # the same machine
    golden = draft.manifest.variants["int8"].golden
    assert golden.reference == "self"
    assert 0 < golden.deviation_from_fp32 < 0.1
    assert golden.instruction_sets


@pytest.mark.parametrize(("task", "model"), VARIETIES)
def test_the_recorded_deviation_is_the_largest_difference_from_fp32(
    make_draft: Callable[..., Draft], task: str, model: Mapping[str, object]
) -> None:
    draft = make_draft(task, model)
    variants = draft.manifest.variants
    fp32, int8 = (
        read_golden(draft.files[variants[name].golden.file], variants[name].graphs, where=name)
        for name in ("fp32", "int8")
    )
    differences = []
    alike = [case for case in fp32 if case.role in variants["int8"].graphs]
    for one, other in zip(alike, int8, strict=True):
        assert all(array.tobytes() == other.inputs[name].tobytes() for name, array in one.inputs.items())
        differences += [np.abs(array - other.outputs[name]).max() for name, array in one.outputs.items()]
    assert variants["int8"].golden.deviation_from_fp32 == pytest.approx(max(differences), rel=1e-6)


def test_a_damaged_int8_graph_is_refused_by_its_proof(make_draft: Callable[..., Draft]) -> None:
    draft = make_draft("classification")
    model = onnx.load_from_string(draft.files["classifier.int8.onnx"])
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "logits.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.5), bias.name))
    files = {**draft.files, "classifier.int8.onnx": model.SerializeToString()}
    with pytest.raises(BundleError, match="graph classifier, case 0, output logits: deviates"):
        load_model(replace(draft, files=files).opened(), precision="int8")


def test_int8_weights_keep_to_seven_bits_and_tied_ones_are_stored_once() -> None:
    graphs = seq2seq_graphs(seq2seq("lstm", attention="general", tie_weights=True), "int8")
    seen: dict[GraphRole, int] = {}
    for role, graph in graphs.items():
        tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(graph.raw).graph.initializer]
        matrices = [tensor for tensor in tensors if tensor.dtype == np.int8]
        assert max(int(np.abs(matrix.astype(int)).max()) for matrix in matrices) == 63
        seen[role] = sum(VOCABULARY in matrix.shape for matrix in matrices)
    assert seen == {"encoder": 1, "decoder_step": 1}


def language_model(cell: str) -> LanguageModel:
    model, _ = export(Case("generation", architecture(cell, 2)))
    assert isinstance(model, LanguageModel)
    return model


STEPS: Mapping[str, Callable[[str], WrittenGraph]] = {
    "a translator's": lambda cell: seq2seq_graphs(seq2seq(cell, attention="general"), "int8")["decoder_step"],
    "a language model's": lambda cell: language_model_graphs(language_model(cell), "int8")["step"],
}


@pytest.mark.parametrize(("cell", "roles"), [("lstm", {"prefill", "step"}), ("gru", {"step"}), ("rnn", {"step"})])
def test_a_language_model_in_int8_reads_prompts_at_once_where_its_operator_has_integers(
    cell: str, roles: set[GraphRole]
) -> None:
    assert set(language_model_graphs(language_model(cell), "int8")) == roles
    assert set(language_model_graphs(language_model(cell), "fp32")) == {"prefill", "step"}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("step", STEPS)
def test_no_float_matrix_is_left_in_an_int8_step(step: str, cell: str) -> None:
    model = onnx.load_from_string(STEPS[step](cell).raw)
    floats = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    assert max(len([size for size in tensor.dims if size > 1]) for tensor in floats) == 1
    operators = {node.op_type for node in model.graph.node}
    assert not {"Gemm", "RNN", "LSTM", "GRU"} & operators
    pinned = cell == "lstm" and step == "a language model's"
    assert {name for name in operators if name.startswith("Dynamic")} == ({OPERATOR} if pinned else set())


@pytest.mark.parametrize("task", ["classification", "labelling"])
def test_recurrent_weights_are_stored_in_half_where_their_operator_has_no_integers(
    make_draft: Callable[..., Draft], task: str
) -> None:
    draft = make_draft(task, {"cell": "gru"})
    for name in (name for name in draft.files if name.endswith(".int8.onnx")):
        graph = onnx.load_from_string(draft.files[name]).graph
        stored = {tensor.name: tensor for tensor in graph.initializer}
        floats = [tensor for tensor in stored.values() if tensor.data_type == onnx.TensorProto.FLOAT]
        assert max(len([size for size in tensor.dims if size > 1]) for tensor in floats) == 1
        casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
        (operator,) = (node for node in graph.node if node.op_type == "GRU")
        weights = [stored[casts[value]] for value in operator.input[1:4]]
        assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}


def test_recurrent_weights_beyond_half_stay_as_they_are() -> None:
    graph = QuantisedWriter("huge")
    assert graph.recurrent("weights", np.array([[7e4]], dtype=np.float32)) == "weights"
    assert graph.recurrent("small", np.array([[7e3]], dtype=np.float32)) != "small"


def test_the_card_lists_the_scores_of_both_variants(
    make_draft: Callable[..., Draft], make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    draft, splits = make_draft("classification"), tiny_splits["classification"]
    evaluations = evaluate_variants(draft.opened(), splits)
    assert list(evaluations) == ["fp32", "int8"]
    card = write_card(draft, run_record(make_recipe("classification", export=BOTH), splits), evaluations)
    for precision, evaluation in evaluations.items():
        assert f"| accuracy | {precision} | {evaluation.score.value:.2f} |" in card
    assert "| int8 | " in card
    assert "its own run at export" in card


def test_a_bundle_with_other_variants_is_in_the_way(
    make_draft: Callable[..., Draft], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    make_draft("classification").publish("card", tmp_path)
    assert is_published(make_recipe("classification", export=BOTH), tmp_path, run_sha256=RUN)
    with pytest.raises(ExportError, match=r"exported with precisions=\['fp32', 'int8'\].*wants precisions=\['fp32'\] "):
        is_published(make_recipe("classification"), tmp_path, run_sha256=RUN)
